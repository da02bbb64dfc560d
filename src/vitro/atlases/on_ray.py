"""Workers on a Ray cluster, one that is there or one of this machine alone; they need Vitro and the models, no disk.

A worker is an actor, which keeps its model from cell to cell as a task does not. What a study's folder holds travels to
it and what it adds comes back through Ray; the driver alone writes. Where the cluster shares a disk, actors write into
the folders themselves.
"""

import functools
import os
import re
import secrets
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitro.atlases.cells import AtlasError
from vitro.atlases.packed import Changes, Files, changes, packed, unpack, write_changes
from vitro.atlases.work import Answer, Bench, Job, Work, Worker, WorkerDiedError, answer, told
from vitro.errors import one_line
from vitro.files import FileError
from vitro.folder import BusyError, FolderError
from vitro.options import Spread

_OBJECTS = 128 * 2**20
"""Bytes of a local cluster's object store. Tables of a cell are small; larger ones go to the disk for a moment."""
_LONGEST = 40
"""Characters of a temporary folder's name, below which Ray's sockets have names that the system takes."""


class Remote:
    """The worker as Ray runs it, in a process of its own, on whatever machine."""

    def __init__(self, work: Work, place: str) -> None:
        # Where this machine has the driver's folder too, relative names of models are found.
        with suppress(OSError):
            os.chdir(place)
        self._bench = Bench(work)

    def make(self, job: Job, files: Files) -> tuple[Answer, Changes]:
        """Make a cell in a folder of this machine's own; files: what is there of it."""
        try:
            with tempfile.TemporaryDirectory(prefix="vitro-cell-") as own:
                folder = Path(own) / job.folder.name
                unpack(files, folder)
                reason = self._bench.ask(Job(job.model, job.task, folder))
                made = changes(files, folder)
            if reason is not None:
                return ("failed", reason.replace(str(folder), str(job.folder))), made
            return ("done", ""), made
        except (FolderError, FileError, OSError) as error:
            # Of this machine's disk; the driver's may be fine.
            return ("failed", one_line(f"on its worker's machine: {error}")), Changes({})

    def make_in_place(self, job: Job) -> Answer:
        """Make a cell in its folder, which this machine sees as the driver does."""
        return answer(self._bench, job)


