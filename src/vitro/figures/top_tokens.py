"""Grids of words: the top token of a stream, layer by layer."""

from collections.abc import Sequence

import altair as alt
import polars as pl
from altair.typing import ChannelColor

from vitro.figures.axes import across, columns_of, longest, name_of, overhang
from vitro.figures.look import INK, PALE_BLUE, WASH, WIDTH, dress, size, values
from vitro.figures.scales import amount_color, ink_on
from vitro.figures.spoken import listed
from vitro.figures.spread import prompt_count, some_prompts
from vitro.figures.tokens import readable, word

_WIDEST_CELL = 110.0
_HEIGHT, _LOW_HEIGHT = 24, 17
_NAMES, _MARGIN = 70, 30
"""Pixels of the rows' numbers and their title, and of what is bare beside slanted labels."""
_READABLE = 30
"""Pixels below which a cell holds no word."""


_SPACES = "The low bracket before a word is its leading space."


def layer_top_tokens(table: pl.DataFrame, labels: Sequence[str]) -> alt.LayerChart:
    """The top token at the end of every layer, from table V8 (`layer_lens_top`): layers down, prompts across.

    `labels` are those of the prompts, in order. The darker a cell, the more probable its token. Hovering lists the
    top 5. Of more than 12 prompts, 12 are shown, evenly spread.
    """
    shown, rows, chosen = _columns(table.filter(pl.col("stage") == "post"))
    return dress(
        _grid(
            _cells(rows, most=5),
            [labels[prompt] for prompt in shown],
            most=5,
            down="after layer",
            across_title="prompt",
            fill=amount_color(1, "Probability of the top token", "prob"),
            ink=ink_on(1, "prob"),
        ),
        "The top token after every layer",
        f"Logit lens on the final stream of the clean run: final norm, unembedding, softmax{chosen}.",
        _SPACES,
        gist="After the last layer: "
        + _tops(rows.filter(layer=rows["layer"].max()), [labels[prompt] for prompt in shown])
        + ".",
    )


def head_top_tokens(table: pl.DataFrame, heads: pl.DataFrame, labels: Sequence[str]) -> alt.LayerChart:
    """The most probable token of each of `heads`, from table V4 (`head_lens_top`): prompts across.

    `heads` has a row (layer, head) for each head, in the order of the rows. The darker a cell, the more probable its
    token. Hovering lists the top 10. Of more than 12 prompts, 12 are shown, evenly spread.
    """
    numbered = heads.select("layer", "head").with_row_index("row")
    shown, rows, chosen = _columns(table)
    cells = rows.join(numbered, on=["layer", "head"]).with_columns(pl.col("row").cast(pl.Int64).alias("layer"))
    return dress(
        _grid(
            _cells(cells, most=10),
            [labels[prompt] for prompt in shown],
            most=10,
            down="head",
            across_title="prompt",
            fill=amount_color(1, "Probability of the top token", "prob"),
            ink=ink_on(1, "prob"),
            rows=[f"a{layer}.h{head}" for layer, head in heads.select("layer", "head").iter_rows()],
        ),
        "The top token of each key head",
        f"Logit lens on the head's own output at the final stream: final norm, unembedding, softmax{chosen}.",
        _SPACES,
        gist=listed(
            f"a{layer}.h{head} says {_tops(rows.filter(layer=layer, head=head), [labels[prompt] for prompt in shown])}"
            for layer, head in heads.select("layer", "head").head(3).iter_rows()
        )
        + ".",
    )


def stream_top_tokens(table: pl.DataFrame, tokens: Sequence[str]) -> alt.LayerChart:
    """The top token of every stream as the input of every layer, from table V9 (`stream_top`): positions across.

    The table is of one prompt, and `tokens` are that prompt's tokens. A cell is shaded where the top token is the token
    at its position. Hovering lists the top 10.
    """
    placed = table.with_columns(pl.col("position").alias("column"))
    cells = _cells(placed, most=10)
    token = pl.col("column").replace_strict(range(len(tokens)), tokens, return_dtype=pl.String, default=None)
    return dress(
        _grid(
            cells.with_columns(own=pl.col("word") == token.map_elements(readable, return_dtype=pl.String)),
            tokens,
            most=10,
            down="input of layer",
            across_title="position",
            fill=alt.when("datum.own").then(alt.value(PALE_BLUE)).otherwise(alt.value(WASH)),
            ink=alt.value(INK),
        ),
        "The top token of every stream before every layer",
        "Logit lens (final norm, unembedding) on the input of each layer at each position, clean run.",
        f"Shaded: the top token is the position's own. {_SPACES}",
        gist="Before the last layer: " + _tops(placed.filter(layer=placed["layer"].max()), tokens) + ".",
    )


