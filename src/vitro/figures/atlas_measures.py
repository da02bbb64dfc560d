"""The measures of an atlas against the size of a model, and over its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import polars as pl

from vitro.figures.atlas_cells import (
    DASHES,
    LINES,
    MARKS,
    Kinds,
    cells_of,
    dashes_of,
    families_of,
    filtered,
    hue,
    leads,
    legend,
    of_cell,
    series_of,
    shape,
    size_in_words,
    some_models,
    tasks_of,
)
from vitro.figures.look import HEAD_COLORS, dress, panel_title, values
from vitro.figures.spoken import listed
from vitro.figures.spread import some_prompts
from vitro.tables.labels import counted

_WIDTH, _HEIGHT = 262, 190
_ABREAST = 3


@dataclass(frozen=True)
class Measure:
    """A column of table `atlas` that is drawn. whole: whether it is a share, with an axis from 0 to 1."""

    title: str
    axis: str
    digits: str
    share: bool = True


MEASURES: Mapping[str, Measure] = {
    "accuracy": Measure("Accuracy", "share of prompts", ".3f"),
    "effective_heads": Measure("Heads that the effect is spread over", "heads", ".3~g", share=False),
    "circuit_nodes": Measure("Size of the circuit", "heads and MLPs", "d", share=False),
    "faithfulness": Measure("Faithfulness of the circuit", "share of the metric kept", ".3f"),
    "successor_score": Measure("Best successor head", "mean score over sets", ".3f"),
}
"""What is compared between sizes and over training, in the order of the panels."""


def atlas_sizes(atlas: pl.DataFrame) -> alt.ConcatChart | None:
    """A panel for each measure, a point for each cell over the model's number of parameters.

    None where models of two sizes do not have one. Of a training run the last checkpoint alone is drawn.
    """
    last = _last_of_runs(atlas)
    measured = _measured(last)
    cells = cells_of(atlas).join(last.select("model", "task"), on=["model", "task"], how="semi", maintain_order="left")
    cells = cells.filter(pl.any_horizontal(pl.col(list(MEASURES)).is_not_null())).drop_nulls("parameters")
    cells = cells.filter(pl.col("parameters") > 0)
    if not measured or cells["parameters"].n_unique() < 2:
        return None
    drawn, note = some_models(cells, len(measured))
    x = alt.X("parameters:Q", title="parameters").scale(type="log", domain=_around(cells["parameters"]), nice=False)
    x = x.axis(values=_round(cells["parameters"]), labelExpr="replace(format(datum.value, '~s'), 'G', 'B')", grid=False)
    panels = [
        alt.LayerChart(
            layer=[
                alt.Chart()
                .transform_filter(f"isValid(datum.{name})")
                .mark_point(filled=True, size=52, opacity=0.8, stroke="white", strokeWidth=0.6)
                .encode(
                    x=x,
                    y=_height(cells, name),
                    color=hue(families_of(atlas), "Family", drawn["hue"]),
                    shape=shape(tasks_of(atlas), drawn["shape"]),
                    href=leads(),
                    tooltip=of_cell(*_told(measured)),
                )
            ],
            width=_WIDTH,
            height=_HEIGHT,
            title=panel_title(MEASURES[name].title),
        )
        for name in measured
    ]
    runs = "Of each training run the last checkpoint is drawn." if last.height < atlas.height else ""
    return _side_by_side(
        panels,
        _rows(drawn, measured),
        "What changes with the size of the model",
        "A point is a task on a model and leads to its study; sizes are on a logarithmic scale.",
        *filter(None, [" ".join(filter(None, [runs, note]))]),
        gist=_trend(cells),
    )


def atlas_training(atlas: pl.DataFrame) -> alt.ConcatChart | None:
    """A panel for each measure, a curve for each task and training run over its steps; None where no run has two."""
    run = atlas.drop_nulls(["series", "step"])
    # Of a run that was stopped, some checkpoints may have nothing yet: a curve is of those that have.
    run = run.filter(pl.any_horizontal(pl.col(list(MEASURES)).is_not_null()))
    run = run.filter(pl.col("step").n_unique().over("series") > 1)
    measured = _measured(run)
    if not measured:
        return None
    colors, dashes = series_of(run), dashes_of(run)
    cells = cells_of(run).with_columns(
        run=colors.legend(pl.col("series")),
        dash=dashes.legend(pl.col("task")),
        curve=pl.struct("series", "task").rank("dense"),
    )
    cells = cells.sort("curve", "step", maintain_order=True)
    lines = dashes.scale(cells["dash"])
    if run["series"].n_unique() > 1:
        color = hue(colors, "Training run", cells["run"])
    else:
        # The colours are free: they tell apart what dashes alone would.
        looks = (*HEAD_COLORS[: len(DASHES) - 1], HEAD_COLORS[-1])
        color = hue(Kinds(dashes.names, looks, dashes.others), "Task", cells["dash"], LINES)
    steps = run["step"].n_unique()
    curves = cells["curve"].unique().sort()
    kept = some_prompts(len(curves), at_most=max(1, MARKS // (2 * steps * len(measured))))
    drawn = cells.filter(pl.col("curve").is_in(curves[kept].to_list()))
    first, last = int(run["step"].to_numpy().min()), int(run["step"].to_numpy().max())
    positive = run.filter(pl.col("step") > 0)["step"].to_numpy().min()
    linear = int(positive)
    x = alt.X("step:Q", title="steps of training").scale(
        type="symlog", constant=linear, domain=[first, last], nice=False
    )
    x = x.axis(values=_decades(first, last), labelExpr="format(datum.value, '~s')", grid=False, labelFlush=False)
    panels = []
    for name in measured:
        base = (
            alt.Chart()
            .transform_filter(f"isValid(datum.{name})")
            .encode(x=x, y=_height(cells, name), color=color, detail="curve:N")
        )
        dash = alt.StrokeDash("dash:N", scale=lines, legend=legend(lines, "Task", LINES))
        line = base.mark_line(strokeWidth=1.8).encode(strokeDash=dash)
        points = base.mark_point(filled=True, size=30, opacity=1, stroke="white", strokeWidth=0.6).encode(
            href=leads(), tooltip=of_cell(alt.Tooltip("step:Q", format=","), *_told(measured))
        )
        panels.append(
            alt.LayerChart(layer=[line, points], width=_WIDTH, height=_HEIGHT, title=panel_title(MEASURES[name].title))
        )
    note = f" {len(kept):,} of {len(curves):,} curves are drawn, evenly spread." if len(kept) < len(curves) else ""
    rows = _rows(drawn, measured, "step", "run", "dash", "curve")
    return _side_by_side(
        panels,
        rows,
        "What changes while a model is trained",
        f"A point is a task on a checkpoint and leads to its study.{note}",
        f"Steps are on a scale that is linear up to about {linear:,} and logarithmic beyond, so that it has a 0.",
        gist=f"{counted(run['series'].n_unique(), 'training run')} from step {first:,} to {last:,}, "
        f"{counted(steps, 'checkpoint')}.",
    )


def _side_by_side(panels: list[alt.LayerChart], rows: pl.DataFrame, *words: str, gist: str) -> alt.ConcatChart:
    """The panels with what is written above them. Their axes stand between them, so that the panels align."""
    chart = alt.ConcatChart(
        concat=panels, columns=_ABREAST, data=values(rows), bounds="flush", spacing={"row": 78, "column": 66}
    )
    title, *subtitle = words
    return dress(filtered(chart), title, *subtitle, gist=gist)


def _last_of_runs(atlas: pl.DataFrame) -> pl.DataFrame:
    """Without the earlier checkpoints of training runs."""
    last = pl.col("step").max().over("series")
    return atlas.filter(pl.col("series").is_null() | pl.col("step").is_null() | (pl.col("step") == last))


def _measured(atlas: pl.DataFrame) -> list[str]:
    return [name for name in MEASURES if atlas[name].null_count() < len(atlas)]


def _rows(cells: pl.DataFrame, measured: Sequence[str], *more: str) -> pl.DataFrame:
    shared = ("model", "task", "family", "state", "size", "parameters", "hue", "shape", "link")
    return cells.select(*shared, *more, *measured)


def _told(measured: Sequence[str]) -> list[alt.Tooltip]:
    return [
        alt.Tooltip(f"{name}:Q", title=MEASURES[name].title.lower(), format=MEASURES[name].digits) for name in measured
    ]


def _height(cells: pl.DataFrame, name: str) -> alt.Y:
    """The axis of a measure, from 0 to its largest; it stays where a filter leaves few cells."""
    found = cells[name].drop_nulls().to_numpy()
    low, high = min(0.0, float(found.min())), max(1.0, float(found.max()))
    margin = 0.04 * (high - low)
    y = alt.Y(f"{name}:Q", title=MEASURES[name].axis).scale(domain=[low - margin, high + margin], nice=False)
    return y.axis(tickCount=4, domain=False, ticks=False, offset=4, labelFlush=6)


def _around(sizes: pl.Series) -> list[float]:
    found = sizes.to_numpy()
    return [float(f"{found.min() / 1.5:.3g}"), float(f"{found.max() * 1.5:.3g}")]


def _round(sizes: pl.Series) -> list[float]:
    """Round numbers between the smallest size and the largest: powers of ten; of few, 2 and 5 times them too."""
    low, high = _around(sizes)
    powers = [10**power for power in range(16)]
    tens = [float(power) for power in powers if low <= power <= high]
    return (
        tens if len(tens) > 2 else [float(n * power) for power in powers for n in (1, 2, 5) if low <= n * power <= high]
    )


def _decades(first: int, last: int) -> list[int]:
    """The ends, and powers of ten between them that have room."""
    powers = [10**power for power in range(len(str(last)))]
    inner = [power for power in powers if first < power and power * 3 <= last]
    return [first, *inner[-4 if first else -5 :: 1], last]


def _trend(cells: pl.DataFrame) -> str:
    """The mean of the first measure among the smaller and the larger half of models."""
    known = cells.drop_nulls("accuracy")
    if not len(known):
        return f"{counted(len(cells), 'cell')}."
    middle = float(np.median(known["parameters"].to_numpy()))
    halves = (("at most", pl.col("parameters") <= middle), ("more than", pl.col("parameters") > middle))
    means = [
        f"{words} {size_in_words(round(middle))} parameters {part['accuracy'].to_numpy().mean():.3g}"
        for words, where in halves
        if len(part := known.filter(where))
    ]
    return f"Mean accuracy: {listed(means)}."