class RayWorker:
    """A worker as the driver has it. Its actor is made when it is first asked, and anew where it died."""

    def __init__(self, ray: Any, work: Work, resources: Mapping[str, Any]) -> None:
        self.ray, self.work, self.resources = ray, work, resources
        self._actor: Any = None
        self._ended = False

    def ask(self, job: Job) -> str | None:
        """As `Worker.ask`."""
        said, made = self._get("make", job, packed(job.folder))
        try:
            write_changes(job.folder, made)
        except BusyError as error:
            return str(error)
        return told(said)

    def end(self) -> None:
        """End it, whatever it is at; it is asked no more."""
        self._ended = True
        self._let_go()

    def _let_go(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            with suppress(Exception):
                self.ray.kill(actor)

    def _get(self, method: str, *arguments: Any) -> Any:
        """What the actor answers. Raises `WorkerDiedError` where it died."""
        ray, actor = self.ray, self._actor
        try:
            if actor is None:
                actor = self._actor = ray.remote(Remote).options(**self.resources).remote(self.work, os.getcwd())
            if self._ended:
                # Meanwhile, from another thread, which may not have seen the actor.
                self._let_go()
                raise WorkerDiedError("was ended")
            return ray.get(getattr(actor, method).remote(*arguments))
        except (ray.exceptions.RayError, ConnectionError) as error:
            self._let_go()
            raise WorkerDiedError(_ended(error)) from error


class RayWorkerInPlace(RayWorker):
    """The same, where all machines see the atlas's folder by one name."""

    def ask(self, job: Job) -> str | None:
        """As `Worker.ask`."""
        return told(self._get("make_in_place", job))


@contextmanager
def ray_workers(work: Work, spread: Spread, cells: int) -> Iterator[list[Worker]]:
    """Workers on the cluster that `spread` names, one a cell at most; they end with the block, as does a new cluster.

    Raises `AtlasError` where Ray is not installed, the cluster cannot be reached, or has no room for a cell.
    """
    with _cluster(spread, work.threads) as ray:
        resources: dict[str, Any] = {
            "num_cpus": work.threads,
            "num_gpus": spread.cell_gpus,
            "memory": spread.cell_memory,
            "max_restarts": 0,
            # As workers of this machine have them: torch's threads are set apart.
            "runtime_env": {"env_vars": {"POLARS_MAX_THREADS": str(work.threads)}},
        }
        kind = RayWorkerInPlace if spread.shared_disk else RayWorker
        count = min(cells, spread.jobs or _room(ray.cluster_resources(), work.threads, spread))
        workers: list[Worker] = [kind(ray, work, resources) for _ in range(count)]
        try:
            yield workers
        finally:
            for worker in workers:
                worker.end()


def _room(has: Mapping[str, float], threads: int, spread: Spread) -> int:
    """For how many cells at a time a cluster has room."""
    takes = {"CPU": float(threads), "GPU": spread.cell_gpus, "memory": spread.cell_memory}
    rooms = {what: int(has.get(what, 0) / amount) for what, amount in takes.items() if amount}
    short = [what for what, room in rooms.items() if not room]
    if short:
        what = short[0]
        raise AtlasError(
            f"the Ray cluster has {has.get(what, 0):g} {what}, and a cell takes {takes[what]:g}; what works: smaller "
            "cells, or --jobs N, which waits for machines that the cluster adds"
        )
    return min(rooms.values())


@contextmanager
def _cluster(spread: Spread, threads: int) -> Iterator[Any]:
    """Ray, connected to the cluster that is named, that of RAY_ADDRESS, that of this process already, or a new one."""
    ray = _imported()
    if ray.is_initialized():
        if spread.on != "ray":
            raise AtlasError(f"this process is on a Ray cluster already, and so not on {spread.on}; what works: ray")
        yield ray
        return
    address = spread.on if spread.on != "ray" else os.environ.get("RAY_ADDRESS")
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    if address:
        _knock(address)
        try:
            with warnings.catch_warnings(action="ignore"):
                ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
            raise AtlasError(
                f"the Ray cluster at {address} cannot be used: {one_line(str(error))[:300]} (where it "
                "asks for a token, set RAY_AUTH_MODE=token)"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()
        return
    with _temporary() as folder, _closed():
        try:
            ray.init(
                "local",
                num_cpus=max(os.cpu_count() or 1, (spread.jobs or 1) * threads),
                include_dashboard=False,
                object_store_memory=_OBJECTS,
                _temp_dir=folder,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
            yield ray
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raises `AtlasError` where nothing is heard at an address: Ray itself takes minutes to say so, and many lines."""
    match = re.fullmatch(r"(ray://)?\[?(?P<host>[^/\]]+)\]?:(?P<port>[0-9]{1,5})", address)
    if match is None:
        # As "auto", which names none.
        return
    try:
        socket.create_connection((match["host"], int(match["port"])), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AtlasError(
            f"no Ray cluster is heard at {address} ({reason}); what works: --on ray, on this machine"
        ) from error


def _imported() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise AtlasError("--on ray needs Ray, which is not installed; what works: pip install 'vitro[ray]'") from error
    return ray


@contextmanager
def _closed() -> Iterator[None]:
    """Have a cluster that is started here report nothing, listen on this machine alone, and ask for a token of its own.

    Ray takes 127.0.0.1 for its address on its own on macOS and Windows, where firewalls ask; elsewhere it takes one
    that others reach. Its token it would keep in the user's home.
    """
    from ray._private import ray_constants

    given = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_TOKEN": _token(),
        # Else its workers wait wherever anything else runs, which those of `--jobs` do not.
        "RAY_worker_niceness": "0",
    }
    # Ray sets the mode, to have its processes ask for the token.
    before = {name: os.environ.get(name) for name in (*given, "RAY_AUTH_MODE")}
    before_cluster = ray_constants.ENABLE_RAY_CLUSTER
    os.environ.update(given)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before_cluster
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@functools.cache
def _token() -> str:
    """One for all clusters of this process, since Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _temporary() -> Iterator[str]:
    """A folder for what Ray writes, removed at the end."""
    place = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="vitro-ray-", dir=place if len(place) <= _LONGEST else "/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ended(error: Exception) -> str:
    """Why an actor died, in a few words that end "its worker ...", out of the many that Ray makes."""
    text = one_line(str(error))
    if "OutOfMemory" in type(error).__name__ or "low on memory" in text:
        return "was ended by Ray, for its machine ran low on memory"
    detail = re.search(r"Worker exit detail: (.{1,200}?)(\.\s|$)", text) or re.search(r"(.{1,200}?)(\.\s|$)", text)
    return f"ended on the Ray cluster ({detail[1] if detail else type(error).__name__})"
