"""The whole attention pattern of chosen heads."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.choice import MEAN, Choice
from vitro.figures.look import dress, panel_title, values
from vitro.figures.scales import amount_color
from vitro.figures.spoken import strongest
from vitro.figures.spread import prompt_count
from vitro.figures.tiles import Tiles
from vitro.figures.tokens import word


def attention_patterns(
    table: pl.DataFrame, tokens: Sequence[str], prompt_tokens: Sequence[Sequence[str]] | None = None
) -> alt.ConcatChart:
    """A small heatmap for each head of table `attention_pattern`, averaged over prompts: queries down, keys across.

    `tokens` are those of the positions, in order; `prompt_tokens` are those of every prompt, so that on a page one
    prompt can be chosen instead of the mean. The table may be of the first prompt alone. A query sees only what
    precedes it, so half of each square is empty.
    """
    choice = Choice(tokens, prompt_tokens or ())
    tiles = Tiles(rows=choice.widest, columns=choice.widest)
    painted = (
        alt.Chart()
        .mark_rect(stroke="white", strokeWidth=1 if tiles.cell >= 9 else 0)
        .encode(
            x=choice.renamed(tiles.x("key", "to (key)")),
            color=amount_color(1, "Attention weight", "weight"),
            tooltip=[
                alt.Tooltip("from:N", title="from"),
                alt.Tooltip("to:N", title="to"),
                alt.Tooltip("weight:Q", title="weight", format=".4g"),
            ],
        )
    )
    named = {"from": choice.name("datum.query"), "to": choice.name("datum.key")}
    panels = [
        alt.LayerChart(
            data=values(rows.select("prompt", "query", "weight")),
            layer=[painted.encode(y=choice.renamed(tiles.y("query", "from (query)", number)))],
            title=panel_title(f"a{layer}.h{head}"),
            width=tiles.width,
            height=tiles.height,
        )
        .transform_filter(choice.CHOSEN)
        .transform_calculate(key="sequence(length(datum.weight))")
        .transform_flatten(["key", "weight"])
        .transform_calculate(**named)
        for number, ((layer, head), rows) in enumerate(
            _rows(table, choice.prompts).group_by("layer", "head", maintain_order=True)
        )
    ]
    n_prompts = prompt_count(table)
    over = f"mean over {n_prompts} prompts" if n_prompts > 1 else "in the first prompt"
    return dress(
        tiles.side_by_side(panels).add_params(choice.listed),
        "Where the heads look from every stream",
        f"Attention weight from each position to those up to it, {over}; a row sums to 1.",
        gist=f"Largest weights to other positions: {_largest(table, choice.tokens)}.",
    )


def _largest(table: pl.DataFrame, tokens: Sequence[str]) -> str:
    means = table.filter(pl.col("key") < pl.col("query")).group_by("layer", "head", "query", "key")
    names = [word(token) for token in tokens]
    ends = [pl.col(end).replace_strict(range(len(names)), names) for end in ("query", "key")]
    named = pl.format("a{}.h{} from {} to {}", "layer", "head", *ends)
    return strongest(
        means.agg(pl.col("weight").mean()).sort("layer", "head", "query", "key"), named, pl.col("weight"), ".2f"
    )


def _rows(table: pl.DataFrame, prompts: Sequence[int]) -> pl.DataFrame:
    """A row per head and query, for the mean and for each of some prompts: the list of weights, key by key."""
    seen = table.filter(pl.col("key") <= pl.col("query"))
    mean = seen.group_by("layer", "head", "query", "key").agg(pl.col("weight").mean()).with_columns(prompt=pl.lit(MEAN))
    alone = seen.filter(pl.col("prompt").is_in(prompts))
    return (
        pl.concat([mean, alone], how="diagonal_relaxed")
        .sort("layer", "head", "prompt", "query", "key")
        .group_by("layer", "head", "prompt", "query", maintain_order=True)
        .agg("weight")
    )
