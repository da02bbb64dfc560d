"""Where every command starts and ends: exit code 0, 2 for an error (printed in one line), 130 for Ctrl-C."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vitro.cli.examples import epilog
from vitro.errors import VitroError
from vitro.limits import check_machine, out_of_memory

INTERRUPTED = 130
"""The exit code that typer gives Ctrl-C."""

app = typer.Typer(
    name="vitro",
    help="Take circuits out of language models and test them in glass.",
    epilog=epilog("vitro"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class StoppedError(Exception):
    """Ctrl-C in a command that keeps its finished work."""


@contextmanager
def resumable() -> Iterator[None]:
    """For commands that keep their finished work on disk: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError from error


def print_version(wanted: bool) -> None:
    """Print the version and exit, where `--version` is given."""
    if wanted:
        from vitro import __version__

        print(f"vitro {__version__}")
        raise typer.Exit


@app.callback()
def before_all(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take circuits out of language models and test them in glass."""


def main() -> NoReturn:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character, in a locale without it, gets its number.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    command = typer.main.get_command(app)
    try:
        check_machine()
        code = command.main(sys.argv[1:], prog_name="vitro", standalone_mode=False)
    except (VitroError, TyperException) as error:
        if "--debug" in sys.argv[1:]:
            raise
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        print(f"vitro: {message}", file=sys.stderr)
        sys.exit(2)
    except StoppedError:
        print("vitro: stopped; what is finished is kept, and the same command goes on from there", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not (spent := out_of_memory(error)) or "--debug" in sys.argv[1:]:
            raise
        print(f"vitro: {spent}; what works: more memory, or a smaller model", file=sys.stderr)
        sys.exit(2)
    if code == INTERRUPTED:
        print("vitro: stopped", file=sys.stderr)
    sys.exit(code)
