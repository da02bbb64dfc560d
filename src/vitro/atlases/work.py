"""What a worker is told, and what it does: a task on a model, a study in a folder; the model stays for the next one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from vitro.errors import VitroError, is_failure, one_line
from vitro.folder import BusyError, FolderError
from vitro.limits import Room, out_of_memory
from vitro.models import ModelError
from vitro.options import Machine, Options
from vitro.study import Source, study_of
from vitro.tasks import Task


@dataclass(frozen=True)
class Work:
    """What all cells of an atlas have in common. Every worker is told it once."""

    measure: tuple[str, ...]
    """The experiments of each cell, by their names in `EXPERIMENTS`."""
    options: Options
    machine: Machine
    threads: int
    """By how many threads each cell is computed: the last bits of the numbers follow from it."""
    room: Room | None = None
    """What of the memory a worker may take for its model, where that is less than what is free."""


@dataclass(frozen=True)
class Job:
    """A cell that is to be made: a task on a model, a study in a folder."""

    model: str
    task: Task
    folder: Path

    def __str__(self) -> str:
        return f"{self.task.typed} on {self.model}"


class WorkerDiedError(Exception):
    """A worker ended before it had answered: killed, out of memory, its machine gone. In words that end "it ..."."""


class Worker(Protocol):
    """Makes cells, one at a time."""

    def ask(self, job: Job) -> str | None:
        """Make a cell, and wait for it. None where its study is in its folder, else why it failed, in one line.

        Raises `WorkerDiedError` where the worker ended meanwhile; the next question starts it anew. Raises
        `FolderError` where the atlas cannot be written: then no other cell can be either.
        """

    def end(self) -> None:
        """End it, whatever it is at. Called from another thread too."""


Answer = tuple[Literal["done", "failed", "folder"], str]
"""What a worker elsewhere says to a job: the reason why it failed, or why no folder can be written."""


def answer(worker: Worker, job: Job) -> Answer:
    """What a worker comes to, as values that can be sent."""
    try:
        reason = worker.ask(job)
    except FolderError as error:
        return "folder", str(error)
    return ("done", "") if reason is None else ("failed", reason)


def told(answer: Answer) -> str | None:
    """The inverse: what `Worker.ask` gives, or raises."""
    kind, text = answer
    if kind == "folder":
        raise FolderError(text)
    return None if kind == "done" else text


@contextmanager
def by_threads(number: int) -> Iterator[None]:
    """Have torch compute by so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Bench:
    """The worker of this very process. It keeps the model that it has loaded last.

    >>> bench = Bench(Work(("clean",), vitro.Options(), Machine(), threads=1))
    >>> bench.ask(Job(str(folder), task, tmp_path / "days"))
    >>> vitro.open_study(tmp_path / "days").table("clean").height
    7
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._source: Source | None = None
        self._refused: dict[str, str] = {}

    def ask(self, job: Job) -> str | None:
        """As `Worker.ask`."""
        with by_threads(self.work.threads):
            return self._made(job)

    def end(self) -> None:
        """Let go of the model."""
        self._source = None

    def _made(self, job: Job) -> str | None:
        if job.model in self._refused:
            return self._refused[job.model]
        if self._source is None or self._source.name != job.model:
            # The old one goes first: two may not fit.
            self._source = None
            self._source = Source(job.model, self.work.options, self.work.machine, self.work.room)
        try:
            study_of(self._source, job.task, job.folder, self.work.measure)
        except BusyError as error:
            return str(error)
        except FolderError:
            raise
        except ModelError as error:
            self._refused[job.model] = str(error)
            return self._refused[job.model]
        except VitroError as error:
            return str(error)
        except BaseException as error:
            if not is_failure(error):
                raise
            # The others go on, whatever is wrong with this one.
            self._source = None
            return out_of_memory(error) or f"a fault of vitro: {type(error).__name__}: {one_line(str(error))[:300]}"
        return None
