"""Edges by what cutting them changes."""

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, GRID, INK, RED, dress, values
from vitro.figures.quantities import CHANGES

_SHOWN = 40
_ROW = 15


def strongest_edges(edges: pl.DataFrame) -> alt.LayerChart:
    """Bars of the strongest edges of a table of means, in order of strength.

    edges: edge, logit_diff_change, answer_logit_change, answer_prob_change.
    """
    shown = edges.head(_SHOWN)
    value = CHANGES["logit_diff_change"]
    y = alt.Y("edge:N", sort=shown["edge"].to_list(), title=None, axis=alt.Axis(labelLimit=200, ticks=False))
    zero_line = alt.condition("datum.value === 0", alt.value(INK), alt.value(GRID))
    axis = alt.Axis(domain=False, ticks=False, gridColor=zero_line, tickCount=6)
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=alt.X("logit_diff_change:Q", title=value.axis, axis=axis),
            y=y,
            color=alt.when("datum.logit_diff_change < 0").then(alt.value(RED)).otherwise(alt.value(BLUE)),
            tooltip=[
                alt.Tooltip("edge:N"),
                alt.Tooltip("logit_diff_change:Q", title="logit difference", format="+.4g"),
                alt.Tooltip("answer_logit_change:Q", title="answer's logit", format="+.4g"),
                alt.Tooltip("answer_prob_change:Q", title="answer's probability", format="+.4g"),
            ],
        )
    )
    columns = ("edge", "logit_diff_change", "answer_logit_change", "answer_prob_change")
    figure = alt.LayerChart(layer=[bars]).properties(
        data=values(shown.select(columns)), width=560, height=_ROW * len(shown)
    )
    return dress(
        figure,
        f"The {len(shown)} strongest of {len(edges):,} edges: {value.name}",
        f"Mean over the prompts, edge cut minus clean; {value.sense}.",
    )
