"""The command line: one file a command, all of them thin. What is slow to import is imported where it is used."""

import sys

from vitro.cli.exit_codes import INTERRUPTED


def main() -> None:
    """Run the command line, and end with its exit code."""
    try:
        # Here, where Ctrl-C is caught: the commands and typer take a tenth of a second.
        from vitro.cli.commands import run

        run()
    except KeyboardInterrupt:
        print("vitro: stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
