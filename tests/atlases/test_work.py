"""The worker of this process: it keeps its model, and whatever is wrong with a cell is a reason in one line."""

from pathlib import Path
from typing import Any

import pytest
import torch

from vitro.atlases.work import Bench, Job, Work
from vitro.folder import FolderError, sole_writer
from vitro.limits import Room
from vitro.models import load_checkpoint
from vitro.options import Machine, Options
from vitro.study import open_study
from vitro.tasks import TaskError, days, named, numbers

WORK = Work(("clean",), Options(samples=8), Machine(), threads=1)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)


@pytest.mark.usefixtures("undrawn")
def test_a_model_is_loaded_once_for_the_tasks_that_come_after_each_other(
    checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def noted(checkpoint: Any, **how: Any) -> Any:
        loaded.append(checkpoint.name)
        return load_checkpoint(checkpoint, **how)

    monkeypatch.setattr("vitro.study.load_checkpoint", noted)
    bench, (first, second, *_) = Bench(WORK), checkpoints
    cells = [(model, task) for model in (first, second) for task in (days(), named("days:all"))]
    for number, (model, task) in enumerate(cells):
        assert bench.ask(Job(model, task, tmp_path / str(number))) is None
    assert loaded == [first, second]


def test_a_task_that_does_not_fit_is_a_reason_and_the_next_one_is_made(checkpoints: list[str], tmp_path: Path) -> None:
    bench = Bench(WORK)
    reason = bench.ask(Job(checkpoints[0], numbers(5), tmp_path / "numbers"))
    assert reason is not None
    assert "numbers" in reason
    assert not (tmp_path / "numbers").exists()
    assert bench.ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    assert open_study(tmp_path / "days").table("clean").height == 7


def test_a_model_that_is_refused_is_tried_once_for_all_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(WORK)
    reason = bench.ask(Job(str(tmp_path / "nowhere"), days(), tmp_path / "days"))
    assert reason is not None
    assert "no such file or folder" in reason
    monkeypatch.setattr("vitro.study.find", lambda name: pytest.fail("it was looked for again"))
    assert bench.ask(Job(str(tmp_path / "nowhere"), named("days:all"), tmp_path / "pairs")) == reason


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TaskError("no word fits"), "no word fits"),
        (MemoryError(), "memory ran out"),
        (RuntimeError("bad allocation: not enough memory"), "memory ran out"),
        (ZeroDivisionError("in\nfour lines"), "a fault of vitro: ZeroDivisionError: in four lines"),
    ],
)
def test_whatever_is_raised_is_a_reason_in_one_line(
    error: Exception, told: str, checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        raise error

    monkeypatch.setattr("vitro.atlases.work.study_of", fails)
    reason = Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "days"))
    assert reason is not None
    assert reason.startswith(told)
    assert "\n" not in reason


def test_ctrl_c_and_a_full_disk_are_no_reasons_but_stop_all(
    checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (KeyboardInterrupt(), FolderError("the disk is full")):

        def fails(*args: Any, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("vitro.atlases.work.study_of", fails)
        with pytest.raises(type(error)):
            Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "days"))


def test_a_folder_that_another_vitro_writes_fails_its_own_cell_alone(checkpoints: list[str], tmp_path: Path) -> None:
    with sole_writer(tmp_path / "days"):
        reason = Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "days"))
    assert reason is not None
    assert "is being written by another vitro" in reason


def test_a_model_larger_than_its_share_is_refused_with_the_share(checkpoints: list[str], tmp_path: Path) -> None:
    work = Work(WORK.measure, WORK.options, WORK.machine, 1, Room("what each of 4 jobs may take", 1000))
    reason = Bench(work).ask(Job(checkpoints[0], days(), tmp_path / "days"))
    assert reason is not None
    assert "1e-06 GB of what each of 4 jobs may take are free" in reason


@pytest.mark.usefixtures("undrawn")
def test_it_computes_by_the_threads_it_is_told_and_gives_them_back(checkpoints: list[str], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    work = Work(WORK.measure, WORK.options, WORK.machine, threads=before + 1)
    assert Bench(work).ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    assert open_study(tmp_path / "days").record.machine.threads == before + 1
    assert torch.get_num_threads() == before
