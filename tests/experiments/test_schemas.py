"""Every measurement writes the tables that its schemas say, and is called by one name."""

import re
from pathlib import Path

import altair as alt
import pytest

import vitro.experiments
from experiments.every import every
from figures.spoken import gist
from vitro.experiments import EVERY_STUDY, EXPERIMENTS, FIND, Options
from vitro.models import Model
from vitro.tables import SCHEMAS, SCORE_TABLES, checked
from vitro.tasks import Pair, Pairs, Task, days

PAIRS = Pairs(
    "tomorrow",
    tuple(
        Pair(f"{start} is {day}, tomorrow is", (f" {after}",), (f" {day}",), f"{start} is {other}, tomorrow is")
        for start in ("If today", "today")
        for day, after, other in (("Monday", "Tuesday", "Friday"), ("Friday", "Saturday", "Monday"))
    ),
)
"""Of unequal lengths and without a list of answers."""


@pytest.mark.parametrize("task", [days(), PAIRS], ids=["days", "pairs"])
def test_every_measurement_writes_its_tables_and_figures_as_their_schemas_say(planted_model: Model, task: Task) -> None:
    for measurement, setup in every(planted_model, task, Options(samples=8)):
        if not measurement.lacks(setup):
            tables = checked(setup.tables(measurement))
            assert set(tables) == set(measurement.tables)
            # Of a task that the model does not do surely, there is no circuit to tell of.
            told = ["find", "verdict"] if measurement is FIND and not tables["find"]["nodes"].item() else tables
            assert not any(tables[name].is_empty() for name in told)
            # A study draws without this check: altair takes longer for it than to make the figure.
            for figure in measurement.figures(measurement.shown(setup)).values():
                assert isinstance(figure, alt.TopLevelMixin)
                spec = figure.to_dict(validate=True)
                assert len(gist(spec).split()) >= 3


def test_no_text_that_a_notebook_shows_promises_a_mouse_or_a_list_to_choose_from() -> None:
    # A notebook shows drawings that do not move.
    readings = " ".join(measurement.reading for measurement in EXPERIMENTS.values())
    assert not re.search("hover|mouse|click|menu|choose", readings, re.IGNORECASE)


def test_a_schema_says_who_writes_its_table() -> None:
    written = {name: made_by.name for made_by in EXPERIMENTS.values() for name in made_by.tables}
    assert written == {schema.name: schema.measurement for schema in SCHEMAS.values()}
    for measurement in EXPERIMENTS.values():
        assert {SCHEMAS[name].command for name in measurement.tables} == {measurement.command}
    minutes = {"patching", *SCORE_TABLES.values(), "edges_agreement", "curve", "curve_choices", "successor"}
    assert set(EXPERIMENTS) - set(EVERY_STUDY) == minutes


def test_file_measurement_and_first_table_have_one_name() -> None:
    folder = Path(vitro.experiments.__file__).parent
    files = {file.stem for file in folder.glob("*.py") if " = Experiment(\n" in file.read_text("utf-8")}
    assert {measurement.tables[0] for measurement in EXPERIMENTS.values()} == set(EXPERIMENTS)
    # Scores of edges are made alike, and share a file.
    assert files == set(EXPERIMENTS) - set(SCORE_TABLES.values()) | {"edges"}
