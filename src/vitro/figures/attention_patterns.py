"""The whole attention pattern of chosen heads."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import name_of
from vitro.figures.look import dress, panel_title, values
from vitro.figures.scales import amount_color
from vitro.figures.spread import prompt_count
from vitro.figures.tiles import Tiles


def attention_patterns(table: pl.DataFrame, tokens: Sequence[str]) -> alt.ConcatChart:
    """A small heatmap for each head of table `attention_pattern`, averaged over prompts: queries down, keys across.

    `tokens` are those of the positions, in order. A query sees only what precedes it, so half of each square is bare.
    """
    tiles = Tiles(rows=tokens, columns=tokens)
    painted = (
        alt.Chart()
        .mark_rect(stroke="white", strokeWidth=1 if tiles.cell >= 9 else 0)
        .encode(
            x=tiles.x("key", "to (key)"),
            color=amount_color(1, "Mean attention weight", "weight"),
            tooltip=[
                alt.Tooltip("from:N", title="from"),
                alt.Tooltip("to:N", title="to"),
                alt.Tooltip("weight:Q", title="mean weight", format=".4g"),
            ],
        )
    )
    named = {"from": name_of("datum.query", tokens), "to": name_of("datum.key", tokens)}
    panels = [
        alt.LayerChart(
            data=values(rows.select("query", "weight")),
            layer=[painted.encode(y=tiles.y("query", "from (query)", number))],
            title=panel_title(f"a{layer}.h{head}"),
            width=tiles.width,
            height=tiles.height,
        )
        .transform_calculate(key="sequence(length(datum.weight))")
        .transform_flatten(["key", "weight"])
        .transform_calculate(**named)
        for number, ((layer, head), rows) in enumerate(_rows(table).group_by("layer", "head", maintain_order=True))
    ]
    return dress(
        tiles.side_by_side(panels),
        "Where the heads look from every stream",
        f"Attention weight from each position to those up to it, mean over {prompt_count(table)} prompts; a row sums "
        "to 1.",
    )


def _rows(table: pl.DataFrame) -> pl.DataFrame:
    """A row per head and query: the list of its mean weights, key by key."""
    return (
        table.filter(pl.col("key") <= pl.col("query"))
        .group_by("layer", "head", "query", "key")
        .agg(pl.col("weight").mean())
        .sort("layer", "head", "query", "key")
        .group_by("layer", "head", "query", maintain_order=True)
        .agg("weight")
    )
