"""Successor heads: a property of the model, the same whatever the task, measured where a study asks for it."""

from collections.abc import Mapping

import polars as pl

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Setup
from vitro.figures import Figure
from vitro.successors import Successors
from vitro.successors import successor as score_heads
from vitro.tables import SCHEMAS, Tables


def run(setup: Setup) -> Tables:
    """Table `successor`, the scores, and `successor_...`: the other tables of `Successors`."""
    result = score_heads(setup.model, seed=setup.options.seed)
    named = {_table(name): table for name, table in result.tables.items()}
    return {name: SCHEMAS[name].cast(table) for name, table in named.items()}


def _table(name: str) -> str:
    """What a table of `Successors` is called in a study."""
    return "successor" if name == "scores" else f"successor_{name}"


NAMES = (
    "scores", "heads", "words", "singular_values", "rotation", "modes", "eigenvalues", "verdicts", "left_out",
)  # fmt: skip
"""The tables of `Successors`."""


def of_study(tables: Tables) -> Successors:
    """The result that a study's tables hold."""
    return Successors({name: tables[_table(name)] for name in NAMES})


def figures(tables: Tables) -> Mapping[str, Figure]:
    """All heads' scores, the best head's words and, where a set is cyclic, its eigenvalues."""
    return of_study(tables).figures


def numbers(tables: Tables) -> pl.DataFrame:
    """The ten best heads."""
    return of_study(tables).numbers


def summary(tables: Tables) -> str:
    """The best head, and whether it rotates the cyclic sets."""
    result = of_study(tables)
    return " ".join([result.summary(), *result.verdicts])


SUCCESSOR = Experiment(
    name="successor",
    title="Successor heads",
    reading="Whatever the task: which heads, given a word of an ordered set alone (days, numbers, ...), say the "
    "next one; then what the best of them makes of every word, and whether it turns a cycle of them.",
    python='vitro.EXPERIMENTS["successor"].measure(model, task, options)',
    tables=tuple(map(_table, NAMES)),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    asks=("ordered words",),
)
