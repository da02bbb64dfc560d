"""A Ray cluster that is there already, and one that was started for an atlas: nothing of it stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from atlases_made import tables
from vitro.atlases.cells import AtlasError
from vitro.atlases.on_ray import ray_workers
from vitro.atlases.work import Bench, Job, Work
from vitro.options import Machine, Options, Spread
from vitro.tasks import days

pytest.importorskip("ray", reason="Ray is not installed (make test installs it)")
pytest.importorskip("grpc", reason="Ray's client is not installed (make test installs it)")
WORK = Work(("clean",), Options(samples=8), Machine(), threads=1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, above those that Ray gives its workers."""
    sockets = [socket.socket() for _ in range(count)]
    for taken in sockets:
        taken.bind(("127.0.0.1", 0))
    ports = [int(taken.getsockname()[1]) for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster, for Ray's client."""
    own, client = free_ports(2)
    words = f"start --head --block --disable-usage-stats --node-ip-address=127.0.0.1 --port={own} --num-cpus=1"
    words += f" --ray-client-server-port={client} --include-dashboard=false --min-worker-port=0 --max-worker-port=0"
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words.split(), f"--temp-dir={tmp_path_factory.mktemp('r')}"],
        env={
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_worker_niceness": "0",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", client), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield f"ray://127.0.0.1:{client}"
    family = psutil.Process(head.pid).children(recursive=True)
    for process in [*family, psutil.Process(head.pid)]:
        process.kill()
    head.wait()


def made_on(spread: Spread, job: Job) -> None:
    """Make a cell on a cluster. Ray gives its client's server half a minute to start, which may not do under load."""
    for left in (2, 1, 0):
        try:
            with ray_workers(WORK, spread, cells=1) as (worker,):
                assert worker.ask(job) is None
            return
        except AtlasError as error:
            if not left or "Starting Ray client server failed" not in str(error):
                raise


def test_a_cluster_far_away_gives_the_same_bytes(
    cluster: str, checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Bench(WORK).ask(Job(checkpoints[0], days(), tmp_path / "here")) is None
    made_on(Spread(on=cluster), Job(checkpoints[0], days(), tmp_path / "named"))
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    made_on(Spread(on="ray"), Job(checkpoints[0], days(), tmp_path / "of the environment"))
    assert tables(tmp_path / "here") == tables(tmp_path / "named") == tables(tmp_path / "of the environment")


def test_an_address_at_which_nothing_is_heard_is_told_in_a_line() -> None:
    (port,) = free_ports(1)
    told = f"no Ray cluster is heard at ray://127.0.0.1:{port}"
    with pytest.raises(AtlasError, match=told), ray_workers(WORK, Spread(on=f"ray://127.0.0.1:{port}"), cells=1):
        pass


@pytest.fixture
def driver(checkpoints: list[str], tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A command that makes an atlas on a cluster of its own, its home and its temporary folder in `tmp_path`."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-m", "vitro.cli", "atlas", "days,days:all", "--models", ",".join(checkpoints)]
    command += ["--out", str(tmp_path / "atlas"), "--measure", "clean_run", "--samples", "8", "--on", "ray"]
    running = subprocess.Popen(
        [*command, "--jobs", "1"],
        env={**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield running
    running.kill()
    running.communicate()


def once_half_way(driver: "subprocess.Popen[str]", tmp_path: Path) -> list[psutil.Process]:
    """The driver's process and all below it, as soon as its first cell is made."""
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("atlas/cells/*/*/report.html")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]


def there(processes: list[psutil.Process], seconds: float) -> set[str]:
    """What those are called that are still there after a while."""
    left = psutil.wait_procs(processes, seconds)[1]
    return {process.name() for process in left if process.status() != "zombie"}


def test_killed_the_driver_leaves_no_process_and_what_is_finished(
    driver: "subprocess.Popen[str]", checkpoints: list[str], tmp_path: Path
) -> None:
    processes = once_half_way(driver, tmp_path)
    assert any("raylet" in process.name() for process in processes)
    # Two agents of Ray's look for the rest of the cluster for a minute before they end.
    main = [process for process in processes[1:] if "Agent" not in process.name()]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert there(main, 30) == set()
    assert list(tmp_path.glob("atlas/cells/*/*/report.html"))


def test_ctrl_c_ends_it_in_a_line_and_nothing_stays(
    driver: "subprocess.Popen[str]", checkpoints: list[str], tmp_path: Path
) -> None:
    processes = once_half_way(driver, tmp_path)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130
    lines = err.strip().splitlines()
    assert lines[-1] == "vitro: stopped; what is finished is kept, and the same command goes on from there"
    assert all(line.partition(" of ")[0].isdecimal() for line in lines[:-1]), err
    assert there(processes[1:], 30) == set()
    assert list((tmp_path / "home").iterdir()) == []
    assert [path.name for path in (tmp_path / "tmp").iterdir() if "ray" in path.name] == []
    assert (tmp_path / "atlas" / "atlas.parquet").exists()
