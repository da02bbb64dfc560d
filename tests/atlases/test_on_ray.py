"""Workers on a real Ray cluster of this machine: the same bytes, whatever dies; nothing is heard or sent outside."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

import vitro
from atlases_made import tables
from vitro.atlases.cells import AtlasError
from vitro.atlases.on_ray import Remote, ray_workers
from vitro.atlases.work import Bench, Job, Work, Worker, WorkerDiedError
from vitro.folder import FolderError
from vitro.options import Machine, Options, Spread
from vitro.tasks import days, numbers

ray = pytest.importorskip("ray", reason="Ray is not installed (make test installs it)")
WORK = Work(("clean", "head_ablation"), Options(samples=8), Machine(), threads=1)


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """Two workers on a cluster that is started for them, though the environment asks for reports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "1")
        with ray_workers(WORK, Spread(on="ray", jobs=2), cells=9) as both:
            yield both


@pytest.fixture(scope="module")
def whole(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell that this process has made."""
    folder = tmp_path_factory.mktemp("whole") / "days"
    assert Bench(WORK).ask(Job(checkpoints[0], days(), folder)) is None
    return folder


def of_ray() -> list[psutil.Process]:
    """The processes of the cluster, this one among them."""
    return [psutil.Process(), *psutil.Process().children(recursive=True)]


def test_its_tables_are_those_of_this_process_to_the_last_bit(
    workers: list[Worker], checkpoints: list[str], whole: Path, tmp_path: Path
) -> None:
    for number, worker in enumerate(workers):
        assert worker.ask(Job(checkpoints[0], days(), tmp_path / str(number))) is None
        assert tables(tmp_path / str(number)) == tables(whole)
        assert (tmp_path / str(number) / "report.html").exists()
        assert (tmp_path / str(number) / "figures" / "clean.svg").exists()


def test_nothing_listens_beyond_this_machine_and_nothing_is_connected_to_beyond_it(
    workers: list[Worker], checkpoints: list[str], tmp_path: Path
) -> None:
    assert workers[0].ask(Job(checkpoints[1], days(), tmp_path / "days")) is None
    processes = of_ray()
    names = " ".join(process.name() for process in processes)
    assert "raylet" in names
    assert "gcs_server" in names
    seen = 0
    for process in processes:
        for connection in process.net_connections("inet"):
            seen += 1
            for address in filter(None, (connection.laddr, connection.raddr)):
                assert address.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), f"{process.name()}: {connection}"
    assert seen > 3


def test_nothing_is_reported_whatever_the_environment_says(workers: list[Worker]) -> None:
    from ray._common.usage import usage_lib

    # Those that have put a title in the place of their environment have it no more.
    told = [process.environ().get("RAY_USAGE_STATS_ENABLED") for process in of_ray()[1:]]
    assert told.count("0") > 2
    assert "1" not in told
    assert not usage_lib.usage_stats_enabled()


def test_what_is_there_of_a_cell_is_not_made_again(
    workers: list[Worker], checkpoints: list[str], whole: Path, tmp_path: Path
) -> None:
    bench = Bench(Work(("clean",), WORK.options, WORK.machine, threads=1))
    assert bench.ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    before = vitro.open_study(tmp_path / "days").record
    assert workers[0].ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    after = vitro.open_study(tmp_path / "days").record
    assert after.experiments["clean"] == before.experiments["clean"]
    assert tables(tmp_path / "days") == tables(whole)


def test_a_cell_that_fails_is_told_without_the_workers_own_paths(
    workers: list[Worker], checkpoints: list[str], tmp_path: Path
) -> None:
    reason = workers[0].ask(Job(checkpoints[0], numbers(5), tmp_path / "numbers"))
    assert reason == Bench(WORK).ask(Job(checkpoints[0], numbers(5), tmp_path / "numbers"))
    assert not (tmp_path / "numbers").exists()
    assert workers[0].ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    other = workers[0].ask(Job(checkpoints[1], days(), tmp_path / "days"))
    assert other is not None
    assert f"{tmp_path / 'days'} holds another study" in other


def while_it_works(act: Callable[[psutil.Process], object]) -> Thread:
    """Acts, in a thread, on the first process of the cluster that is seen making a cell."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in of_ray():
                with suppress(psutil.NoSuchProcess):
                    if "ray::Remote.make" in " ".join(process.cmdline()):
                        act(process)
                        return

    thread = Thread(target=watch)
    thread.start()
    return thread


def test_killed_half_way_it_is_told_and_the_same_question_is_answered_by_another(
    workers: list[Worker], checkpoints: list[str], whole: Path, tmp_path: Path
) -> None:
    killer = while_it_works(lambda process: process.send_signal(signal.SIGKILL))
    with pytest.raises(WorkerDiedError, match="ended on the Ray cluster"):
        workers[1].ask(Job(checkpoints[0], days(), tmp_path / "days"))
    killer.join()
    assert workers[1].ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
    assert tables(tmp_path / "days") == tables(whole)


def test_the_drivers_disk_is_full_and_nothing_is_half_written(
    workers: list[Worker], checkpoints: list[str], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(checkpoints[0], days(), tmp_path / "days")
    sync, calls = os.fsync, list[int]()

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FolderError, match="the disk is full"):
            workers[0].ask(job)
    assert not (tmp_path / "days" / "study.json").exists()
    assert workers[0].ask(job) is None
    assert tables(tmp_path / "days") == tables(whole)


def test_end_from_another_thread_lets_go_of_a_question(
    workers: list[Worker], checkpoints: list[str], tmp_path: Path
) -> None:
    ender = while_it_works(lambda process: workers[0].end())
    with pytest.raises(WorkerDiedError):
        workers[0].ask(Job(checkpoints[0], days(), tmp_path / "days"))
    ender.join()


def make_room(workers: list[Worker]) -> None:
    """Others wait until the cluster has processors for them."""
    for worker in workers:
        worker.end()


def test_an_atlas_on_ray_is_that_of_this_process(workers: list[Worker], checkpoints: list[str], tmp_path: Path) -> None:
    make_room(workers)
    asked: dict[str, Any] = {"options": WORK.options, "measure": ["clean_run", "successor"]}
    # The cluster that this process is on already is used, and left running.
    there = vitro.atlas(checkpoints, ["days"], tmp_path / "there", on="ray", jobs=2, **asked)
    here = vitro.atlas(checkpoints, ["days"], tmp_path / "here", **asked)
    assert there.table["state"].to_list() == ["done"] * 3
    assert tables(there.folder) == tables(here.folder)
    assert ray.is_initialized()


def test_a_shared_folder_is_written_by_the_workers_themselves(
    workers: list[Worker], checkpoints: list[str], whole: Path, tmp_path: Path
) -> None:
    make_room(workers)
    with ray_workers(WORK, Spread(on="ray", jobs=1, shared_disk=True), cells=1) as (worker,):
        assert worker.ask(Job(checkpoints[0], days(), tmp_path / "days")) is None
        (tmp_path / "file").write_text("in its way")
        with pytest.raises(FolderError):
            worker.ask(Job(checkpoints[0], days(), tmp_path / "file" / "days"))
    assert tables(tmp_path / "days") == tables(whole)


def test_a_process_that_is_on_a_cluster_is_not_taken_to_another(workers: list[Worker]) -> None:
    told = "this process is on a Ray cluster already"
    with pytest.raises(AtlasError, match=told), ray_workers(WORK, Spread(on="ray://127.0.0.1:1"), cells=1):
        pass


def test_a_worker_whose_own_disk_is_full_tells_it_as_the_cells_reason(
    checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise FolderError("the disk is full: tables/x was not written; free some space")

    monkeypatch.setattr("vitro.atlases.on_ray.unpack", full)
    said, made = Remote(WORK, str(tmp_path)).make(Job(checkpoints[0], days(), tmp_path / "days"), {})
    assert said[0] == "failed"
    assert said[1].startswith("on its worker's machine: the disk is full")
    assert not made.written


def test_a_cell_that_the_cluster_has_no_room_for_is_refused_at_once(workers: list[Worker]) -> None:
    for spread, told in (
        (Spread(on="ray", cell_gpus=2), "the Ray cluster has 0 GPU, and a cell takes 2"),
        (Spread(on="ray", cell_memory=2**60), "memory, and a cell takes 1.15292e+18"),
    ):
        with pytest.raises(AtlasError, match=told.replace("+", r"\+")), ray_workers(WORK, spread, cells=1):
            pass


def test_without_ray_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = r"--on ray needs Ray.*pip install 'vitro\[ray\]'"
    with pytest.raises(AtlasError, match=told), ray_workers(WORK, Spread(on="ray"), cells=1):
        pass
