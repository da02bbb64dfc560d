"""What every MLP does on the spot: from the lens before it to the lens after it."""

import altair as alt
import polars as pl

from vitro.figures.layers import MLP_NAME, along_layers
from vitro.figures.look import BLUE, INK, PALE_BLUE, PALE_RED, RED, dress, values
from vitro.figures.odds import LEAST, NOTE, OddsAxis, at_log_odds
from vitro.figures.spoken import strongest
from vitro.figures.spread import prompt_count
from vitro.tables.labels import counted

_HEIGHT = 260
_LEAST_ROOM = 2.5
"""Pixels of a column that a prompt needs to be drawn by itself."""
_RISES = "datum.after >= datum.before"


def mlp_local(table: pl.DataFrame) -> alt.LayerChart:
    """Bars from `answer_prob_before` to `answer_prob_after` of table V11 (`mlp_local`), prompts as lines over them.

    Probabilities stand at their log-odds. So a bar's length says how hard an MLP pushes, and its height whether the
    answer had a chance there; where it has none before and after, nothing is drawn. Where prompts have no room beside
    each other, a line spans where they stand after it.
    """
    prompts = prompt_count(table)
    layers = along_layers(table)
    each = 0.7 * layers.column >= _LEAST_ROOM * prompts
    rows = _rows(table, each=each).filter(pl.max_horizontal("before", "after") > LEAST)
    rows = at_log_odds(rows, "before", "after", "min", "max")
    odds = OddsAxis.over(rows, _HEIGHT)
    base = alt.Chart().encode(
        x=layers.x,
        y=alt.Y("at_before:Q", scale=odds.scale, axis=odds.axis("the answer's probability")),
        y2="at_after:Q",
    )
    names = [
        alt.Tooltip("name:N", title="MLP"),
        alt.Tooltip("before:Q", title="before it", format=".4g"),
        alt.Tooltip("after:Q", title="after it", format=".4g"),
    ]
    bars = (
        base.transform_filter("!isValid(datum.prompt)")
        # The stroke shows a bar of no height.
        .mark_bar(strokeWidth=1.5)
        .encode(
            color=(pale := alt.when(_RISES).then(alt.value(PALE_BLUE)).otherwise(alt.value(PALE_RED))),
            stroke=pale,
            tooltip=[
                *names,
                alt.Tooltip("min:Q", title="after it, lowest prompt", format=".4g"),
                alt.Tooltip("max:Q", title="after it, highest prompt", format=".4g"),
            ],
        )
    )
    if each:
        lines = (
            base.transform_filter("isValid(datum.prompt)")
            .mark_rule(opacity=0.75, strokeWidth=min(2.0, 0.4 * layers.column / prompts), strokeCap="round")
            .encode(
                xOffset=alt.XOffset("prompt:O"),
                color=alt.when(_RISES).then(alt.value(BLUE)).otherwise(alt.value(RED)),
                tooltip=[alt.Tooltip("prompt:Q", title="prompt", format="d"), *names],
            )
        )
        drawn = "thin lines: the prompts"
    else:
        lines = base.mark_rule(color=INK, opacity=0.7, strokeWidth=1.2).encode(y="at_min:Q", y2="at_max:Q")
        drawn = "lines: after it, from the lowest prompt to the highest"
    figure = alt.LayerChart(layer=[bars, lines]).properties(data=values(rows), width=layers.width, height=_HEIGHT)
    return dress(
        figure.transform_calculate(name=MLP_NAME),
        "Each MLP on the spot: the answer's probability before and after it",
        "Lens on the final stream of the clean run (final norm, unembedding, softmax), before the MLP and after it; "
        "blue where it rises, red where it falls.",
        f"Bars: mean over {counted(prompts)}; {drawn}. {NOTE}",
        gist=f"It changes most in {_most(table)}.",
    )


def _most(table: pl.DataFrame) -> str:
    change = (pl.col("answer_prob_after") - pl.col("answer_prob_before")).mean()
    return strongest(
        table.group_by("layer").agg(change.alias("change")).sort("layer"), pl.format("m{}", "layer"), pl.col("change")
    )


def _rows(table: pl.DataFrame, *, each: bool) -> pl.DataFrame:
    """A row per layer with both means, and the range after it; with `each`, also a row per prompt."""
    named = table.rename({"answer_prob_before": "before", "answer_prob_after": "after"})
    means = named.group_by("layer").agg(
        pl.col("before", "after").mean(), pl.col("after").min().alias("min"), pl.col("after").max().alias("max")
    )
    return pl.concat([means.sort("layer"), *([named.sort("prompt", "layer")] if each else [])], how="diagonal")
