"""What goes to stdout: tables for people, JSON for machines."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vitro.strict_json import to_json


def print_json(value: Any) -> None:
    """JSON on stdout, with null for NaN and infinity; escaped where stdout cannot take every character."""
    print(to_json(value, indent=2, ensure_ascii=not sys.stdout.encoding.lower().startswith("utf")))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout; plain text where stdout is not a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    console.print(table)
    console.print()


def print_lines(lines: Mapping[str, str]) -> None:
    """Names and their texts on stdout, a line each."""
    width = max(map(len, lines), default=0)
    for name, text in lines.items():
        print(f"  {name:<{width}}  {text}")
    print()
