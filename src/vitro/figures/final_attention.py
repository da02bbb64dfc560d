"""Where heads look from the final stream."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import across
from vitro.figures.choice import MEAN, Choice
from vitro.figures.look import WIDTH, dress, values
from vitro.figures.scales import amount_color, ink_on
from vitro.figures.spread import prompt_count, spread

_WIDEST_CELL = 90.0
_HEIGHT, _LOW_HEIGHT = 30, 17
_READABLE = 30
"""Pixels that a weight with two decimals takes."""


def final_attention(
    table: pl.DataFrame, tokens: Sequence[str], each: Sequence[Sequence[str]] | None = None
) -> alt.LayerChart:
    """A heatmap of table V6 (`attention`), averaged over prompts: heads down, positions across.

    `tokens` are those of the positions, in order; `each` are every prompt's own, so that on a page one prompt can be
    chosen instead of the mean. Where there is room the weight stands in its cell. Hovering gives the spread over
    prompts. A table with a column `circuit` (`circuit_attention`) has a row for each circuit's heads.
    """
    choice = Choice(tokens, each or ())
    circuit = ["circuit"] if "circuit" in table.columns else []
    rows = [*circuit, "layer", "head"]
    head = pl.format("a{}.h{}", "layer", "head")
    means = table.group_by(*rows, "position").agg(spread("weight")).with_columns(prompt=pl.lit(MEAN))
    alone = table.filter(pl.col("prompt").is_in(choice.prompts))
    cells = (
        pl.concat(
            [means, alone.select(*rows, "position", pl.col("weight").alias("mean"), pl.col("prompt"))],
            how="diagonal_relaxed",
        )
        .sort("prompt", *rows, "position")
        .with_columns((pl.format("{} {}", *circuit, head) if circuit else head).alias("name"))
        .drop(*rows)
    )
    names = cells["name"].unique(maintain_order=True).to_list()
    width = min(_WIDEST_CELL, (WIDTH - 90) / len(tokens))
    height = _HEIGHT if len(names) <= 16 else _LOW_HEIGHT
    x = alt.X(
        "position:O",
        axis=choice.named(across(choice.widest, width, title="position attended to")),
        scale=alt.Scale(domain=[*range(len(tokens))]),
    )
    y = alt.Y("name:N", sort=None, title="Head", axis=alt.Axis(ticks=False, domain=False))
    cell = choice.filtered(alt.Chart()).encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("name:N", title="head"),
            alt.Tooltip("position:Q", title="position", format="d"),
            alt.Tooltip("mean:Q", title="weight", format=".4g"),
            alt.Tooltip("min:Q", title="lowest", format=".4g"),
            alt.Tooltip("max:Q", title="highest", format=".4g"),
        ],
    )
    painted = cell.mark_rect(stroke="white").encode(color=amount_color(1, "Attention weight"))
    written = cell.mark_text(fontSize=11).encode(text=alt.Text("mean:Q", format=".2f"), color=ink_on(1))
    figure = alt.LayerChart(
        data=values(cells),
        layer=[painted, written] if width >= _READABLE else [painted],
        width=round(width * len(tokens)),
        height=height * len(names),
    ).add_params(choice.listed)
    return dress(
        figure,
        "Where the heads look from the final stream",
        f"Attention weight from the last position to each position, mean over {prompt_count(table)} prompts; a row "
        "sums to 1.",
    )
