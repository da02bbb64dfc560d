"""Where every command starts and ends: exit code 0, 2 for an error (printed in one line), 130 for Ctrl-C."""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from vitro.cli.examples import epilog
from vitro.cli.exit_codes import INTERRUPTED, UNREAD
from vitro.cli.printing import print_plain
from vitro.errors import VitroError, one_line
from vitro.limits import check_machine, out_of_memory

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

        print_plain(f"vitro {__version__}")
        raise typer.Exit


@app.callback()
def before_all(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take circuits out of language models and test them in glass."""


def run() -> NoReturn:
    """Run the command line. Ctrl-C goes on to `vitro.cli.main`, where it is told while all of this is imported too."""
    _complete_streams()
    try:
        check_machine()
        code = _code(sys.argv[1:])
    except StoppedError:
        code = _told("stopped; what is finished is kept, and the same command goes on from there", INTERRUPTED)
    except BrokenPipeError:
        code = UNREAD
    except (VitroError, TyperException, OSError) as error:
        if "--debug" in sys.argv[1:]:
            raise
        code = _told(_words(error), 2)
    except Exception as error:
        if not (spent := out_of_memory(error)) or "--debug" in sys.argv[1:]:
            raise
        code = _told(f"{spent}; what works: more memory, or a smaller model", 2)
    _let_go_of_stdout()
    sys.exit(code)


def _code(words: Sequence[str]) -> int:
    """The exit code of a command that was not refused. Not by typer's own `main`, which answers errors of stdout."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("vitro", list(words)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _told(message: str, code: int) -> int:
    """The exit code, after one line on stderr, if that can be written; no line where help was asked for."""
    if message:
        with suppress(OSError):
            print(f"vitro: {one_line(message)}", file=sys.stderr)
    return code


def _words(error: Exception) -> str:
    if isinstance(error, TyperException):
        return error.format_message()
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"


def _complete_streams() -> None:
    """Put a stream in the place of one that is closed (`>&-`), and let stdout write all that is text somehow."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character, in a locale without it, gets its number.
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_stdout() -> None:
    """Where stdout cannot be written, let what waits for it go nowhere: Python would fail once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
