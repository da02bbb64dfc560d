"""What a page says of how to make it again, taken out of its HTML and run as it stands: the tables are the same."""

import html
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from command import Vitro
from vitro.experiments import EVERY_STUDY, EXPERIMENTS
from vitro.models import Model
from vitro.options import Machine, Options, TaskOptions, changed, python_call, python_lines
from vitro.record import Study
from vitro.study import open_study, run_study
from vitro.tasks import days, named

OPTIONS = Options(seed=3, samples=4, steer_token=" tomorrow", alphas=(0.0, 2.5), metric="logit_diff", heads=((1, 1),))
ASKED = [*EVERY_STUDY, "patching", "edges_eap", "edges_random", "curve", "successor"]
TASK = """
name = "my-days"
template = "If today is {word}, tomorrow is"
words = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
cyclic = true
content = ["today", "tomorrow"]
"""


@pytest.fixture(scope="module")
def study(planted_folder: Path, planted_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of a model and a task file whose names a shell and Python would misread, with options of its own."""
    folder = tmp_path_factory.mktemp("again")
    model, task = folder / """a model's "folder" $HOME""", folder / "it's my task.toml"
    shutil.copytree(planted_folder, model)
    task.write_text(TASK)
    return run_study(str(model), named(str(task), seed=OPTIONS.seed), folder / "study", OPTIONS, experiments=ASKED)


def codes(study: Study, section: str) -> list[str]:
    """The commands and Python lines that a section of the page shows, as they are copied."""
    found = re.search(rf'<section id="{section}">.*?</section>', study.report.read_text(), re.DOTALL)
    assert found
    return [
        html.unescape(re.sub("<[^>]+>", "", code)) for code in re.findall("<code>(.*?)</code>", found[0], re.DOTALL)
    ]


def test_the_command_makes_the_same_tables(
    study: Study, vitro: Vitro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    command, _ = codes(study, "make-it-again")
    program, *words = shlex.split(command)
    assert program == "vitro"
    done = vitro(*words, "--out", str(tmp_path / "again"))
    assert done.code == 0, done.err
    again = open_study(tmp_path / "again")
    assert {name: made.tables for name, made in again.record.experiments.items()} == {
        name: made.tables for name, made in study.record.experiments.items()
    }


def test_the_lines_of_python_make_the_same_tables(study: Study) -> None:
    _, lines = codes(study, "make-it-again")
    scope: dict[str, Any] = {}
    exec(lines, scope)
    made = set()
    for name in study.record.experiments:
        experiment = EXPERIMENTS[name]
        if experiment.python:
            assert experiment.python in codes(study, name)
            measured = eval(experiment.python, scope)
            for table in experiment.tables:
                assert_frame_equal(measured.tables[table], study.table(table))
            made.add(name)
    # What compares what others measured has its command.
    (curve,) = codes(study, "curve")
    assert curve.endswith(" --scores eap,random")
    assert set(study.record.experiments) - made == {"curve"}


def test_a_command_of_its_own_stands_in_its_section_and_runs(
    study: Study, vitro: Vitro, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    python, command = codes(study, "edges_eap")
    assert python == 'm.score_edges("eap")'
    done = vitro(*shlex.split(command)[1:], "--out", str(study.folder))
    assert done.code == 0, done.err
    assert codes(study, "patching") == ["m.patch()"], "the page's command makes it"


@pytest.mark.parametrize(
    ("experiments", "commands"),
    [
        (
            ["edges_eap", "edges_random"],
            ["vitro edges days --model {} --scores eap", "vitro edges days --model {} --scores random"],
        ),
        (["clean"], ["vitro study days --model {} --measure clean_run"]),
    ],
)
def test_a_folder_of_one_command_has_that_command(
    experiments: list[str], commands: list[str], planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    made = run_study(str(planted_folder), days(), tmp_path, experiments=experiments)
    shown, _ = codes(made, "make-it-again")
    assert shown.splitlines() == [command.format(planted_folder) for command in commands]


def test_python_says_where_the_model_lies_and_how_its_task_is_read() -> None:
    machine = Machine(device="cuda:1", dtype="bfloat16")
    assert python_lines("gpt2@main", machine).endswith(
        'model = vitro.load("gpt2@main", device="cuda:1", dtype="bfloat16")'
    )
    read = TaskOptions(answer_tokens="first_token", bad_rows="skip", counterfactual="a\n\"b\" \\ 'c'")
    call = python_call("dict", **changed(read))
    assert eval(call) == changed(read)
    assert "\n" not in call
