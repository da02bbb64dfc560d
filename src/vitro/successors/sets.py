"""Ordered sets of words, and what a tokenizer leaves of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitro.tasks import days, months
from vitro.tasks.tokenizer import encode, readable

FEWEST_PAIRS = 4
"""A set with fewer neighbouring pairs is left out: chance alone would score high on it."""


@dataclass(frozen=True)
class OrderedSet:
    """Words in order; in a cyclic set the first word follows the last.

    >>> OrderedSet("seasons", ("spring", "summer", "autumn", "winter"), cyclic=True).pairs
    ((0, 1), (1, 2), (2, 3), (3, 0))
    """

    name: str
    words: tuple[str, ...]
    cyclic: bool = False

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Each word that has a successor, with that successor, as indices into `words`."""
        n = len(self.words)
        return tuple((place, (place + 1) % n) for place in range(n if self.cyclic else n - 1))


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DAYS, _MONTHS = days().words, months().words
SETS = (
    OrderedSet("numbers", tuple(str(number) for number in range(1, 101))),
    OrderedSet(
        "number words",
        _words(
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen twenty"
        ),
    ),
    OrderedSet("ordinals", _words("first second third fourth fifth sixth seventh eighth ninth tenth")),
    OrderedSet("days", _DAYS, cyclic=True),
    OrderedSet("months", _MONTHS, cyclic=True),
    OrderedSet("short days", tuple(day[:3] for day in _DAYS), cyclic=True),
    OrderedSet("short months", tuple(month[:3] for month in _MONTHS), cyclic=True),
    OrderedSet("letters", tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    OrderedSet(
        "Roman numerals",
        _words("I II III IV V VI VII VIII IX X XI XII XIII XIV XV XVI XVII XVIII XIX XX"),
    ),
)
"""The nine sets. Each word is used with a space before it."""


@dataclass(frozen=True)
class Known:
    """The part of a set that a tokenizer can ask about: the words that are one token each, and the pairs among them."""

    name: str
    cyclic: bool
    words: tuple[str, ...]
    tokens: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    """A word and its successor in the whole set, where both are one token, as indices into `words`."""
    complete: bool
    """Whether no word is missing. Only then is a cyclic set still a cycle."""


def known_sets(tokenizer: Any, sets: Sequence[OrderedSet] = SETS) -> tuple[list[Known], list[str]]:
    """What a tokenizer leaves of each set, and a note for everything that is left out."""
    known, notes = [], []
    for ordered in sets:
        ids, space = _ids(tokenizer, ordered, " "), "with its space"
        if not ids and (ids := _ids(tokenizer, ordered, "")):
            notes.append(f"{ordered.name}: no word is one token with its space; asked about without it")
            space = "without its space"
        place_of = {place: number for number, place in enumerate(ids)}
        pairs = tuple((place_of[a], place_of[b]) for a, b in ordered.pairs if a in ids and b in ids)
        missing = [word for place, word in enumerate(ordered.words) if place not in ids]
        if missing:
            named = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            notes.append(f"{ordered.name}: not one token {space}, left out: {named}")
        if len(pairs) < FEWEST_PAIRS:
            notes.append(f"{ordered.name}: skipped, {len(pairs)} of {len(ordered.pairs)} neighbouring pairs are known")
            continue
        words = tuple(ordered.words[place] for place in ids)
        known.append(Known(ordered.name, ordered.cyclic, words, tuple(ids.values()), pairs, not missing))
    return known, notes


def _ids(tokenizer: Any, ordered: OrderedSet, space: str) -> dict[int, int]:
    """The index and token of every word that is one token with `space` before it.

    A tokenizer that puts a space before any text (sentencepiece) reads "Monday" as " Monday", so both are tried.
    """
    ids = {}
    for place, word in enumerate(ordered.words):
        for encoding in encode(tokenizer, [f"{space}{word}", word]):
            if len(encoding.ids) == 1 and readable(tokenizer, encoding.ids[0]) == f"{space}{word}":
                ids[place] = encoding.ids[0]
                break
    return ids
