"""Answer tables: what a component says about every answer on every prompt."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import name_of
from vitro.figures.look import INK, dress, panel_title, values
from vitro.figures.scales import change_color, reach
from vitro.figures.spoken import listed
from vitro.figures.tiles import Tiles

_MARKED_CELL = 6.0
"""In smaller cells a box or a dot would hide the colour."""


def answer_tables(table: pl.DataFrame, subjects: Sequence[str], answers: Sequence[str]) -> alt.ConcatChart:
    """A small heatmap for each component of table V5 (`answer_table`): prompts down, answers across, normalized logits.

    `subjects` and `answers` are those of the prompts, in order. The right answer's cell is boxed and the highest
    answer of each prompt dotted, so that a dot in its box is a prompt that the component gets right; how many it gets
    right stands beside its name. All panels share one colour scale. Hovering gives the logit.
    """
    tiles = Tiles(rows=subjects, columns=table["answer"].unique(maintain_order=True).to_list())
    marked = tiles.cell >= _MARKED_CELL
    span = reach(table["normalized"])
    cells = _cells(tiles, span.limit, marked)
    panels, counts = [], []
    for number, ((component,), part) in enumerate(table.group_by("component", maintain_order=True)):
        rows = _rows(part, answers, tiles.columns)
        right = rows["top"].eq(rows["right"]).sum()
        counts.append(f"{component} {right} of {len(answers)}")
        panels.append(
            cells.encode(x=tiles.x("answer", "answer"), y=tiles.y("prompt", "subject of the prompt", number))
            .transform_calculate(answer=f"sequence({len(tiles.columns)})")
            .transform_flatten(["answer", "normalized", "logit"])
            .properties(data=values(rows), title=panel_title(f"{component}: {right} of {len(answers)} right"))
        )
    notes = ["Box: the right answer; dot: the prompt's highest answer."] if marked else []
    if span.beyond:
        notes.append(
            f"The colour scale is clamped at ±{span.limit:g}; {span.beyond} of {span.cells} cells lie beyond it."
        )
    return dress(
        tiles.side_by_side(panels),
        "What each component says about each answer",
        "Logit lens on the component's output at the final stream: logits of the answers minus the table's mean, over "
        "its standard deviation.",
        *notes,
        gist=f"Right: {listed(counts)}.",
    )


def _rows(part: pl.DataFrame, answers: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """A row per prompt: lists of its logits, column by column, and the places of the right and the highest answer.

    A list costs a fifth of what a row for each cell does; a hundred prompts with a hundred answers are 10,000 cells.
    """
    place = pl.col("answer").replace_strict(columns, range(len(columns)), return_dtype=pl.Int64)
    correct = pl.Series("right", [columns.index(answer) if answer in columns else None for answer in answers], pl.Int64)
    return (
        part.with_columns(place.alias("place"))
        .sort("prompt", "place")
        .group_by("prompt", maintain_order=True)
        .agg("normalized", "logit", pl.col("place").get(pl.col("logit").arg_max()).alias("top"))
        .with_columns(pl.col("prompt").replace_strict(range(len(answers)), correct).alias("right"))
    )


def _cells(tiles: Tiles, limit: float, marked: bool) -> alt.LayerChart:
    """The cells of any component's table, with boxes and dots if they are to be marked."""
    cell = alt.Chart().encode(
        tooltip=[
            alt.Tooltip("subject:N", title="subject"),
            alt.Tooltip("word:N", title="answer"),
            alt.Tooltip("logit:Q", title="logit (nats)", format="+.4g"),
            alt.Tooltip("normalized:Q", title="normalized", format="+.4g"),
        ]
    )
    cell = cell.transform_calculate(
        subject=name_of("datum.prompt", tiles.rows), word=name_of("datum.answer", tiles.columns)
    )
    painted = cell.mark_rect(stroke="white", strokeWidth=1 if marked else 0).encode(
        color=change_color(limit, "Normalized logit", "normalized")
    )
    if not marked:
        return alt.LayerChart(layer=[painted], width=tiles.width, height=tiles.height)
    boxed = cell.transform_filter("datum.answer === datum.right").mark_rect(fill=None, stroke=INK, strokeWidth=1.4)
    # White with a dark ring, so that it shows on every colour.
    dotted = cell.transform_filter("datum.answer === datum.top").mark_point(
        shape="circle", size=24, fill="white", stroke=INK, strokeWidth=1, opacity=1
    )
    return alt.LayerChart(layer=[painted, boxed, dotted], width=tiles.width, height=tiles.height)
