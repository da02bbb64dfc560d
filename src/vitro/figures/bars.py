"""Bars of means, with the prompts drawn over them."""

import altair as alt
from altair.typing import ChannelColor

from vitro.figures.look import BLUE, GRAY, GRID, INK, PALE, PALE_BLUE, PALE_RED, RED
from vitro.figures.spread import DOTS
from vitro.tables.labels import counted

_BY_SIGN = "(isValid(datum.mean) ? datum.mean : datum.value) < 0"


def bars_and_prompts(
    x: alt.X,
    y: alt.Y,
    names: list[alt.Tooltip],
    *,
    prompts: int,
    column: float,
    digits: str,
    lost: str = _BY_SIGN,
    clean: str = "false",
) -> alt.LayerChart:
    """One bar per x from 0 to its mean; over it a dot per prompt or, where these are many, the range that they span.

    It draws the rows of `means_and_prompts`. `y` is an axis on the field `mean`. Hovering tells the `names` of a bar
    and its numbers in the format `digits`. `column` is the width of bar and gap, in pixels. Blue means that the answer
    gained and red that it lost, as in the heatmaps of the heads. `lost` is a Vega expression that is true of rows where
    it lost, `clean` one that is true of the rows with which the others are compared.
    """
    base = alt.Chart().encode(x=x)
    zero_line = alt.condition("datum.value === 0", alt.value(INK), alt.value(GRID))
    bars = (
        base.transform_filter("isValid(datum.mean)")
        .mark_bar()
        .encode(
            y=y.scale(nice=5).axis(tickCount=5, domain=False, ticks=False, gridColor=zero_line),
            color=_paint(lost, clean, PALE_RED, PALE, PALE_BLUE),
            tooltip=[
                *names,
                alt.Tooltip("mean:Q", title="mean over prompts", format=digits),
                alt.Tooltip("min:Q", title="lowest", format=digits),
                alt.Tooltip("max:Q", title="highest", format=digits),
            ],
        )
    )
    if prompts > DOTS:
        lines = base.mark_rule(color=INK, opacity=0.7, strokeWidth=1.2).encode(y="min:Q", y2="max:Q")
        return alt.LayerChart(layer=[bars, lines])
    dots = (
        base.transform_filter("isValid(datum.value)")
        .mark_circle(size=min(22.0, 1.2 * column), opacity=0.75)
        .encode(
            y="value:Q",
            color=_paint(lost, clean, RED, GRAY, BLUE),
            tooltip=[
                *names,
                alt.Tooltip("prompt:Q", title="prompt", format="d"),
                alt.Tooltip("value:Q", title="in this prompt", format=digits),
            ],
        )
    )
    return alt.LayerChart(layer=[bars, dots])


def caption(prompts: int) -> str:
    """What is drawn over the bars, for a subtitle."""
    over = "dots: the prompts" if prompts <= DOTS else "lines: from the lowest prompt to the highest"
    return f"Bars: mean over {counted(prompts)}; {over}."


def _paint(lost: str, clean: str, red: str, gray: str, blue: str) -> ChannelColor:
    return alt.when(clean).then(alt.value(gray)).when(lost).then(alt.value(red)).otherwise(alt.value(blue))
