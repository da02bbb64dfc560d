"""Which model does which task: a row a model, a column a task."""

import altair as alt
import polars as pl

from vitro.figures.atlas_cells import MARKS, cells_of, filtered, leads, of_cell
from vitro.figures.axes import longest
from vitro.figures.look import FAINT, INK, WASH, WIDTH, dress, values
from vitro.figures.scales import amount_color, ink_on
from vitro.figures.spoken import listed
from vitro.figures.spread import some_prompts
from vitro.figures.tokens import readable

_MODELS, _TASKS = 100, 60
_NAMES, _BESIDE = 250, 190
_WIDEST, _NARROWEST = 88.0, 14.0
_ROW = 20
_APART = alt.Scale(paddingInner=0.1, paddingOuter=0.05)
"""Room for outlines: those of neighbours must not close a cell that has none."""
_FOR_NUMBERS = 30.0
"""Pixels of a column in which a number can be read."""


def atlas_answers(atlas: pl.DataFrame) -> alt.LayerChart | None:
    """The accuracy of every model (down, by family and size) on every task (across); None where none was measured.

    A cell leads to its study. Of more models and tasks than a page shows some are drawn, evenly spread.
    """
    if atlas["accuracy"].null_count() == len(atlas):
        return None
    cells = cells_of(atlas)
    every, tasks = cells["model"].unique(maintain_order=True), atlas["task"].unique(maintain_order=True)
    columns = tasks[some_prompts(len(tasks), at_most=_TASKS)]
    rows = every[some_prompts(len(every), at_most=min(_MODELS, MARKS // (2 * len(columns))))]
    drawn = cells.filter(pl.col("model").is_in(rows.to_list()), pl.col("task").is_in(columns.to_list())).select(
        "model", "task", "family", "state", "name", "size", "link", "accuracy", "right_first", "answer_prob", "reason",
        does=pl.when("does_task").then(pl.lit("yes")).when(~pl.col("does_task")).then(pl.lit("no")),
        column=pl.col("task").replace_strict(_numbers(tasks), return_dtype=pl.Int64),
        row=pl.col("model").replace_strict(_numbers(every), return_dtype=pl.Int64),
        label=_shown(pl.col("task")),
        beside=pl.concat_str(_shown(pl.col("family").fill_null("")), pl.col("size").fill_null(""), separator="  "),
        sign=pl.col("state").replace_strict({"failed": "×", "missing": "·"}, default=None, return_dtype=pl.String),
    )  # fmt: skip
    column = max(_NARROWEST, min(_WIDEST, (WIDTH - _NAMES - _BESIDE) / len(columns)))
    level = longest(columns.to_list()) <= column
    x = alt.X("label:N", sort=alt.EncodingSortField("column", op="min"), title=None, scale=_APART).axis(
        orient="top", labelAngle=0 if level else -45, labelAlign="center" if level else "left", labelLimit=150,
        labelOverlap=False, ticks=False, domain=False,
    )  # fmt: skip
    y = alt.Y("name:N", sort=alt.EncodingSortField("row", op="min"), title=None, scale=_APART).axis(
        labelLimit=_NAMES, labelOverlap=False, ticks=False, domain=False
    )
    tooltip = of_cell(
        alt.Tooltip("accuracy:Q", title="right answer most probable", format=".1%"),
        alt.Tooltip("right_first:Q", title="right above wrong", format=".1%"),
        alt.Tooltip("answer_prob:Q", title="answer's probability", format=".3g"),
        alt.Tooltip("does:N", title="does the task"),
        alt.Tooltip("state:N"),
        alt.Tooltip("reason:N"),
    )
    cell = alt.Chart().encode(x=x, y=y, tooltip=tooltip, href=leads())
    roomy = column >= _FOR_NUMBERS
    layers: list[alt.Chart] = [
        cell.mark_rect(fill=WASH),
        cell.transform_filter("isValid(datum.accuracy)").mark_rect().encode(
            color=amount_color(1.0, "Accuracy: the share of prompts whose most probable token is right", "accuracy")
        ),
        cell.transform_filter("datum.does === 'yes'").mark_rect(fill=None, stroke=INK, strokeWidth=1.2),
        cell.transform_filter("isValid(datum.sign)").mark_text(color=FAINT, fontSize=12).encode(text="sign:N"),
    ]  # fmt: skip
    if roomy:
        numbers = cell.transform_filter("isValid(datum.accuracy)").mark_text(fontSize=11)
        layers.append(numbers.encode(text=alt.Text("accuracy:Q", format=".2f"), color=ink_on(1.0, "accuracy")))
    layers.append(
        alt.Chart()
        .transform_aggregate(beside="min(beside)", row="min(row)", groupby=["name"])
        .mark_text(align="left", color=FAINT, fontSize=11, x=alt.expr("width + 10"))
        .encode(y=y, text="beside:N")
    )
    chart = filtered(alt.LayerChart(layer=layers, data=values(drawn), width=alt.Step(column), height=alt.Step(_ROW)))
    notes = [
        f"{len(some):,} of {len(whole):,} {what} are drawn, evenly spread."
        for some, whole, what in ((rows, every, "models"), (columns, tasks, "tasks"))
        if len(some) < len(whole)
    ]
    states = set(drawn["state"])
    signs = [said for state, said in (("failed", "×: failed."), ("missing", "·: missing.")) if state in states]
    return dress(
        chart,
        "Which model does which task",
        " ".join(["Outlined: right in more prompts than chance would give.", *signs, *notes]),
        "Models by family, size and step; beside them the family and the number of parameters.",
        gist=f"Done: {listed(_done(atlas))}.",
    )


def _shown(text: pl.Expr) -> pl.Expr:
    return text.map_elements(readable, return_dtype=pl.String)


def _numbers(names: pl.Series) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _done(atlas: pl.DataFrame) -> list[str]:
    """For each task, how many models do it."""
    known = atlas.drop_nulls("does_task").group_by("task", maintain_order=True).agg(pl.col("does_task").sum(), pl.len())
    return [f"{task} by {does} of {models} models" for task, does, models in known.iter_rows()]
