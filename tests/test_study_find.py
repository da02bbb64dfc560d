"""The search in a study's folder: stopped at any time it goes on, to the same bytes; what it found opens the page."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clock import Clock
from vitro.circuits import run_node_sets
from vitro.discovery import trial
from vitro.experiments import FIND, Options
from vitro.experiments.find import split
from vitro.models import Model
from vitro.record import Study, StudyError
from vitro.study import open_study, run_study, write_report
from vitro.tasks import Successors, Task, days

OPTIONS = Options(samples=8)
EXPERIMENT = sys.modules[split.__module__]
BACKWARDS = Successors("backwards", days().template, days().words[::-1], cyclic=True)
"""What the planted model does not do."""


def search(model: Path, folder: Path, task: Task = days(), **options: Any) -> Study:  # noqa: B008 (frozen)
    return run_study(str(model), task, folder, replace(OPTIONS, **options), experiments=[FIND.name])


def contents(folder: Path) -> dict[str, bytes]:
    """Tables and pictures."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".parquet", ".svg")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(planted_folder: Path, planted_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return search(planted_folder, tmp_path_factory.mktemp("studies") / "days").folder


def tables(folder: Path) -> dict[str, bytes]:
    return {name: held for name, held in contents(folder).items() if name.endswith(".parquet")}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn, which takes as long as the search of so small a model."""
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (EXPERIMENT, trial):
        monkeypatch.setattr(module, "time", clock)


@pytest.mark.parametrize("budget", [1e-3, 30.5])
def test_what_a_budget_stopped_goes_on_without_it_to_the_same_bytes(
    finished: Path, planted_folder: Path, tmp_path: Path, clock: None, budget: float
) -> None:
    study = search(planted_folder, tmp_path, budget=budget)
    assert not study.record.experiments[FIND.name].finished
    assert not study.table("find")["finished"].item()
    assert 'class="answer">Not ' in study.report.read_text()
    # As far as that, it is on disk.
    assert (tmp_path / "parts" / FIND.name).is_dir() == (budget > 1)
    study = search(planted_folder, tmp_path)
    assert study.record.experiments[FIND.name].finished
    assert contents(tmp_path) == contents(finished)
    assert not (tmp_path / "parts").exists()


def test_the_same_budget_comes_further_each_time(
    finished: Path, planted_folder: Path, tmp_path: Path, clock: None, undrawn: None
) -> None:
    # What was measured is read back, which takes no time of this clock.
    finished_at = [
        search(planted_folder, tmp_path, budget=40.5).record.experiments[FIND.name].finished for _ in range(6)
    ]
    assert finished_at == sorted(finished_at)
    assert (finished_at[0], finished_at[-1]) == (False, True)
    assert tables(tmp_path) == tables(finished)


@pytest.mark.parametrize("at", [0, 9])
def test_interrupted_it_goes_on_and_measures_nothing_twice(
    finished: Path, planted_folder: Path, tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    asked: list[int] = []

    def counted(inside: Any, sets: Any, read: Any) -> Any:
        if len(asked) == at:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(sets))
        return run_node_sets(inside, sets, read)

    monkeypatch.setattr(trial, "run_node_sets", counted)
    with pytest.raises(KeyboardInterrupt):
        search(planted_folder, tmp_path / "stopped")
    search(planted_folder, tmp_path / "stopped")
    stopped = sum(asked)
    assert tables(tmp_path / "stopped") == tables(finished)
    del asked[at + 1 :]
    search(planted_folder, tmp_path / "whole")
    assert sum(asked[at + 1 :]) == stopped


def test_killed_it_goes_on_to_the_same_bytes(finished: Path, planted_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitro.cli", "find", "days", "--model", str(planted_folder)]
    command += ["--out", str(tmp_path), "--samples", "8"]
    # How many threads share a product decides its last bits.
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob(f"parts/{FIND.name}/*.part"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    search(planted_folder, tmp_path)
    assert contents(tmp_path) == contents(finished)


def test_another_faithfulness_is_another_study_and_another_time_is_not(finished: Path, planted_folder: Path) -> None:
    before = (finished / "study.json").read_bytes()
    with pytest.raises(StudyError, match=r"its faithful is '0\.85', not '0\.8'"):
        search(planted_folder, finished, faithful=0.8)
    with pytest.raises(StudyError, match="its level is 'edge', not 'node'"):
        search(planted_folder, finished, level="node")
    search(planted_folder, finished, budget=1.0)
    assert (finished / "study.json").read_bytes() == before


def test_a_study_without_a_search_gets_one_later_and_its_page_then_opens_with_it(
    finished: Path, planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["clean"])
    assert 'class="answer"' not in study.report.read_text()
    study = search(planted_folder, tmp_path)
    page = study.report.read_text()
    assert contents(finished).items() <= contents(tmp_path).items()
    assert page.index("Found: 1 head.") < page.index('<section id="find">') < page.index('<section id="clean">')
    monkeypatch.setattr("vitro.study.load_checkpoint", lambda *given, **options: pytest.fail("the model was loaded"))
    study.report.unlink()
    assert write_report(tmp_path).report.read_text() == page


@pytest.mark.parametrize("how", ["found", "not found", "no time", "no time for edges"])
def test_whatever_the_head_says_leads_to_a_place_on_the_page(
    finished: Path, planted_folder: Path, tmp_path: Path, clock: None, how: str
) -> None:
    study = {
        "found": lambda: open_study(finished),
        "not found": lambda: search(planted_folder, tmp_path, BACKWARDS),
        "no time": lambda: search(planted_folder, tmp_path, budget=0.5),
        "no time for edges": lambda: search(planted_folder, tmp_path, budget=11.5),
    }[how]()
    page = study.report.read_text()
    head = page[page.index("<header>") : page.index("</header>")]
    links, places = re.findall(r'href="#([^"]+)"', head), set(re.findall(r' id="([^"]+)"', page))
    assert len(links) >= study.table("verdict").height
    assert set(links) <= places
    assert head.index('class="answer"') < head.index("How sure that is")
    assert ("Found: 1 head." in head) == (how == "found")


def test_a_table_that_is_gone_is_made_anew(finished: Path, planted_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "tables" / "search.parquet").unlink()
    search(planted_folder, copy)
    assert contents(copy) == contents(finished)


def test_stopped_while_tables_are_written_anew_the_folder_can_be_gone_on_with(
    finished: Path, planted_folder: Path, tmp_path: Path, clock: None, undrawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(planted_folder, tmp_path, budget=5.5)
    with monkeypatch.context() as patched:
        patched.setattr("vitro.study.sha256", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(planted_folder, tmp_path)
    search(planted_folder, tmp_path)
    assert tables(tmp_path) == tables(finished)


def interrupt(*given: object) -> None:
    raise KeyboardInterrupt
