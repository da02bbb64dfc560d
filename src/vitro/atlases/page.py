"""An atlas's page: what its tables say, every cell as a row, and the figures, which are filtered with the rows."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from vitro.figures import (
    Figure,
    atlas_answers,
    atlas_depths,
    atlas_overlaps,
    atlas_seconds,
    atlas_sizes,
    atlas_training,
    unchecked,
)
from vitro.figures.atlas_cells import FILTERS, cells_of, size_in_words
from vitro.figures.atlas_dots import DEPTHS
from vitro.figures.tokens import readable
from vitro.report import Field, Listing, Page, Section, Sentence, render
from vitro.tables import Tables, counted
from vitro.tables.schemas.atlas import RULES, SCHEMAS

LISTED = 10_000
"""Cells that have a row: a page with more takes too long to open."""
_NAMED = 6
"""Tasks that a sentence names."""
_COLUMNS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("accuracy", ".3f"),
    "right_first": ("right above wrong", ".3f"),
    "does_task": ("does the task", ""),
    "ablation_head": ("costliest head", ""),
    "effective_heads": ("effective heads", ".1f"),
    "successor_head": ("successor head", ""),
    "successor_score": ("its score", ".3f"),
    "found": ("circuit", ""),
    "circuit_nodes": ("its nodes", "d"),
    "faithfulness": ("faithfulness", ".3f"),
}
"""What a row shows beside model, task and state: a column's head, and the format of its numbers, if it has any."""
_READINGS: Mapping[str, tuple[str, str]] = {
    "answers": (
        "Which model does which task",
        "Each cell is a task on a model, and leads to its study. Dark: the right answer is the most probable token in "
        "many prompts. Where a task has no list of answers, a model may do it and never name the answer: the rows, and "
        "what hovering shows, have the share of prompts in which right is above wrong.",
    ),
    "sizes": (
        "What changes with size",
        "Colour is the family, shape the task. How many heads an effect is spread over: the square of the sum of what "
        "heads cost over the sum of its squares: 1 where one head costs everything. Points above each other are "
        "tasks on one model, or on models of one size.",
    ),
    "training": (
        "What changes over training",
        "Checkpoints of a training run, from its first step to its last. A measure that a checkpoint does not have, as "
        "where no circuit was found, leaves a gap.",
    ),
    "depths": (
        "How deep the strongest heads lie",
        "A head's layer is divided by the number of layers, so that all models can be compared. The head of each row: "
        + "; ".join(f"\u201c{DEPTHS[rule]}\u201d: {said}" for rule, said in RULES.items())
        + ".",
    ),
    "overlaps": (
        "What tasks share",
        "The correlation of what all heads cost in the one task and in the other; the share of ten costliest heads, "
        "and of the circuits' nodes, that is in both, of all that are in either. 0: nothing in common.",
    ),
    "seconds": (
        "What it took",
        "What a cell's measurements took where they were made; other machines take other times.",
    ),
}


def page_of(
    tables: Tables, *, title: str, asked: str, facts: Sequence[tuple[str, str]], command: str, python: str
) -> str:
    """The page of an atlas as HTML: it works offline, and equal tables give equal bytes.

    tables: `atlas`, `overlaps` and `seconds`. The page lies beside the folders that they name. facts, command, python:
    how it was made, and how to make it again.
    """
    with unchecked():
        figures = figures_of(tables)
    return render(
        Page(
            title=title,
            lead=list(_findings(tables["atlas"], figures)),
            facts=facts,
            sections=[
                Section(name, *_READINGS[name], {f"atlas_{name}": figure}, pl.DataFrame())
                for name, figure in figures.items()
            ],
            asked=asked,
            command=command,
            python=python,
            listing=listing_of(tables["atlas"]),
        )
    )


