"""Where heads look from the final stream, in the model and in circuits."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import across, columns_of
from vitro.figures.choice import MEAN, Choice
from vitro.figures.look import WIDTH, dress, values
from vitro.figures.scales import amount_color, ink_on
from vitro.figures.spoken import strongest
from vitro.figures.spread import prompt_count, spread
from vitro.figures.tokens import word
from vitro.tables.labels import counted

_WIDEST_CELL = 90.0
_HEIGHT, _LOW_HEIGHT = 30, 17
_READABLE = 30
"""Pixels that a weight with two decimals takes."""
_GAP = 8
"""Pixels between two circuits."""
_NAME = pl.format("a{}.h{}", "layer", "head").alias("name")


def final_attention(
    table: pl.DataFrame, tokens: Sequence[str], prompt_tokens: Sequence[Sequence[str]] | None = None
) -> alt.LayerChart:
    """A heatmap of table V6 (`attention`), averaged over prompts: heads down, positions across.

    `tokens` are those of the positions, in order; `prompt_tokens` are those of every prompt, so that on a page one
    prompt can be chosen instead of the mean. Where there is room the weight stands in its cell. Hovering gives the
    spread over prompts.
    """
    choice = Choice(tokens, prompt_tokens or ())
    means = table.group_by("layer", "head", "position").agg(spread("weight")).with_columns(prompt=pl.lit(MEAN))
    alone = table.filter(pl.col("prompt").is_in(choice.prompts))
    cells = (
        pl.concat(
            [means, alone.select("layer", "head", "position", pl.col("weight").alias("mean"), pl.col("prompt"))],
            how="diagonal_relaxed",
        )
        .sort("prompt", "layer", "head", "position")
        .select(_NAME, pl.exclude("layer", "head"))
    )
    n_heads = cells["name"].n_unique()
    cell = _cell(tokens)
    axis = choice.named(across(choice.widest, cell, title="attended to"))
    figure = (
        choice.filtered(_heatmap(axis, cell, len(tokens), "Head"))
        .properties(data=values(cells), height=(_HEIGHT if n_heads <= 16 else _LOW_HEIGHT) * n_heads)
        .add_params(choice.listed)
    )
    return dress(figure, "Where the heads look from the final stream", _caption(table), gist=_gist(means, tokens))


def circuit_attention(table: pl.DataFrame, tokens: Sequence[str]) -> alt.VConcatChart:
    """A heatmap of each circuit's own heads from the table `circuit_attention`, in the table's order."""
    circuits = table["circuit"].unique(maintain_order=True).to_list()
    cells = (
        table.group_by("circuit", "layer", "head", "position")
        .agg(spread("weight"))
        .sort(pl.col("circuit").cast(pl.Enum(circuits)), "layer", "head", "position")
        .select(_NAME, pl.exclude("layer", "head"))
    )
    cell = _cell(tokens)
    # Not facets: Vega-Lite warns of facets that have heads of their own.
    panels = [
        _heatmap(
            across(tokens, cell, title="attended to") if circuit == circuits[-1] else None, cell, len(tokens), None
        )
        .properties(data=values(rows), height=_LOW_HEIGHT * rows["name"].n_unique())
        .properties(title=alt.TitleParams(circuit, fontSize=13, anchor="start", offset=4, limit=WIDTH - 90))
        for circuit in circuits
        for rows in [cells.filter(circuit=circuit)]
    ]
    heatmaps = alt.VConcatChart(vconcat=panels, spacing=_GAP)
    return dress(
        heatmaps, "Where the circuits' heads look from the final stream", _caption(table), gist=_gist(cells, tokens)
    )


def _gist(means: pl.DataFrame, tokens: Sequence[str]) -> str:
    place = pl.col("position").replace_strict(range(len(tokens)), [word(token) for token in tokens])
    name = _NAME if "name" not in means.columns else pl.col("name")
    return f"Largest weights: {strongest(means, pl.format('{} to {}', name, place), pl.col('mean'), '.2f')}."


def _cell(tokens: Sequence[str]) -> float:
    """The width of a cell in pixels."""
    return min(_WIDEST_CELL, (WIDTH - 90) / len(tokens))


def _heatmap(axis: alt.Axis | None, cell: float, positions: int, title: str | None) -> alt.LayerChart:
    """A heatmap of heads by positions; `title` is the title of the heads' axis."""
    base = alt.Chart().encode(
        x=alt.X("position:O", axis=axis, scale=columns_of(positions)),
        y=alt.Y("name:N", sort=None, title=title, axis=alt.Axis(ticks=False, domain=False)),
        tooltip=[
            alt.Tooltip("name:N", title="head"),
            alt.Tooltip("position:Q", title="position", format="d"),
            alt.Tooltip("mean:Q", title="weight", format=".4g"),
            alt.Tooltip("min:Q", title="lowest", format=".4g"),
            alt.Tooltip("max:Q", title="highest", format=".4g"),
        ],
    )
    painted = base.mark_rect(stroke="white").encode(color=amount_color(1, "Attention weight"))
    written = base.mark_text(fontSize=11).encode(text=alt.Text("mean:Q", format=".2f"), color=ink_on(1))
    layers = [painted, written] if cell >= _READABLE else [painted]
    return alt.LayerChart(layer=layers, width=round(cell * positions))


def _caption(table: pl.DataFrame) -> str:
    over = f"mean over {counted(prompt_count(table))}"
    return f"Attention weight from the last position to each place, {over}; a row sums to 1."
