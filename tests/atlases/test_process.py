"""A worker in a process of its own: the same bytes, and its end is nobody else's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from atlases_made import tables
from vitro.atlases.process import Process
from vitro.atlases.work import Bench, Job, Work, WorkerDiedError
from vitro.folder import FolderError
from vitro.options import Machine, Options
from vitro.tasks import Successors, days, numbers

WORK = Work(("clean", "head_ablation"), Options(samples=8), Machine(), threads=1)


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    worker = Process(WORK)
    yield worker
    worker.end()


def test_its_tables_are_those_of_this_process_to_the_last_bit(
    process: Process, checkpoints: list[str], tmp_path: Path
) -> None:
    assert process.ask(Job(checkpoints[0], days(), tmp_path / "there")) is None
    assert Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "here")) is None
    assert len(tables(tmp_path / "here")) > 3
    assert tables(tmp_path / "there") == tables(tmp_path / "here")


def test_a_cell_that_fails_is_told_and_the_next_one_is_made(
    process: Process, checkpoints: list[str], tmp_path: Path
) -> None:
    reason = process.ask(Job(checkpoints[0], numbers(5), tmp_path / "numbers"))
    assert reason == Bench(WORK).ask(Job(checkpoints[0], numbers(5), tmp_path / "numbers"))
    assert reason is not None
    assert process.ask(Job(checkpoints[0], days(), tmp_path / "days")) is None


@dataclass(frozen=True)
class Unsent(Successors):
    """A task of a module that the worker cannot import, as one that is written in a notebook."""

    def __reduce__(self) -> Any:
        return (_of_nowhere, ())


def _of_nowhere() -> None: ...


_of_nowhere.__module__ = "__main__"
setattr(sys.modules["__main__"], "_of_nowhere", _of_nowhere)  # noqa: B010


def test_a_task_that_cannot_be_sent_is_told(process: Process, checkpoints: list[str], tmp_path: Path) -> None:
    task = Unsent(**{name: getattr(days(), name) for name in days().__dataclass_fields__})
    reason = process.ask(Job(checkpoints[0], task, tmp_path / "days"))
    assert reason is not None
    assert reason.startswith("a task of this kind cannot be sent to another process")


def test_killed_half_way_it_is_told_and_the_same_question_goes_on(checkpoints: list[str], tmp_path: Path) -> None:
    worker = Process(WORK)
    job = Job(checkpoints[0], days(), tmp_path / "days")

    def kill() -> None:
        while not (tmp_path / "days" / "tables").is_dir():
            time.sleep(0.001)
        assert worker._process is not None
        worker._process.send_signal(signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    with pytest.raises(WorkerDiedError, match="ended by SIGKILL, as where memory runs out"):
        worker.ask(job)
    killer.join()
    assert worker.ask(job) is None
    worker.end()
    Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "whole"))
    assert tables(tmp_path / "days") == tables(tmp_path / "whole")


def test_a_full_disk_is_no_cells_fault(checkpoints: list[str], tmp_path: Path) -> None:
    (tmp_path / "days").write_text("a file is in its way")
    worker = Process(WORK)
    with pytest.raises(FolderError):
        worker.ask(Job(checkpoints[0], days(), tmp_path / "days" / "cell"))
    worker.end()


def test_where_the_driver_is_killed_its_workers_end_too(checkpoints: list[str], tmp_path: Path) -> None:
    driver = f"""
from pathlib import Path
from vitro.atlases.process import Process
from vitro.atlases.work import Job, Work
from vitro.folder import FolderError
from vitro.options import Machine, Options
from vitro.tasks import days
worker = Process(Work(("clean",), Options(samples=8), Machine(), threads=1))
worker.ask(Job({checkpoints[0]!r}, days(), Path({str(tmp_path / "days")!r})))
print(worker._process.pid, flush=True)
import time
time.sleep(60)
"""
    running = subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    worker = int(running.stdout.readline())
    os.kill(worker, 0)
    running.send_signal(signal.SIGKILL)
    running.wait()
    for _ in range(500):
        if not Path(f"/proc/{worker}").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text().split()[2]:
            return
        time.sleep(0.01)
    pytest.fail("the worker goes on without its driver")
