"""Edges by how much cutting them changes."""

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, FAINT, GRID, INK, RED, dress, panel_title, values
from vitro.figures.quantities import of_change
from vitro.tables.quantities import QUANTITIES

_POINTS = 2000
"""Points of a panel: more would make the page heavy, and the rest lie on one another at 0."""
EDGE_NAME = pl.concat_str("source", pl.lit("->"), "target", pl.format("<{}>", "input").fill_null("")).alias("edge")
"""An edge as EAP-IG writes it: `m0->a9.h1<v>`."""

_SHOWN = 40
_ROW = 15


def strongest_edges(edges: pl.DataFrame, column: str, how: str = "edge cut minus clean") -> alt.LayerChart:
    """Bars of the strongest edges of a table of means, in order of strength.

    edges: edge, `column` (the change that they are ranked by), answer_logit_change, answer_prob_change.
    """
    shown = edges.head(_SHOWN)
    value = of_change(column)
    y = alt.Y("edge:N", sort=shown["edge"].to_list(), title=None, axis=alt.Axis(labelLimit=200, ticks=False))
    zero_line = alt.condition("datum.value === 0", alt.value(INK), alt.value(GRID))
    axis = alt.Axis(domain=False, ticks=False, gridColor=zero_line, tickCount=6)
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=alt.X(f"{column}:Q", title=f"change ({value.unit})", axis=axis),
            y=y,
            color=alt.when(f"datum.{column} < 0").then(alt.value(RED)).otherwise(alt.value(BLUE)),
            tooltip=[
                alt.Tooltip("edge:N"),
                alt.Tooltip(f"{column}:Q", title=value.words, format="+.4g"),
                alt.Tooltip("answer_logit_change:Q", title="answer's logit", format="+.4g"),
                alt.Tooltip("answer_prob_change:Q", title="answer's probability", format="+.4g"),
            ],
        )
    )
    columns = dict.fromkeys(("edge", column, "answer_logit_change", "answer_prob_change"))
    figure = alt.LayerChart(layer=[bars]).properties(
        data=values(shown.select(*columns)), width=560, height=_ROW * len(shown)
    )
    return dress(
        figure,
        f"The {len(shown)} strongest of {len(edges):,} edges: change of {value.words}",
        f"Mean over the prompts, {how}; {value.sense}.",
    )


def edge_agreement(table: pl.DataFrame, correlations: pl.DataFrame, metric: str) -> alt.HConcatChart:
    """Exact effects across, approximate ones up, a panel for each approximation, with the diagonal.

    table: source, target, input, approximation, exact, approximate. correlations: approximation, rank correlation, ...
    metric: what the effects are changes of.
    """
    size = pl.max_horizontal(pl.col("exact").abs(), pl.col("approximate").abs())
    axis = alt.Axis(domain=False, ticks=False, gridColor=GRID, tickCount=6)
    panels = []
    for approximation, rank, _ in correlations.iter_rows():
        edges = table.filter(approximation=approximation).with_columns(EDGE_NAME)
        shown = (
            edges.sort(size, descending=True, maintain_order=True).head(_POINTS).select("edge", "exact", "approximate")
        )
        reach = float(shown.select(pl.max_horizontal(pl.all().exclude("edge").abs().max())).item() or 1.0) * 1.05
        x = alt.X("exact:Q", title="exact change (nats)", axis=axis, scale=alt.Scale(domain=[-reach, reach]))
        y = alt.Y("approximate:Q", title="estimated (nats)", axis=axis, scale=alt.Scale(domain=[-reach, reach]))
        diagonal = alt.Chart(
            alt.InlineData([{"exact": -reach, "approximate": -reach}, {"exact": reach, "approximate": reach}])
        )
        points = (
            alt.Chart(values(shown))
            .mark_circle(size=22, opacity=0.6, color=BLUE)
            .encode(
                x=x,
                y=y,
                tooltip=[
                    alt.Tooltip("edge:N"),
                    alt.Tooltip("exact:Q", format="+.4g"),
                    alt.Tooltip("approximate:Q", title=approximation, format="+.4g"),
                ],
            )
        )
        title = panel_title(f"{approximation}: rank correlation {rank:.3f}")
        panels.append(
            alt.LayerChart(
                layer=[diagonal.mark_line(color=FAINT, strokeDash=[4, 4]).encode(x=x, y=y), points]
            ).properties(width=360, height=360, title=title)
        )
    return dress(
        alt.HConcatChart(hconcat=panels),
        "What gradients say of the edges, against what cutting them does",
        f"Mean change of {QUANTITIES[metric].words}. Rank correlation: over all edges; drawn: the "
        f"{min(_POINTS, len(table) // len(panels)):,} strongest.",
    )