def figures_of(tables: Tables) -> dict[str, Figure]:
    """The figures that have something to show, in the order of the page."""
    atlas = tables["atlas"]
    figures = {
        "answers": atlas_answers(atlas),
        "sizes": atlas_sizes(atlas),
        "training": atlas_training(atlas),
        "depths": atlas_depths(atlas),
        "overlaps": atlas_overlaps(atlas, tables["overlaps"]),
        "seconds": atlas_seconds(atlas, tables["seconds"]),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def findings(tables: Tables) -> list[str]:
    """What the page opens with."""
    return [sentence.text for sentence in _findings(tables["atlas"], {})]


def _findings(atlas: pl.DataFrame, figures: Mapping[str, Figure]) -> Iterator[Sentence]:
    """What the tables say, in one to three sentences."""
    yield Sentence(_states(atlas), "cells")
    if said := _done(atlas):
        yield Sentence(said, "answers" if "answers" in figures else "cells")
    if said := _circuits(atlas):
        yield Sentence(said, "sizes" if "sizes" in figures else "cells")


def _states(atlas: pl.DataFrame) -> str:
    counts = {state: int((atlas["state"] == state).sum()) for state in ("done", "failed", "missing")}
    of = f"{counted(atlas['task'].n_unique(), 'task')} on {counted(atlas['model'].n_unique(), 'model')}"
    cells = counted(len(atlas), "cell")
    if counts["done"] == len(atlas):
        return f"Done: {cells}, {of}."
    others = [
        f"{counts[state]:,} {words}"
        for state, words in (("failed", "failed"), ("missing", "not made yet"))
        if counts[state]
    ]
    return f"Done: {counts['done']:,} of {cells}, {of}; {' and '.join(others)}."


def _done(atlas: pl.DataFrame) -> str:
    """Which tasks are done by how many models, and from which size on."""
    known = cells_of(atlas).drop_nulls("does_task")
    if not len(known):
        return ""
    tasks = known.group_by("task", maintain_order=True).agg(
        pl.col("does_task").sum().alias("does"),
        pl.len().alias("models"),
        pl.col("parameters").filter("does_task").min().alias("least"),
    )
    several = known["parameters"].n_unique() > 1
    # By the share of models, which a sort by two whole numbers would not give; equal ones as they were asked for.
    ranked = tasks.sort(pl.col("does") / pl.col("models"), descending=True, maintain_order=True)
    words = []
    for task, does, models, least in ranked.iter_rows():
        smallest = f", the smallest of {size_in_words(least)} parameters" if several and least else ""
        words.append(f"{readable(task)} by {does:,} of {counted(models, 'model')}{smallest}")
    return (
        "Right in more prompts than chance would give: "
        + "; ".join(words[:_NAMED])
        + (f"; and {len(words) - _NAMED} more tasks" if len(words) > _NAMED else "")
        + "."
    )


def _circuits(atlas: pl.DataFrame) -> str:
    """In how many cells a circuit was found, and how large they are."""
    searched = atlas.drop_nulls("found")
    if not len(searched):
        return ""
    found = searched.filter(found="found").drop_nulls("circuit_nodes")
    said = f"A circuit was found in {len(found):,} of {counted(len(searched), 'cell')} in which one was searched for"
    if not len(found):
        return f"{said}."
    sizes = found["circuit_nodes"].sort().to_list()
    size = f"{sizes[0]} to {sizes[-1]} nodes" if sizes[0] < sizes[-1] else counted(sizes[0], "node")
    return f"{said}, of {size} (heads and MLPs)."


def listing_of(atlas: pl.DataFrame) -> Listing:
    """A row for each cell, in the order of the figures; no more than 10,000."""
    every = cells_of(atlas)
    cells = every.head(LISTED)
    meanings = {column.name: column.meaning for column in SCHEMAS["atlas"].columns}
    fields = [
        Field("model", meanings["model"], list(map(readable, cells["model"])), words=True),
        Field("task", meanings["task"], list(map(readable, cells["task"])), words=True),
        Field("state", meanings["state"], cells["state"].to_list(), words=True),
    ]
    named = len(fields)
    if cells["family"].null_count() < len(cells):
        fields.append(Field("family", meanings["family"], cells["family"].to_list(), words=True))
    if cells["parameters"].null_count() < len(cells):
        fields.append(
            Field("parameters", meanings["parameters"], cells["size"].to_list(), cells["parameters"].to_list())
        )
    fields += [
        _field(cells[name], head, meanings[name], digits)
        for name, (head, digits) in _COLUMNS.items()
        if cells[name].null_count() < len(cells)
    ]
    shown = (
        f" Shown are the first {LISTED:,} of {len(every):,}; the table atlas.parquet has all."
        if len(every) > LISTED
        else ""
    )
    return Listing(
        name="cells",
        title="Every cell",
        reading="A row is a task on a model; its name leads to its study. By family, size and step; a click on a "
        f"column's head sorts the rows by it. The form above filters the rows and the figures below.{shown}",
        fields=fields,
        links=cells["link"].to_list(),
        instead=[_instead(state, reason) for state, reason in cells.select("state", "reason").iter_rows()],
        filters={name: cells[name].fill_null("").to_list() for name in FILTERS},
        part="model",
        named=named,
    )


def _field(values: pl.Series, head: str, meaning: str, digits: str) -> Field:
    if digits:
        return Field(
            head, meaning, [None if value is None else f"{value:{digits}}".replace("-", "\u2212") for value in values]
        )
    if values.dtype == pl.Boolean:
        return Field(
            head, meaning, [None if value is None else "yes" if value else "no" for value in values], words=True
        )
    return Field(head, meaning, values.to_list(), words=True)


def _instead(state: str, reason: str | None) -> str | None:
    """What stands in the row of a cell that has no numbers."""
    if state == "done":
        return None
    return reason or ("no reason is known" if state == "failed" else "")
