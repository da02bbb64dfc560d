"""What a measurement is: a function to tables, with the figure and the words that show them."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import polars as pl

from vitro.experiments.kept import setup_of
from vitro.experiments.setup import Setup
from vitro.figures import Figure, to_html
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, OptionError, Options
from vitro.successors.sets import known_sets
from vitro.tables import SCHEMAS, Tables
from vitro.tasks import DATASETS, Task

Asks = Literal["subject", "among", "partner", "sentences", "direction", "wrong", "ordered words"]
LACKS: Mapping[Asks, str] = {
    "subject": "prompts that differ in one word, the subject, alone, and its ordered list of words",
    "among": "a closed list of answers",
    "partner": "counterfactual prompts",
    "wrong": "a wrong answer in every prompt",
    "sentences": "random or mean ablation, whose means are taken over prompts of one length",
    "ordered words": "a tokenizer that knows the words of some ordered set",
    "direction": "a wrong answer in every prompt, or a token to steer by (--steer-token)",
}
"""What a measurement may require of a task, in words."""
HAS: Mapping[Asks, Callable[[Setup], bool]] = {
    "subject": lambda setup: setup.varying,
    "among": lambda setup: bool(setup.questions.among),
    "partner": lambda setup: setup.questions.partner is not None,
    "wrong": lambda setup: all(setup.questions.wrong),
    "sentences": lambda setup: any(kind in DATASETS for kind in setup.ablations),
    "ordered words": lambda setup: bool(known_sets(setup.model.tokenizer)[0]),
    "direction": lambda setup: setup.steer_token is not None or all(setup.questions.wrong),
}


@dataclass(frozen=True)
class Experiment:
    """A measurement: what it is called, how it is made, and how it is shown. It has one file and one registry line.

    name: that of its file and of its first table. run: from a setup to the tables in `tables`, which are as their
    schemas say (`vitro.tables.SCHEMAS`, docs/tables.md). figures and numbers are made of those tables and of those of
    the experiments in `needs`, the summary of all tables of a study: so none of them needs the model.
    """

    name: str
    title: str
    reading: str
    """One sentence on how to read the figure."""
    tables: tuple[str, ...]
    run: Callable[[Setup], Tables]
    figures: Callable[[Tables], Mapping[str, Figure]]
    numbers: Callable[[Tables], pl.DataFrame]
    """The few rows that the report prints."""
    python: str = ""
    """The call that makes it, given `model`, `task`, `options` and `m`, the task mounted on the model; empty where it
    compares what was measured before."""
    summary: Callable[[Tables], str] = lambda tables: ""
    """The result in a sentence for the top of the report; empty for experiments that only serve others."""
    needs: tuple["Experiment", ...] = ()
    beside: tuple["Experiment", ...] = ()
    """Those that it compares, as many of them as are measured; it is made anew when one more is. Its figures and
    numbers then also get the table `seconds` (experiment, seconds): what each took."""
    finished: Callable[[Tables], bool] = lambda tables: True
    """Whether there was time for all of it; else it goes on where it is asked for again."""
    asks: tuple[Asks, ...] = ()
    """What it requires of a task (see `LACKS`)."""

    @property
    def call(self) -> str:
        """What it is called in Python, where that is without arguments: "ablate_heads"; else its name."""
        call = re.fullmatch(r"m\.(\w+)\(\)", self.python)
        return call[1] if call else self.name

    @property
    def command(self) -> str:
        """Which of Vitro's commands makes it: "study", or another where it takes minutes."""
        return SCHEMAS[self.tables[0]].command

    def lacks(self, setup: Setup) -> str:
        """Why a task cannot answer it, in words that finish "it needs"; empty where it can."""
        return next((LACKS[what] for what in self.asks if not HAS[what](setup)), "")

    def check(self, setup: Setup) -> None:
        """OptionError where the task cannot answer it."""
        if lacks := self.lacks(setup):
            raise OptionError(f"{self.title} cannot be asked of {setup.task.name}: it needs {lacks}")

    def shown_with(self, measured: Collection[str]) -> tuple["Experiment", ...]:
        """The experiments whose tables it is shown with, itself the last. measured: the names of those there are."""
        return (*self.needs, *(other for other in self.beside if other.name in measured), self)

    def shown(self, setup: Setup) -> Tables:
        """The experiment's tables in a setup, and those that its figures need beside them."""
        shown_with = self.shown_with(setup.measured)
        tables = {name: table for experiment in shown_with for name, table in setup.tables(experiment).items()}
        return {**tables, **self.seconds(setup.seconds)}

    def seconds(self, of: Mapping[str, float]) -> Tables:
        """The table `seconds` of some experiments, where it compares them."""
        return {"seconds": pl.DataFrame({"experiment": list(of), "seconds": list(of.values())})} if self.beside else {}

    def measure(self, model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> "Measurement":
        """The measurement of a task on a model; what was measured before is not run again (see `setup_of`).

        Raises what `of` does.
        """
        return self.of(setup_of(model, task, options))

    def of(self, setup: Setup, beside: Sequence["Experiment"] = ()) -> "Measurement":
        """The measurement in a setup. Raises what `Setup.check` does, before anything is run.

        beside: those that it compares. Others that happen to be measured are left out: what a call gives does not
        depend on the calls before it.
        """
        setup.check()
        self.check(setup)
        if self.beside:
            tables = {other.name: setup.tables(other) for other in beside}
            setup = setup.with_tables(tables, without=[self.name, *(other.name for other in self.beside)])
        return Measurement(self, self.shown(setup))


@dataclass(frozen=True)
class Measurement:
    """What was measured: its tables by name, its figures, and in a notebook both at a glance.

    >>> clean = vitro.clean_run(model, task)
    >>> clean.experiment.title, list(clean.figures), clean.table.height
    ('Clean answers', ['clean'], 7)
    """

    experiment: Experiment
    tables: Tables

    @property
    def table(self) -> pl.DataFrame:
        """The first table, which most measurements have alone."""
        return self.tables[self.experiment.tables[0]]

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The figures, by name."""
        return self.experiment.figures(self.tables)

    @property
    def numbers(self) -> pl.DataFrame:
        """The few rows that the report prints."""
        return self.experiment.numbers(self.tables)

    def __repr__(self) -> str:
        return f"{self.experiment.title}\n{self.numbers}"

    def _repr_html_(self) -> str:
        """For notebooks: title, figures and numbers. The figures are drawings, which need no network to be shown."""
        drawings = to_html(self.figures)
        title, reading = escape(self.experiment.title), escape(self.experiment.reading)
        return f"<h3>{title}</h3><p>{reading}</p>{drawings}{self.numbers._repr_html_()}"
