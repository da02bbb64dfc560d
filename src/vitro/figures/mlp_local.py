"""What every MLP does on the spot: the lens after it minus the lens before it."""

import altair as alt
import polars as pl

from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.layers import MLP_NAME, along_layers
from vitro.figures.look import dress, values
from vitro.figures.spread import means_and_prompts, prompt_count

_HEIGHT = 220


def mlp_local(table: pl.DataFrame) -> alt.LayerChart:
    """Bars of `answer_prob_after` minus `answer_prob_before` of table V11 (`mlp_local`), with the prompts over them."""
    prompts = prompt_count(table)
    layers = along_layers(table)
    change = (pl.col("answer_prob_after") - pl.col("answer_prob_before")).alias("change")
    bars = bars_and_prompts(
        layers.x,
        alt.Y("mean:Q", title="change (probability)"),
        [alt.Tooltip("name:N", title="MLP")],
        prompts=prompts,
        column=layers.column,
        digits="+.4g",
    )
    figure = bars.properties(
        data=values(means_and_prompts(table.with_columns(change), ["layer"], "change")),
        width=layers.width,
        height=_HEIGHT,
    ).transform_calculate(name=MLP_NAME)
    return dress(
        figure,
        "Each MLP on the spot: change of the answer's probability in the logit lens",
        "Lens on the final stream after the MLP minus the same before it, in the clean run (lens: final norm, "
        "unembedding, softmax).",
        f"{caption(prompts)} Positive: the answer gained.",
    )
