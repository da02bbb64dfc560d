"""What goes to stdout: text and tables for people, as wide as the terminal, and JSON for machines."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from vitro.errors import VitroError, visible
from vitro.strict_json import to_json

_ARROW = "\N{NO-BREAK SPACE}->\N{NO-BREAK SPACE}"
"""An arrow that no line is broken at."""


class OutputError(VitroError):
    """Stdout cannot be written, as on a full disk. (That nobody reads it any more is a BrokenPipeError still.)"""


def print_plain(*lines: object) -> None:
    """Lines on stdout, as long as they are. What a terminal would obey, as in a file's name, is written out."""
    _write(visible("\n".join(map(str, lines))))


def print_json(value: Any) -> None:
    """JSON on stdout, with null for NaN and infinity."""
    text = visible(to_json(value, indent=2, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        # What stdout cannot write is written out in JSON's own way, not in Python's.
        text = to_json(value, indent=2)
    _write(text)


def print_text(*texts: str) -> None:
    """Texts on stdout, their lines broken between words where the terminal ends; at 80 columns where there is none."""
    print_plain(*map(_wrapped, texts))


def print_circuit(text: str) -> None:
    """A circuit's text on stdout, and an empty line; a long line goes on after a comma, which circuits may."""
    for line in text.split("\n"):
        print_plain(_wrapped(line.replace(" -> ", _ARROW), rest="  ").replace(_ARROW, " -> "))
    print_plain("")


def _wrapped(text: str, first: str = "", rest: str = "") -> str:
    """A text in lines of the terminal's width, the first and the others beginning so.

    A word that is longer than a line, as a path may be, stays whole.
    """
    lines = textwrap.wrap(
        text,
        shutil.get_terminal_size().columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) or first.rstrip()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, and an empty line; plain text where stdout is not a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    stdout, drawn = Console(), StringIO()
    Console(file=drawn, width=stdout.width, force_terminal=stdout.is_terminal).print(table)
    _write(drawn.getvalue())


def print_lines(lines: Mapping[str, str]) -> None:
    """Names and their texts on stdout, a line each, and an empty line."""
    width = max(map(len, lines), default=0)
    for name, text in lines.items():
        print_plain(_wrapped(text, f"  {name:<{width}}  ", " " * (width + 4)))
    print_plain("")


def _write(text: str) -> None:
    try:
        # At once: that it cannot be written is to be known before the command has succeeded.
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"stdout cannot be written ({error.strerror}), so what was found is not shown") from error
