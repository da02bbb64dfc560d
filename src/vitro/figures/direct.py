"""What components add directly to the logit difference: heads as a grid, all others as bars."""

import altair as alt
import polars as pl

from vitro.figures.axes import labelled, longest
from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.layers import HEAD_NAME, layer_by_head
from vitro.figures.look import WIDTH, dress, values
from vitro.figures.scales import change_color, largest
from vitro.figures.spoken import strongest
from vitro.figures.spread import means_and_prompts, prompt_count, spread
from vitro.tables.labels import counted

_HEIGHT = 200
_WIDEST_COLUMN = 34.0
_HOW = "What it writes to the final stream, read with the final norm's scale of the clean run; all shares sum to it."


def direct_heads(table: pl.DataFrame) -> alt.LayerChart:
    """A heatmap of the heads in table `direct_attribution`, mean over prompts, layer 0 at the top."""
    heads = table.filter(kind="head")
    cells = heads.group_by("layer", "head").agg(spread("share")).sort("layer", "head")
    grid = layer_by_head(cells, panels=1)
    tooltip = [
        alt.Tooltip("name:N", title="head"),
        alt.Tooltip("mean:Q", title="mean over prompts", format="+.4g"),
        alt.Tooltip("min:Q", title="lowest", format="+.4g"),
        alt.Tooltip("max:Q", title="highest", format="+.4g"),
    ]
    color = change_color(largest(cells["mean"]), "Mean share (nats)")
    figure = grid.heatmap(color, "false", tooltip).properties(data=values(cells)).transform_calculate(name=HEAD_NAME)
    return dress(
        figure,
        "What each head adds directly to the logit difference, right minus wrong",
        f"Mean over {counted(prompt_count(table))}. Blue: it speaks for right; red: for wrong.",
        _HOW,
        gist=f"Strongest: {strongest(cells, pl.format('a{}.h{}', 'layer', 'head'), pl.col('mean'))}.",
    )


def direct_layers(table: pl.DataFrame) -> alt.LayerChart:
    """Bars of the embedding, each layer's heads together, MLPs and biases, in the model's order."""
    together = (
        table.with_columns(
            pl.when(pl.col("kind") == "head").then(pl.format("a{}", "layer")).otherwise("component").alias("name")
        )
        .group_by("name", "prompt", maintain_order=True)
        .agg(pl.col("share").sum())
    )
    # A bias that a model has not is 0 in every prompt; where nothing adds anything, all are shown to be 0.
    there = together.filter((pl.col("share") != 0).any().over("name") | (pl.col("share") == 0).all())
    order = there["name"].unique(maintain_order=True).to_list()
    means = there.group_by("name", maintain_order=True).agg(pl.col("share").mean())
    prompts = prompt_count(table)
    column = min(_WIDEST_COLUMN, (WIDTH - 80) / len(order))
    x = alt.X("name:N", sort=order, title="a9: the heads of layer 9 together; m9: its MLP; b9: the bias of its heads")
    bars = bars_and_prompts(
        x.scale(alt.Scale(paddingInner=0.25)).axis(
            values=labelled(order, column),
            labelAngle=0 if longest(order) <= column else -90,
            ticks=False,
            domain=False,
        ),
        alt.Y("mean:Q", title="share (nats)"),
        [alt.Tooltip("name:N", title="component")],
        prompts=prompts,
        column=column,
        digits="+.4g",
    )
    return dress(
        bars.properties(
            data=values(means_and_prompts(there, ["name"], "share")), width=round(column * len(order)), height=_HEIGHT
        ),
        "What each layer adds directly to the logit difference, right minus wrong",
        caption(prompts),
        _HOW,
        gist=f"Strongest: {strongest(means, pl.col('name'), pl.col('share'))}.",
    )
