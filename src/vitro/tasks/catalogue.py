"""The tasks that come with Vitro, each with what it asks, an example and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vitro.tasks.builtin import BUILTIN
from vitro.tasks.generated import KINDS


@dataclass(frozen=True)
class Entry:
    """A task to choose: how it is typed, what it asks, an example, and its source.

    >>> CATALOGUE["numbers"].example
    'If 1 then -> 2'
    """

    typed: str
    asks: str
    example: str
    source: str


_POST = "Mechanistically interpreting time in GPT-2 small"
_AFTER = {
    "days": ("days", "the day after"),
    "months": ("months", "the month after"),
    "numbers": ("numbers[:n]", "the number after, from 1 to n"),
}

CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {
        **{
            name: Entry(typed, asks, f"{BUILTIN[name]().prompts[0]} -> {BUILTIN[name]().answers[0]}", _POST)
            for name, (typed, asks) in _AFTER.items()
        },
        **{kind.name: Entry(f"{kind.name}[:n]", kind.asks, kind.example, kind.source) for kind in KINDS.values()},
    }
)
"""The tasks that come with Vitro, by name: `CATALOGUE["ioi"].example`."""
