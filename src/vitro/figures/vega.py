"""Vega in a process of its own: it runs in V8, which ends its process where a limit of the machine is too low for it.

The process is started by the first drawing and kept: V8 takes longer to start than to draw. It runs a file, not the
caller's main module, so a notebook and a script without `if __name__ == "__main__"` may draw as well.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock
from typing import Any

from vitro.errors import VitroError
from vitro.limits import Limit, ending, too_low

_FILE = Path(__file__).with_name("vega_process.py")
_NEEDS: dict[Limit, int] = {"AS": 70 * 10**9, "DATA": 10**9, "NOFILE": 32, "NPROC": 64}
"""What V8 needs, a little above the least with which it ran. It reserves address space; it takes 0.2 GB of memory."""


class DrawingError(VitroError):
    """Figures cannot be drawn on this machine as it is limited; numbers and tables do not depend on it."""


def vega(function: str, **arguments: Any) -> str:
    """What a function of vl-convert makes of arguments that JSON can write. DrawingError where it makes nothing.

    >>> vega("vegalite_to_svg", vl_spec={"mark": "bar"}, allowed_base_urls=[])[:4]
    '<svg'
    """
    process = _process(os.getpid())
    try:
        return process.answer(json.dumps([function, arguments]))
    except BaseException:
        # What it was still asked for must not be taken for the next answer.
        process.end()
        _process.cache_clear()
        raise


class _Process:
    """The process, which answers a line with a line."""

    def __init__(self) -> None:
        self.lock = Lock()
        try:
            # What V8 says of itself when it ends is 39 lines long.
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(_FILE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
            )
        except OSError as error:
            raise _refused(f"the process that draws cannot be started ({error.strerror})") from error

    def answer(self, question: str) -> str:
        """The answer to a question."""
        with self.lock:
            try:
                print(question, file=self.process.stdin, flush=True)
                line = self.process.stdout.readline() if self.process.stdout else ""
            except OSError:
                line = ""
        if not line:
            raise _refused(f"the process that draws ended by {ending(self.process.wait())}")
        made, text = json.loads(line)
        if not made:
            raise _refused(text)
        return str(text)

    def end(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.communicate()


@functools.cache
def _process(pid: int) -> _Process:
    """The process of this one; pid: its number, since a process that is forked off needs one of its own."""
    return _Process()


def _refused(why: str) -> DrawingError:
    short = too_low(_NEEDS)
    if short:
        return DrawingError(f"figures cannot be drawn here: that takes {'; '.join(short)}; what works: a higher limit")
    return DrawingError(f"figures cannot be drawn here: {why}")
