"""Curves of means, with the prompts behind them."""

from typing import Literal

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, INK
from vitro.figures.spread import DOTS
from vitro.tables.labels import counted

_ABREAST = 5
"""Names in a line of the legend: no wider than half a page."""


def right_and_wrong(table: pl.DataFrame, right: str, wrong: str, *keys: str) -> pl.DataFrame:
    """`answer_prob` and `wrong_prob` below each other, as `prob` of a `token`, beside the keys."""
    named = table.rename({"answer_prob": right, "wrong_prob": wrong})
    return named.unpivot([right, wrong], index=["prompt", *keys], variable_name="token", value_name="prob")


def token_color(right: str, wrong: str) -> alt.Color:
    """The answer blue and the wrong one dark, as among the clean answers."""
    return color("token", {right: BLUE, wrong: INK})


def color(field: str, colors: dict[str, str]) -> alt.Color:
    """The colour of the lines, with a legend above them."""
    legend = alt.Legend(
        orient="top", title=None, columns=_ABREAST, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1, offset=8
    )
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(colors), range=list(colors.values())), legend=legend)


def level(title: str) -> alt.Y:
    """The axis of what is drawn as it is."""
    return alt.Y("mean:Q", title=title).scale(nice=5).axis(tickCount=5, domain=False, ticks=False, offset=6)


def curves(
    x: alt.X,
    y: alt.Y,
    lines: alt.Color,
    names: list[alt.Tooltip],
    *,
    prompts: int,
    prompts_as: Literal["lines", "dots"],
    at: str = "",
) -> alt.LayerChart:
    """A thick line of means in each colour; behind it each prompt as a thin line or as dots, or their range as a band.

    It draws the rows of `means_and_prompts`. `y` is a scale and its axis, on the field `mean`. Hovering shows the
    `names` of a point and its values. at: what the names of the fields begin with that are drawn ("at_": log-odds),
    where they are not those that hovering shows.
    """
    base = alt.Chart().encode(x=x, color=lines)
    means = base.transform_filter("isValid(datum.mean)")
    line = means.mark_line(strokeWidth=2.5).encode(y=y)
    points = means.mark_point(filled=True, size=34, opacity=1, stroke="white", strokeWidth=0.8).encode(
        y=f"{at}mean:Q",
        tooltip=[
            *names,
            alt.Tooltip("mean:Q", title="mean over prompts", format=".4g"),
            alt.Tooltip("min:Q", title="lowest", format=".4g"),
            alt.Tooltip("max:Q", title="highest", format=".4g"),
        ],
    )
    if prompts > DOTS:
        band = means.mark_area(opacity=0.16).encode(y=f"{at}min:Q", y2=f"{at}max:Q")
        return alt.LayerChart(layer=[band, line, points])
    prompt_lines = base.transform_filter("isValid(datum.value)").encode(
        y=f"{at}value:Q",
        detail="prompt:N",
        tooltip=[
            *names,
            alt.Tooltip("prompt:Q", title="prompt", format="d"),
            alt.Tooltip("value:Q", title="in this prompt", format=".4g"),
        ],
    )
    behind = (
        prompt_lines.mark_line(strokeWidth=1, opacity=0.35)
        if prompts_as == "lines"
        else prompt_lines.mark_circle(size=20, opacity=0.5)
    )
    return alt.LayerChart(layer=[behind, line, points])


def caption(prompts: int, prompts_as: Literal["lines", "dots"]) -> str:
    """What is drawn behind the lines, for a subtitle."""
    behind = {"lines": "thin lines: the prompts", "dots": "dots: the prompts"}[prompts_as]
    if prompts > DOTS:
        behind = "bands: from the lowest prompt to the highest"
    return f"Thick lines: mean over {counted(prompts)}; {behind}."
