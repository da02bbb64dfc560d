"""What goes to stdout: text and tables for people, as wide as the terminal, and JSON for machines."""

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from vitro.strict_json import to_json

_ARROW = "\N{NO-BREAK SPACE}->\N{NO-BREAK SPACE}"
"""An arrow that no line is broken at."""


def print_json(value: Any) -> None:
    """JSON on stdout, with null for NaN and infinity; escaped where stdout cannot take every character."""
    print(to_json(value, indent=2, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf")))


def print_text(text: str) -> None:
    """A text on stdout, its lines broken between words where the terminal ends; at 80 columns where there is none."""
    print(_wrapped(text))


def print_circuit(text: str) -> None:
    """A circuit's text on stdout, and an empty line; a long line goes on after a comma, which circuits may."""
    for line in text.split("\n"):
        print(_wrapped(line.replace(" -> ", _ARROW), rest="  ").replace(_ARROW, " -> "))
    print()


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
    """A table on stdout; plain text where stdout is not a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    console.print()


def print_lines(lines: Mapping[str, str]) -> None:
    """Names and their texts on stdout, a line each."""
    width = max(map(len, lines), default=0)
    for name, text in lines.items():
        print(_wrapped(text, f"  {name:<{width}}  ", " " * (width + 4)))
    print()
