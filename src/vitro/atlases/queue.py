"""Who makes which cell, and what becomes of cells whose worker ended."""

import queue
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread

from vitro.atlases.work import Job, Worker, WorkerDiedError
from vitro.tables.labels import counted


class Queue:
    """The cells that are to be made, in their order.

    A worker gets the cells of the model that it has loaded; then those of the next model that no worker has; then it
    helps with the model that has the most cells left. So each model is loaded once while there are models for all.

    >>> cells = Queue([Job(model, task, tmp_path) for model in ("a", "b", "b")])
    >>> [cells.take(None).model, cells.take(None).model, cells.take("a").model, cells.take("b")]
    ['a', 'b', 'b', None]
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._left: dict[str, deque[Job]] = {}
        for job in jobs:
            self._left.setdefault(job.model, deque()).append(job)
        self._begun: set[str] = set()
        self._lock = Lock()

    def take(self, model: str | None) -> Job | None:
        """The next cell for a worker that has this model loaded; None where none is left."""
        with self._lock:
            left = [name for name, jobs in self._left.items() if jobs]
            if not left:
                return None
            fresh = (name for name in left if name not in self._begun)
            most = max(left, key=lambda name: len(self._left[name]))
            chosen = model if model in left else next(fresh, most)
            self._begun.add(chosen)
            return self._left[chosen].popleft()


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its study is in its folder, or the reason why it is not, in one line."""

    job: Job
    reason: str | None


def outcomes(jobs: Sequence[Job], workers: Sequence[Worker], retries: int) -> Generator[Outcome, None, None]:
    """What becomes of each cell, as the workers make them, each in a thread of its own.

    retries: how often a cell is tried again whose worker ended. Where the caller stops, the workers are ended, whatever
    they are at. Raises what `Worker.ask` does but for workers that ended.
    """
    cells, told, stopped = Queue(jobs), queue.SimpleQueue[Outcome | BaseException | None](), Event()
    threads = [
        Thread(target=_drive, args=(worker, cells, told, stopped, retries), daemon=True)
        for worker in workers[: len(jobs)]
    ]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            match told.get():
                case Outcome() as outcome:
                    yield outcome
                case None:
                    running -= 1
                case error:
                    raise error
    finally:
        stopped.set()
        for worker in workers:
            worker.end()


def _drive(
    worker: Worker,
    cells: Queue,
    told: "queue.SimpleQueue[Outcome | BaseException | None]",
    stopped: Event,
    retries: int,
) -> None:
    model = None
    try:
        while not stopped.is_set() and (job := cells.take(model)) is not None:
            model = job.model
            told.put(Outcome(job, asked(worker, job, retries, stopped)))
        told.put(None)
    except BaseException as error:
        # It is raised where the outcomes are read.
        told.put(error)


def asked(worker: Worker, job: Job, retries: int, stopped: Event) -> str | None:
    """`Worker.ask`, again where the worker ended; the reason where it did so every time."""
    for _ in range(1 + retries):
        try:
            return worker.ask(job)
        except WorkerDiedError as error:
            ended = str(error)
        if stopped.is_set():
            break
    return f"its worker {ended}" + (f", {counted(1 + retries, 'time')} in all" if retries else "")
