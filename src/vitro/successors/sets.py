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
    """Words in order; in a cyclic set the last is followed by the first."""

    name: str
    words: tuple[str, ...]
    cyclic: bool = False

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Each word that has a successor, and the successor, as places in `words`."""
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
"""The nine sets, each word asked about with a space before it."""


@dataclass(frozen=True)
class Known:
    """What a tokenizer knows of a set: the words that are one token each, and the neighbours among them."""

    name: str
    cyclic: bool
    words: tuple[str, ...]
    tokens: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    """A word and its successor in the whole set, where both are known, as places in `words`."""
    complete: bool
    """Whether no word is missing: only then is a cyclic set still a cycle."""


def known_sets(tokenizer: Any, sets: Sequence[OrderedSet] = SETS) -> tuple[list[Known], list[str]]:
    """The sets as a tokenizer knows them, and a note for every word and every set that is left out."""
    known, notes = [], []
    for one in sets:
        ids, space = _ids(tokenizer, one, " "), "with its space"
        if not ids and (ids := _ids(tokenizer, one, "")):
            notes.append(f"{one.name}: no word is one token with its space; asked about without it")
            space = "without its space"
        place_of = {place: number for number, place in enumerate(ids)}
        pairs = tuple((place_of[a], place_of[b]) for a, b in one.pairs if a in ids and b in ids)
        missing = [word for place, word in enumerate(one.words) if place not in ids]
        if missing:
            named = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
            notes.append(f"{one.name}: not one token {space}, left out: {named}")
        if len(pairs) < FEWEST_PAIRS:
            notes.append(f"{one.name}: skipped, {len(pairs)} of {len(one.pairs)} neighbouring pairs are known")
            continue
        words = tuple(one.words[place] for place in ids)
        known.append(Known(one.name, one.cyclic, words, tuple(ids.values()), pairs, not missing))
    return known, notes


def _ids(tokenizer: Any, one: OrderedSet, space: str) -> dict[int, int]:
    """The place of every word that is one token with this before it, and the token.

    A tokenizer that puts a space before any text (sentencepiece) finds " Monday" in "Monday": both are asked.
    """
    ids = {}
    for place, word in enumerate(one.words):
        for encoding in encode(tokenizer, [f"{space}{word}", word]):
            if len(encoding.ids) == 1 and readable(tokenizer, encoding.ids[0]) == f"{space}{word}":
                ids[place] = encoding.ids[0]
                break
    return ids
