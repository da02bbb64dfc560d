"""Edges by how much cutting them changes."""

from collections.abc import Collection, Mapping
from math import ceil, floor, log10
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, FAINT, GRID, INK, RED, dress, panel_title, values
from vitro.figures.spoken import listed, strongest
from vitro.tables.quantities import QUANTITIES

EDGE_NAME = pl.concat_str("source", pl.lit("->"), "target", pl.format("<{}>", "input").fill_null("")).alias("edge")
"""An edge as EAP-IG writes it: `m0->a9.h1<v>`."""

_SHOWN = 20
_ROW = 15
_STRONGEST = 150
_OTHERS = 200
"""Points of a panel, of the strongest by each axis and of all others: tens of thousands would make the page heavy."""
_PANEL = 240


def strongest_edges(
    edges: pl.DataFrame, columns: Mapping[str, str], axis: str, what: str, sense: str
) -> alt.LayerChart:
    """Bars of the strongest edges of a table of means, in order of strength.

    edges: edge and the `columns`, the strongest first. columns: what each is in words; the first is drawn. axis: its
    name on the axis. what: it in words. sense: how to read it.
    """
    shown = edges.head(_SHOWN).select("edge", *columns)
    column = next(iter(columns))
    y = alt.Y("edge:N", sort=shown["edge"].to_list(), title=None, axis=alt.Axis(labelLimit=200, ticks=False))
    zero_line = alt.condition("datum.value === 0", alt.value(INK), alt.value(GRID))
    ticks = alt.Axis(domain=False, ticks=False, gridColor=zero_line, tickCount=6)
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=alt.X(f"{column}:Q", title=axis, axis=ticks),
            y=y,
            color=alt.when(f"datum.{column} < 0").then(alt.value(RED)).otherwise(alt.value(BLUE)),
            tooltip=[
                alt.Tooltip("edge:N"),
                *(alt.Tooltip(f"{name}:Q", title=words, format="+.4g") for name, words in columns.items()),
            ],
        )
    )
    figure = alt.LayerChart(layer=[bars]).properties(data=values(shown), width=560, height=_ROW * len(shown))
    return dress(
        figure,
        f"The {len(shown)} strongest of {len(edges):,} edges: {what}",
        f"Mean over the prompts; {sense}",
        gist=f"The strongest: {strongest(shown, pl.col('edge'), pl.col(column))}.",
    )


def edge_agreement(
    table: pl.DataFrame, agreement: pl.DataFrame, unsigned: Collection[str], metric: str
) -> alt.ConcatChart:
    """Exact effects across, scores up, a panel for each score; with the diagonal where both are effects.

    table: by, source, target, input, exact, score. agreement: by, rank correlation, by size. unsigned: the scores that
    are no effects, whose panels show the sizes of effects. metric: what the effects are on.
    """
    panels = []
    for name, rank, of_sizes in agreement.select("by", "rank correlation", "by size").iter_rows():
        edges = _thinned(table.filter(by=name).select(EDGE_NAME, "exact", "score"))
        across, up = (_reach(edges[axis]) for axis in ("exact", "score"))
        if name in unsigned:
            sizes = edges.with_columns(pl.col("exact", "score").abs())
            panels.append(_points(sizes, name, f"{name}: {_rounded(of_sizes)} by size", across, up, 0))
        else:
            reach = max(across, up)
            panels.append(
                _points(edges, name, f"{name}: {_rounded(rank)}, by size {_rounded(of_sizes)}", reach, reach, -1)
            )
    return dress(
        alt.concat(*panels, columns=3),
        "What scores say of the edges, against what cutting them does",
        f"Mean effect on {QUANTITIES[metric].words}, positive where the edge helps; linear near 0, else logarithmic.",
        f"Numbers: rank correlations of all these edges. Drawn: the {_STRONGEST} strongest by either, and some others.",
        gist="By size: "
        + listed(f"{name} {_rounded(number)}" for name, number in agreement.select("by", "by size").iter_rows())
        + ".",
    )


def _rounded(correlation: float | None) -> str:
    return "none" if correlation is None else f"{correlation:.3f}"


def _thinned(edges: pl.DataFrame) -> pl.DataFrame:
    """The strongest edges by either axis, and evenly spread ones of the others."""
    ranks = [pl.col(axis).abs().rank("ordinal", descending=True) for axis in ("exact", "score")]
    strong = edges.select(pl.min_horizontal(ranks) <= _STRONGEST).to_series()
    others = edges.filter(~strong)
    return pl.concat([edges.filter(strong), others.gather_every(max(1, len(others) // _OTHERS)).head(_OTHERS)])


def _reach(values: pl.Series) -> float:
    return float(abs(values.to_numpy()).max() or 1.0) * 1.05


def _points(edges: pl.DataFrame, name: str, title: str, across: float, up: float, lowest: int) -> alt.LayerChart:
    x = alt.X("exact:Q", title="exact (nats)" if lowest else "exact, size (nats)", **_symlog(across, lowest))
    y = alt.Y("score:Q", title=f"{name} (nats)" if lowest else name, **_symlog(up, lowest))
    points = (
        alt.Chart(values(edges))
        .mark_circle(size=18, opacity=0.5, color=BLUE)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("edge:N"),
                alt.Tooltip("exact:Q", format="+.4g"),
                alt.Tooltip("score:Q", title=name, format="+.4g"),
            ],
        )
    )
    ends = [{"exact": end * across, "score": end * up} for end in (lowest, 1)] if lowest else []
    diagonal = alt.Chart(alt.InlineData(ends)).mark_line(color=FAINT, strokeDash=[4, 4]).encode(x=x, y=y)
    return alt.LayerChart(layer=[diagonal, points]).properties(width=_PANEL, height=_PANEL, title=panel_title(title))


def _symlog(reach: float, lowest: int) -> dict[str, Any]:
    """A scale from `lowest` times the reach to the reach: linear below a 300th of it, logarithmic above."""
    powers = [10.0**power for power in range(ceil(log10(reach / 100)), floor(log10(reach)) + 1)]
    ticks = sorted({0.0, *powers, *(lowest * power for power in powers)})
    scale = alt.Scale(type="symlog", constant=reach / 300, domain=[lowest * reach, reach], nice=False)
    return {"scale": scale, "axis": alt.Axis(domain=False, ticks=False, gridColor=GRID, values=ticks, format="~g")}
