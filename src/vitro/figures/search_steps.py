"""A search replayed: what was dropped, and what the circuit was worth after each step."""

import altair as alt
import polars as pl

from vitro.figures.look import FAINT, GRAY, HEAD_COLORS, dress, values
from vitro.figures.spoken import listed

NAMED = 12
"""Components of a step that are named; of more, their number is told."""

_FEW = 80
"""Up to this many steps have larger dots."""
_WIDTH, _HEIGHT = 860, 150
_COLORS = {"node": HEAD_COLORS[0], "edge": HEAD_COLORS[1]}


def search_steps(find: pl.DataFrame, search: pl.DataFrame) -> alt.VConcatChart:
    """Faithfulness and the number of components left over the steps of table `search`.

    A step is coloured by what it dropped or took back, a node or an edge. The dashed line is the least faithfulness, of
    table `find`. Hovering over a step shows what it was, what it cost, and how many circuits had been run by then.
    """
    outcome = find.row(0, named=True)
    base = alt.Chart().encode(
        x=alt.X("step:Q").axis(grid=False, tickMinStep=1).title(None),
        color=alt.Color(
            "level:N",
            scale=alt.Scale(domain=list(_COLORS), range=list(_COLORS.values())),
            legend=alt.Legend(orient="top", title=None, symbolType="stroke", symbolStrokeWidth=3, offset=8),
        ),
    )
    level = alt.Axis(tickCount=5, domain=False, ticks=False, offset=6)
    faithfulness = alt.Y("faithfulness:Q", title="faithfulness", axis=level, scale=alt.Scale(zero=False, nice=5))
    left = alt.Y("left:Q", title="components left", axis=level, scale=alt.Scale(zero=True, nice=5))
    least = alt.Chart(alt.InlineData([{"tau": outcome["tau"]}])).mark_rule(color=FAINT, strokeDash=[4, 3])
    steps = _by_step(search)
    dot = 40 if len(steps) <= _FEW else 10
    upper = [
        least.encode(y="tau:Q"),
        base.mark_line(interpolate="step-after", strokeWidth=1.4).encode(y=faithfulness, color=alt.value(GRAY)),
        _points(base, dot).encode(y=faithfulness),
    ]
    below = base.encode(x=alt.X("step:Q", title="step").axis(grid=False, tickMinStep=1))
    lower = [
        below.mark_line(interpolate="step-after", strokeWidth=1.4).encode(y=left),
        _points(below, dot).encode(y=left),
    ]
    panels = [alt.LayerChart(layer=layers, width=_WIDTH, height=_HEIGHT) for layers in (upper, lower)]
    dropped = [f"{count} {name}s" for name in _COLORS if (count := len(search.filter(level=name, action="dropped")))]
    back = len(search.filter(action="added"))
    triangles = (
        f" Triangles: {'a component was' if back == 1 else f'{back} components were'} taken back." if back else ""
    )
    return dress(
        alt.VConcatChart(vconcat=panels, data=values(steps), spacing=18),
        f"The search dropped {' and '.join(dropped) or 'nothing'}, running {outcome['measured']:,} circuits",
        f"Dashed: the least faithfulness, {outcome['tau']:.2g}, that a circuit may have.{triangles}",
        gist="At the end: "
        + listed(
            f"{level}s left: {left}"
            for level, left in search.group_by("level", maintain_order=True).agg(pl.col("left").last()).iter_rows()
        )
        + f", faithfulness {outcome['faithfulness']:.3g}.",
    )


def _by_step(search: pl.DataFrame) -> pl.DataFrame:
    """A row a step: components can be dropped together."""
    more = pl.when(pl.len() > NAMED).then(pl.format(" and {} more", pl.len() - NAMED)).otherwise(pl.lit(""))
    return search.group_by("step", maintain_order=True).agg(
        pl.col("level", "action", "left", "faithfulness", "right", "measured").first(),
        pl.col("cost").max(),
        components=pl.col("component").head(NAMED).str.join(", ") + more,
    )


def _points(base: alt.Chart, dot: int) -> alt.Chart:
    """A point for each step to hover over. dot: its area in pixels."""
    points: alt.Chart = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.when("datum.action === 'added'").then(alt.value("triangle-up")).otherwise(alt.value("circle")),
        size=alt.when("datum.action === 'added'").then(alt.value(70)).otherwise(alt.value(dot)),
        tooltip=[
            alt.Tooltip("step:Q"),
            alt.Tooltip("action:N"),
            alt.Tooltip("components:N"),
            alt.Tooltip("cost:Q", title="the most that one costs alone", format=".3f"),
            alt.Tooltip("faithfulness:Q", title="faithfulness after it", format=".3f"),
            alt.Tooltip("left:Q", title="left of this kind"),
            alt.Tooltip("right:Q", title="prompts right"),
            alt.Tooltip("measured:Q", title="circuits run by then"),
        ],
    )
    return points
