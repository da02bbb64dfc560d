"""Where heads look from the final stream."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import across
from vitro.figures.look import WIDTH, dress, values
from vitro.figures.scales import amount_color, ink_on
from vitro.figures.spread import prompt_count, spread

_WIDEST_CELL = 90.0
_HEIGHT, _LOW_HEIGHT = 30, 17
_READABLE = 30
"""Pixels that a weight with two decimals takes."""


def final_attention(table: pl.DataFrame, tokens: Sequence[str]) -> alt.LayerChart:
    """A heatmap of table V6 (`attention`), averaged over prompts: heads down, positions across.

    `tokens` are those of the positions, in order. Where there is room the weight stands in its cell. Hovering gives
    the spread over prompts. A table with a column `circuit` (`circuit_attention`) has a row for each circuit's heads.
    """
    circuit = ["circuit"] if "circuit" in table.columns else []
    head = pl.format("a{}.h{}", "layer", "head")
    cells = (
        table.group_by(*circuit, "layer", "head", "position")
        .agg(spread("weight"))
        .sort(*circuit, "layer", "head", "position")
        .with_columns((pl.format("{} {}", *circuit, head) if circuit else head).alias("name"))
        .drop(*circuit, "layer", "head")
    )
    names = cells["name"].unique(maintain_order=True).to_list()
    width = min(_WIDEST_CELL, (WIDTH - 90) / len(tokens))
    height = _HEIGHT if len(names) <= 16 else _LOW_HEIGHT
    x = alt.X(
        "position:O",
        axis=across(tokens, width, title="position attended to"),
        scale=alt.Scale(domain=[*range(len(tokens))]),
    )
    y = alt.Y("name:N", sort=None, title="Head", axis=alt.Axis(ticks=False, domain=False))
    cell = alt.Chart().encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("name:N", title="head"),
            alt.Tooltip("position:Q", title="position", format="d"),
            alt.Tooltip("mean:Q", title="mean over prompts", format=".4g"),
            alt.Tooltip("min:Q", title="lowest", format=".4g"),
            alt.Tooltip("max:Q", title="highest", format=".4g"),
        ],
    )
    painted = cell.mark_rect(stroke="white").encode(color=amount_color(1, "Mean attention weight"))
    written = cell.mark_text(fontSize=11).encode(text=alt.Text("mean:Q", format=".2f"), color=ink_on(1))
    figure = alt.LayerChart(
        data=values(cells),
        layer=[painted, written] if width >= _READABLE else [painted],
        width=round(width * len(tokens)),
        height=height * len(names),
    )
    return dress(
        figure,
        "Where the heads look from the final stream",
        f"Attention weight from the last position to each position, mean over {prompt_count(table)} prompts; a row "
        "sums to 1.",
    )