def _tops(rows: pl.DataFrame, labels: Sequence[str]) -> str:
    """The top token of each column: "Monday: ␣Tuesday, ..."."""
    first = rows.filter(rank=0).sort("column").select("column", "token")
    return listed(f"{word(labels[column])}: {readable(token)}" for column, token in first.iter_rows())


def _columns(table: pl.DataFrame) -> tuple[list[int], pl.DataFrame, str]:
    """The prompts that are shown, their rows with `column`, and a note where some are left out."""
    prompts = prompt_count(table)
    shown = some_prompts(prompts)
    column = pl.col("prompt").replace_strict(shown, range(len(shown)), return_dtype=pl.Int64)
    rows = table.filter(pl.col("prompt").is_in(shown)).with_columns(column.alias("column"))
    return shown, rows, f"; {len(shown)} of {prompts} prompts, evenly spread" if len(shown) < prompts else ""


def _cells(table: pl.DataFrame, most: int) -> pl.DataFrame:
    """A row per layer and column: the top token as `word`, its `prob` if known, and the first ones as `top1`, ..."""
    shown = pl.col("token").map_elements(readable, return_dtype=pl.String)
    named, prob = table.with_columns(shown.alias("word")), []
    entry = pl.col("word")
    if "prob" in table.columns:
        entry = pl.format("{}   {}", "word", pl.col("prob").cast(pl.Float64).round(4))
        prob = [pl.col("prob").first()]
    lists = (
        named.with_columns(entry.alias("entry"))
        .sort("layer", "column", "rank")
        .group_by("layer", "column", maintain_order=True)
        .agg(pl.col("word").first(), *prob, pl.col("entry"))
    )
    places = [pl.col("entry").list.get(place, null_on_oob=True).alias(f"top{place + 1}") for place in range(most)]
    return lists.with_columns(places).drop("entry")


def _grid(
    cells: pl.DataFrame,
    labels: Sequence[str],
    *,
    most: int,
    down: str,
    across_title: str,
    fill: ChannelColor,
    ink: ChannelColor,
    rows: Sequence[str] | None = None,
) -> alt.LayerChart:
    """Words in painted cells; hovering shows the first `most` tokens. Rows are layers, or have the names `rows`."""
    layers = size(cells["layer"])
    names = _NAMES if rows is None else _NAMES + longest(rows)
    width = min(_WIDEST_CELL, (WIDTH - names) / len(labels))
    width = min(width, (WIDTH - overhang(labels, width) - _MARGIN) / len(labels))
    height = _HEIGHT if layers <= 16 else _LOW_HEIGHT
    x = alt.X("column:O", axis=across(labels, width, title=across_title), scale=columns_of(len(labels)))
    labelled = alt.Undefined if rows is None else name_of("datum.value", rows)
    y = alt.Y("layer:O", title=down, axis=alt.Axis(ticks=False, domain=False, labelExpr=labelled))
    cell = (
        alt.Chart()
        .transform_calculate(
            name=name_of("datum.column", labels),
            row="datum.layer" if rows is None else name_of("datum.layer", rows),
        )
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("name:N", title=across_title),
                alt.Tooltip("row:N", title=down),
                *(alt.Tooltip(f"top{place}:N", title=str(place)) for place in range(1, most + 1)),
            ],
        )
    )
    painted = cell.mark_rect(stroke="white").encode(color=fill)
    written = cell.mark_text(fontSize=11, limit=width - 6).encode(text="word:N", color=ink)
    return alt.LayerChart(
        data=values(cells),
        layer=[painted, written] if width >= _READABLE else [painted],
        width=round(width * len(labels)),
        height=height * layers,
    )
