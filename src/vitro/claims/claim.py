"""A claim: a checkable statement of the post, and its finding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from vitro.heads import Head as Head

Tables = Mapping[str, pl.DataFrame]
Verdict = Literal["reproduced", "differs", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """The measured value, in words like those of the claim's expected value, and whether the claim holds."""

    value: str
    holds: bool
    distance: float | None = None
    """The mean absolute difference from the post's numbers, if the post gives numbers."""


@dataclass(frozen=True)
class Claim:
    """A statement of "Mechanistically interpreting time in GPT-2 small" (its number in docs/claims.md).

    expected: the post's value and, where it has one, the tolerance. check: from the tables of the claim's task to
    the finding. task: as on the command line.
    """

    id: int
    section: str
    """The post's heading above it."""
    words: str
    expected: str
    check: Callable[[Tables], Finding]
    task: str = "days"


def of_head(table: pl.DataFrame, head: Head) -> pl.DataFrame:
    """One head's rows."""
    return table.filter(layer=head[0], head=head[1])


def mean_of(table: pl.DataFrame, column: str) -> float:
    """A column's mean over the rows."""
    return float(table[column].to_numpy().mean())


def close(value: float, expected: float, tolerance: float) -> bool:
    """Whether a value is the post's, up to the tolerance."""
    return abs(value - expected) <= tolerance


def measured(values: Sequence[float], expected: Sequence[float], tolerance: float, words: str = "") -> Finding:
    """A finding of numbers beside the post's; it holds if all are within the tolerance."""
    distances = [abs(value - post) for value, post in zip(values, expected, strict=True)]
    shown = " / ".join(map(digits, values))
    return Finding(shown + words, max(distances) <= tolerance, sum(distances) / len(distances))


def digits(value: float) -> str:
    """The value with four significant digits."""
    return f"{value:#.4g}"


def named(heads: list[Head]) -> str:
    """Heads as the post writes its lists."""
    return "[" + ", ".join(f"{layer}.{head}" for layer, head in heads) + "]"
