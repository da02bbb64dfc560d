"""Colour scales of heatmaps, for signed changes and for amounts, both safe from a single huge cell."""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context

import altair as alt
import polars as pl
from altair.typing import ChannelColor

from vitro.figures.look import AMOUNT_COLORS, CHANGE_COLORS, INK

QUANTILE = 0.98
HEADROOM = 2.0
"""A scale reaches the largest cell while that is at most this many quantiles large; else it is clamped."""


_LEGEND = 360.0
_ROOMY = 200.0
"""Pixels of a legend that has room for five numbers."""


@dataclass(frozen=True)
class Reach:
    """How far a colour scale reaches from 0, and how many cells lie beyond it."""

    limit: float
    beyond: int
    cells: int


def reach(cells: pl.Series) -> Reach:
    """The reach that shows most cells well: the largest size, or the 98th percentile where a few cells dwarf the rest.

    It is rounded up to 2 significant digits, so that the legend prints exactly where the colours end.
    """
    sizes = _sizes(cells)
    if not sizes or sizes[-1] == 0:
        return Reach(limit=1.0, beyond=0, cells=len(cells))
    usual = sizes[int(QUANTILE * (len(sizes) - 1))]
    limit = _rounded_up(sizes[-1] if sizes[-1] <= HEADROOM * usual or usual == 0 else usual)
    return Reach(limit=limit, beyond=sum(size > limit for size in sizes), cells=len(cells))


def largest(cells: pl.Series) -> float:
    """The end of a scale on which no cell is clamped, for pictures of a few cells that stand out."""
    sizes = _sizes(cells)
    return _rounded_up(sizes[-1]) if sizes and sizes[-1] > 0 else 1.0


def change_color(limit: float, title: str, field: str = "mean", length: float = _LEGEND) -> alt.Color:
    """Red below 0, blue above, near white at 0, symmetric; the legend is at most `length` pixels long."""
    scale = alt.Scale(domain=[-limit, limit], domainMid=0, range=list(CHANGE_COLORS), interpolate="lab", clamp=True)
    marks = [-limit, -limit / 2, 0, limit / 2, limit] if length >= _ROOMY else [-limit, 0, limit]
    return alt.Color(f"{field}:Q", scale=scale, legend=_legend(title, marks, digits="+.3~g", length=length))


def amount_color(limit: float, title: str, field: str = "mean", length: float = _LEGEND) -> alt.Color:
    """Near white at 0, darker with larger values; the legend is at most `length` pixels long."""
    scale = alt.Scale(domain=[0, limit], range=list(AMOUNT_COLORS), interpolate="lab", clamp=True)
    legend = _legend(title, [0, limit / 2, limit] if length >= _ROOMY / 2 else [0, limit], digits=".3~g", length=length)
    return alt.Color(f"{field}:Q", scale=scale, legend=legend)


def place_color(last: float, title: str, field: str, length: float = _LEGEND) -> alt.Color:
    """Dark at place 1, near white at `last`, by orders of magnitude; the legend is at most `length` pixels long."""
    end = max(10.0, last)
    scale = alt.Scale(type="log", domain=[1, end], range=list(reversed(AMOUNT_COLORS)), interpolate="lab", clamp=True)
    powers = [10.0**power for power in range(round(math.log10(end) + 0.5))]
    step = 1 if len(powers) * _ROOMY / 5 <= length else 2
    legend = _legend(title, powers[::step], digits="~s", length=length)
    return alt.Color(f"{field}:Q", scale=scale, legend=legend)


def ink_on(limit: float, field: str = "mean") -> ChannelColor:
    """The colour of text on cells painted by `amount_color`: white where they are dark."""
    return alt.when(f"datum.{field} > {0.45 * limit!r}").then(alt.value("white")).otherwise(alt.value(INK))


def _legend(title: str, marks: list[float], digits: str, length: float = _LEGEND) -> alt.Legend:
    return alt.Legend(
        title=title,
        orient="bottom",
        gradientLength=min(length, _LEGEND),
        gradientThickness=12,
        offset=18,
        values=marks,
        format=digits,
        labelExpr="datum.value === 0 ? '0' : datum.label",
    )


def _sizes(cells: pl.Series) -> list[float]:
    return sorted(abs(size) for size in cells.to_list() if size is not None and abs(size) < float("inf"))


def _rounded_up(size: float) -> float:
    # By its decimal digits: the float 0.01 is a hair above one hundredth and would become 0.011.
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(size)))
