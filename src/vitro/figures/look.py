"""One look for every figure: type, colours, sizes, and how numbers enter a specification."""

from itertools import pairwise
from typing import Any, TypeVar

import altair as alt
import polars as pl

_Chart = TypeVar("_Chart", alt.LayerChart, alt.FacetChart, alt.ConcatChart, alt.HConcatChart, alt.VConcatChart)

WIDTH = 1000
"""Pixels that a figure may take, its axes included."""

INK, FAINT, RULE, GRID = "#1f2328", "#59636e", "#d8dee4", "#ebeef1"
BLUE, RED = "#2f6db3", "#c8452e"
"""Gained and lost. They stay apart under all common colour-vision deficiencies."""

GRAY = "#7d8894"
PALE, PALE_BLUE, PALE_RED, WASH = "#dfe4e9", "#b9d3ec", "#f3c2b1", "#f6f8fa"

CHANGE_COLORS = ("#8c1d18", "#c8452e", "#eb9f83", "#f6f5f3", "#8fbbdd", "#2f6db3", "#0d3a6e")
"""Lost, nothing, gained: dark at both ends, near white at 0."""

AMOUNT_COLORS = ("#f6f5f3", "#c9c1e0", "#9480bf", "#643f9a", "#33125f")
"""Nothing to much, for what is never negative."""

HEAD_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7a3e9d", "#59636e")
"""Lines that differ in kind and not in amount: Okabe and Ito's colours, the yellow darkened to show on white."""

PANEL_NAME = "datum.value + ' ablation'"
"""Names a panel after its method: "mean ablation"."""

_FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"
_CONFIG: dict[str, Any] = {
    "background": "white",
    # A screen reader should read the figure's description, not thousands of cells by name.
    "aria": False,
    "font": _FONT,
    "padding": 6,
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "color": INK,
        "fontSize": 15,
        "fontWeight": 600,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
        "subtitleLineHeight": 16,
        "subtitlePadding": 5,
        "offset": 14,
        "limit": WIDTH,
    },
    "axis": {
        "labelColor": INK,
        "labelFontSize": 11,
        "titleColor": FAINT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "domainColor": RULE,
        "tickColor": RULE,
        "gridColor": GRID,
    },
    "header": {"labelColor": INK, "labelFontSize": 13, "labelFontWeight": 600, "labelPadding": 6},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 11,
        "labelLimit": 360,
        "titleColor": FAINT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titleLimit": 640,
    },
}


def dress(chart: _Chart, title: str, *subtitle: str, gist: str) -> _Chart:
    """The chart with its title, its lines of subtitle and the house's look.

    gist: what the data say, in words; with title and subtitle it is the description that a screen reader reads.
    """
    lines = [line for line in (title, *subtitle, gist) if line]
    ended: list[str] = [
        f"{line}." if line[-1].isalnum() and following[:1].isupper() else line for line, following in pairwise(lines)
    ]
    spoken = " ".join([*ended, gist])
    titled = chart.properties(title=alt.TitleParams(title, subtitle=list(subtitle)), description=spoken)
    dressed: _Chart = titled.configure(**_CONFIG)
    return dressed


def values(frame: pl.DataFrame) -> alt.InlineData:
    """The frame as rows inside the specification: floats to 4 significant digits, no nulls, NaN or infinity.

    No figure shows more digits, and those do not differ between machines as the last bits do. A column of lists of
    floats keeps its nulls, because their places count.
    """
    lists = pl.selectors.by_dtype(pl.List(pl.Float32), pl.List(pl.Float64))
    rows = frame.with_columns(_digits(pl.selectors.float()), lists.list.eval(_digits(pl.element()))).to_dicts()
    # A tuple, which altair does not copy again with every part of a chart.
    return alt.InlineData(values=tuple({k: v for k, v in row.items() if v is not None} for row in rows))


OWN_COLORS = alt.Resolve(scale=alt.ScaleResolveMap(color="independent"))
"""For panels that stand together but do not share a colour scale."""


def panel_title(text: str) -> alt.TitleParams:
    """The name of one panel among others."""
    return alt.TitleParams(text, fontSize=13, anchor="start", frame="group", offset=6)


def _digits(floats: pl.Expr) -> pl.Expr:
    return pl.when(floats.is_finite()).then(floats.cast(pl.Float64).round_sig_figs(4))


def size(indices: pl.Series) -> int:
    """One more than the largest of some numbers that count from 0."""
    return int(indices.to_numpy().max()) + 1


def ticks(count: int, pixels: float, room: int = 16) -> list[int]:
    """The whole numbers below `count` to label where each takes `pixels` pixels and a label needs `room` pixels.

    >>> ticks(6, pixels=20.0), ticks(6, pixels=10.0)
    ([0, 1, 2, 3, 4, 5], [0, 2, 4])
    """
    step = next(step for step in (1, 2, 4, 5, 10, 20, 50, 100, 1000) if step * pixels >= room)
    return list(range(0, count, step))
