"""What a call may take: a bad input that hangs or fills the machine fails its test, and the next one is tried."""

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OverTimeError(BaseException):
    """A call that did not end. No `Exception`, so that nobody takes it for the error of a file."""


@contextmanager
def within(seconds: float, megabytes: float) -> Iterator[None]:
    """For a call that may take so much of a processor and so much more memory; an AssertionError where it takes more.

    Where it does nothing but wait, it is stopped after ten times as long: other processes may have the processors.
    """

    def stop(*_: object) -> None:
        raise OverTimeError(f"still running after {10 * seconds:g} s")

    kept = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    _forget()
    before, start = _most_memory(), time.process_time()
    try:
        yield
    finally:
        took, more = time.process_time() - start, _most_memory() - before
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
    assert took <= seconds, f"took {took:.1f} s"
    assert more <= megabytes, f"took {more:.0f} MB"


def _most_memory() -> float:
    """The most that this process held since it was last forgotten, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _forget() -> None:
    """Begin anew with what is held now; where that cannot be (not on Linux), only more than ever before is seen."""
    most = Path("/proc/self/clear_refs")
    if most.exists():
        most.write_text("5")
