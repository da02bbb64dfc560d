"""A search replayed: what was dropped, and what the circuit was worth after each step."""

import altair as alt
import polars as pl

from vitro.figures.look import FAINT, HEAD_COLORS, dress, values

_WIDTH, _HEIGHT = 860, 150
_COLORS = {"node": HEAD_COLORS[0], "edge": HEAD_COLORS[1]}


def search_steps(find: pl.DataFrame, search: pl.DataFrame) -> alt.VConcatChart:
    """Faithfulness and the number of components left over the steps of table `search`, nodes first, then edges.

    The dashed line is the least faithfulness, of table `find`. Hovering over a step shows what was dropped or taken
    back, what it cost, and how many circuits had been run by then.
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
    panels = [
        alt.LayerChart(layer=[least.encode(y="tau:Q"), *_line(base, faithfulness)], width=_WIDTH, height=_HEIGHT),
        alt.LayerChart(
            layer=_line(base.encode(x=alt.X("step:Q", title="step").axis(grid=False, tickMinStep=1)), left),
            width=_WIDTH,
            height=_HEIGHT,
        ),
    ]
    steps = search.select("step", "level", "action", "component", "cost", "left", "faithfulness", "right", "measured")
    dropped = [f"{count} {name}s" for name in _COLORS if (count := len(steps.filter(level=name, action="dropped")))]
    back = len(steps.filter(action="added"))
    return dress(
        alt.VConcatChart(vconcat=panels, data=values(steps), spacing=18),
        f"The search dropped {' and '.join(dropped) or 'nothing'}, running {outcome['measured']:,} circuits",
        f"Dashed: the least faithfulness, {outcome['tau']:.2g}, that a circuit may have. "
        f"Triangles: {f'the {back} steps' if back != 1 else 'the step'} at which a component was taken back."
        if back
        else f"Dashed: the least faithfulness, {outcome['tau']:.2g}, that a circuit may have.",
    )


def _line(base: alt.Chart, y: alt.Y) -> list[alt.Chart]:
    """A staircase, and a point for each step to hover over."""
    points = base.mark_point(filled=True, opacity=1).encode(
        y=y,
        shape=alt.when("datum.action === 'added'").then(alt.value("triangle-up")).otherwise(alt.value("circle")),
        size=alt.when("datum.action === 'added'").then(alt.value(70)).otherwise(alt.value(10)),
        tooltip=[
            alt.Tooltip("step:Q"),
            alt.Tooltip("action:N"),
            alt.Tooltip("component:N"),
            alt.Tooltip("cost:Q", title="cost, alone", format=".3f"),
            alt.Tooltip("faithfulness:Q", title="faithfulness after it", format=".3f"),
            alt.Tooltip("left:Q", title="left of this kind"),
            alt.Tooltip("right:Q", title="prompts right"),
            alt.Tooltip("measured:Q", title="circuits run by then"),
        ],
    )
    return [base.mark_line(interpolate="step-after", strokeWidth=1.6).encode(y=y), points]
