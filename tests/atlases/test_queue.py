"""Who makes which cell: workers keep the model that they have, and one that dies costs nothing but its cell's time."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock

import pytest

from vitro.atlases.cells import jobs_of
from vitro.atlases.queue import Outcome, Queue, outcomes
from vitro.atlases.work import Job, WorkerDiedError
from vitro.folder import FolderError
from vitro.tasks import days, months, numbers

TASKS = [days(), months(), numbers(5)]


class Played:
    """A worker that does as it is told, and notes what it was asked."""

    def __init__(self, act: Callable[[Job], str | None] = lambda job: None) -> None:
        self.act, self.asked, self.ended = act, list[Job](), Event()

    def ask(self, job: Job) -> str | None:
        self.asked.append(job)
        return self.act(job)

    def end(self) -> None:
        self.ended.set()


def test_a_worker_stays_with_its_model_then_takes_a_fresh_one_then_helps() -> None:
    cells = Queue(jobs_of(["a", "b", "c"], TASKS, Path("out")))
    assert (first := cells.take(None)) is not None
    assert (second := cells.take(None)) is not None
    assert (first.model, second.model) == ("a", "b")
    assert [cells.take("a").model for _ in range(2)] == ["a", "a"]  # type: ignore[union-attr]
    assert cells.take("a").model == "c"  # type: ignore[union-attr]
    # One is left of b's first three, two of c's: the other worker has b, and stays with it.
    assert [cells.take("b").model for _ in range(2)] == ["b", "b"]  # type: ignore[union-attr]
    assert [cells.take("b").model, cells.take("c").model] == ["c", "c"]  # type: ignore[union-attr]
    assert cells.take("c") is None


def test_every_cell_is_made_once_whoever_makes_it() -> None:
    jobs = jobs_of([f"m{number}" for number in range(7)], TASKS, Path("out"))
    workers = [Played() for _ in range(3)]
    made = [outcome.job for outcome in outcomes(jobs, workers, retries=0)]
    assert sorted(map(str, made)) == sorted(map(str, jobs))
    for worker in workers:
        models = [job.model for job in worker.asked]
        # Of a model that it has left, a worker gets no cell again.
        assert len({*models}) == sum(before != after for before, after in zip([None, *models], models, strict=False))
        assert worker.ended.is_set()


def test_a_cell_whose_worker_died_is_tried_again_and_then_a_row() -> None:
    tries: dict[str, int] = {}
    lock = Lock()

    def act(job: Job) -> None:
        with lock:
            tries[str(job)] = tries.get(str(job), 0) + 1
        if job.model == "hard" or (job.model == "once" and tries[str(job)] == 1):
            raise WorkerDiedError("ended by SIGKILL")

    jobs = jobs_of(["hard", "once", "easy"], [days()], Path("out"))
    reasons = {outcome.job.model: outcome.reason for outcome in outcomes(jobs, [Played(act), Played(act)], retries=2)}
    assert reasons == {"hard": "its worker ended by SIGKILL, 3 times in all", "once": None, "easy": None}
    assert tries == {"days on hard": 3, "days on once": 2, "days on easy": 1}


def test_a_disk_that_is_full_stops_all_workers() -> None:
    def full(job: Job) -> None:
        raise FolderError("the disk is full")

    workers = [Played(full), Played()]
    with pytest.raises(FolderError, match="the disk is full"):
        list(outcomes(jobs_of(list("abcdefgh"), TASKS, Path("out")), workers, retries=5))
    assert all(worker.ended.is_set() for worker in workers)


def test_where_the_caller_stops_workers_are_ended_and_none_is_asked_again() -> None:
    class Waits(Played):
        def ask(self, job: Job) -> str | None:
            super().ask(job)
            if job.model == "fast":
                return None
            self.ended.wait(10)
            raise WorkerDiedError("ended by SIGKILL")

    workers = [Waits(), Waits()]
    made = outcomes(jobs_of(["fast", "slow", "slower"], [days()], Path("out")), workers, retries=3)
    assert next(iter(made)) == Outcome(Job("fast", days(), Path("out/cells/days/fast")), None)
    made.close()
    assert all(worker.ended.is_set() for worker in workers)
    assert sum(len(worker.asked) for worker in workers) <= 3
