"""The command line: one file a command, all of them thin. What is slow to import is imported where it is used."""

import os
import signal
import sys
from types import FrameType

from vitro.cli.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command line, and end with its exit code."""
    # Not where Ctrl-C is ignored, as by what a shell runs in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        # Here, where Ctrl-C is caught: the commands and typer take a tenth of a second.
        from vitro.cli.commands import run

        run()
    except KeyboardInterrupt:
        print("vitro: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but end at once while something is imported, when there is nothing to be kept.

    An exception there may come to torch's C++, which ends the process with a trap, or to whoever takes it for a package
    that is not installed.
    """
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            os.write(2, b"vitro: stopped\n")
            os._exit(INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt
