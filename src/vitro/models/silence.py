"""Quiet while a library runs that prints past Python: the Rust of tokenizers writes to the process's own streams."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def silence() -> Iterator[None]:
    """Nothing that is written meanwhile to the process's standard output and standard error is shown.

    They are the same for all threads: who else wants quiet waits, so that each puts back what was there.
    """
    with _ONE_AT_A_TIME, ExitStack() as stack:
        for stream in (sys.stdout, sys.stderr):
            # What stands there was written before; it may be closed, or none.
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        nowhere = stack.enter_context(open(os.devnull, "wb"))
        for number in (1, 2):
            with suppress(OSError):
                kept = os.dup(number)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, number)
                os.dup2(nowhere.fileno(), number)
        yield
