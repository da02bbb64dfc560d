"""Axes with tokens as labels. The scale counts positions, so that a token may occur twice."""

import json
import math
from collections.abc import Sequence

import altair as alt

from vitro.figures.look import ticks
from vitro.figures.tokens import word

_CHARACTER = 6.3
"""Pixels of an average character of an axis label."""

_LONGEST = 150.0
"""Pixels after which a label is cut."""

_LETTER = 12
"""Pixels of the height of a label."""


def columns_of(count: int) -> alt.Scale:
    """The scale of `count` columns or rows, numbered from 0, that share a width.

    Where the shares do not add up exactly, the first column begins a hair before the axis, and Vega leaves its label
    out. A margin of next to nothing keeps it.
    """
    return alt.Scale(domain=list(range(count)), paddingOuter=1e-6)


def across(tokens: Sequence[str], column: float, *, first: int = 0, title: str | None = None) -> alt.Axis:
    """The labels below columns of `column` pixels, counted from `first`: level where they fit, else slanted.

    Where columns are too narrow for all labels, every second, fourth, ... column has one.
    """
    level = _fit(tokens, column)
    return alt.Axis(
        title=title,
        values=[first + number for number in ticks(len(tokens), column)],
        labelExpr=name_of("datum.value", tokens, first),
        labelAngle=0 if level else -45,
        labelAlign="center" if level else "right",
        labelBaseline="top" if level else "middle",
        labelPadding=2 if level else 5,
        labelOverlap=False,
        labelLimit=_LONGEST,
        ticks=False,
        domain=False,
    )


def overhang(tokens: Sequence[str], column: float) -> float:
    """How many pixels slanted labels below columns of `column` pixels extend beyond the first column."""
    if _fit(tokens, column):
        return 0
    ends = ((place + 0.5) * column - length * math.cos(math.pi / 4) for place, length in enumerate(_lengths(tokens)))
    return max(0.0, -min(ends))


def longest(tokens: Sequence[str]) -> float:
    """The width in pixels of the longest label beside rows."""
    return max(_lengths(tokens))


def labelled(names: Sequence[str], column: float) -> list[str]:
    """The names that have room slanted or upright below columns of `column` pixels: all, or every second, ..."""
    return [names[number] for number in ticks(len(names), column, room=_LETTER)]


def down(tokens: Sequence[str], row: float, *, title: str | None = None) -> alt.Axis:
    """The labels beside rows of `row` pixels, counted from 0."""
    return alt.Axis(
        title=title,
        values=ticks(len(tokens), row, room=_LETTER if row >= _LETTER else 2 * _LETTER),
        labelExpr=name_of("datum.value", tokens),
        labelOverlap=False,
        # The first label of very low rows would stick out and push its panel's title up.
        labelFlush=row / 2 + 1 if row < _LETTER else False,
        labelLimit=_LONGEST,
        ticks=False,
        domain=False,
    )


def name_of(number: str, tokens: Sequence[str], first: int = 0) -> str:
    """A Vega expression for the name of a token, given an expression for its number, counted from `first`.

    >>> name_of("datum.value", [" today", " is"])
    '["today", "is"][datum.value]'
    """
    names = json.dumps([word(token) for token in tokens], ensure_ascii=False)
    return f"{names}[{number} - {first}]" if first else f"{names}[{number}]"


def _fit(tokens: Sequence[str], column: float) -> bool:
    return longest(tokens) <= column


def _lengths(tokens: Sequence[str]) -> list[float]:
    return [min(_LONGEST, len(word(token)) * _CHARACTER) for token in tokens]
