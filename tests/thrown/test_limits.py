"""Limits of the machine, as clusters and shells set them: a result, or one line that names the limit."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

import pytest

from command import Vitro, refusal
from vitro.experiments import Options
from vitro.figures import DrawingError, to_html, to_svg
from vitro.figures.vega import _process, vega
from vitro.limits import out_of_memory
from vitro.study import run_study
from vitro.tasks import days

BAR = {"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
LEAST = 4 * 10**9
"""Bytes of address space: the least that a cluster gives."""


@pytest.fixture(scope="module")
def study(planted_folder: Path, planted_model: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one measurement, which is drawn in a moment."""
    folder = tmp_path_factory.mktemp("studies") / "days"
    return run_study(str(planted_folder), days(), folder, Options(samples=4), experiments=["clean"]).folder


def under(limit: int, soft: int, hard: int) -> Callable[[], None]:
    """Sets a limit on a process before it begins."""
    return lambda: resource.setrlimit(limit, (soft, hard))


def run(
    *arguments: str, limit: Callable[[], None] | None = None, variables: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "vitro.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env=variables, check=False)


def line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that did not come to its end."""
    assert done.returncode == 2, done.stderr[-2000:]
    (told,) = done.stderr.splitlines()
    return told


def test_where_v8_has_too_little_address_space_a_line_says_so_and_the_study_is_kept(study: Path) -> None:
    kept = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    told = line(run("report", str(study), limit=under(resource.RLIMIT_AS, LEAST, LEAST)))
    assert "70 GB of address space, and 4 GB of address space are allowed (ulimit -v)" in told
    assert f"all that was measured is in {study}, and vitro report {study} draws it" in told
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == kept


def test_a_soft_limit_is_lifted_by_the_process_that_draws(study: Path) -> None:
    done = run("report", str(study), limit=under(resource.RLIMIT_AS, LEAST, resource.RLIM_INFINITY))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("files", "code"), [(20, 0), (11, 2)])
def test_few_open_files_are_enough_or_named(study: Path, files: int, code: int) -> None:
    done = run("report", str(study), limit=under(resource.RLIMIT_NOFILE, files, files))
    assert done.returncode == code, done.stderr[-2000:]
    if code:
        assert f"{files} open files are allowed (ulimit -n)" in line(done)


def test_a_file_that_may_not_be_as_large_is_named_with_the_limit(study: Path) -> None:
    told = line(run("report", str(study), limit=under(resource.RLIMIT_FSIZE, 50_000, 50_000)))
    assert "report.html was not written: a file may not be so large here (ulimit -f)" in told


def test_memory_that_runs_out_is_told_in_a_line(study: Path, vitro: Vitro, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(folder: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000 bytes")

    monkeypatch.setattr("vitro.study.write_report", exhausted)
    assert refusal(vitro("report", str(study))).startswith("memory ran out")


def test_threads_that_cannot_be_started_are_told_before_a_library_ends_for_want_of_them(
    vitro: Vitro, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = Thread.start, list[Thread]()

    def three_at_most(thread: Thread) -> None:
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(Thread, "start", three_at_most)
    told = refusal(vitro("models"))
    assert re.match(r"\d+ threads are needed, of which 3 can be started", told)
    assert not any(thread.is_alive() for thread in started)


def test_a_machine_without_a_folder_for_temporary_files_is_told_what_to_set(
    vitro: Vitro, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("vitro.limits.gettempdir", nowhere)
    assert "set TMPDIR to one" in refusal(vitro("models"))


def test_a_process_that_the_machine_has_killed_is_told_and_another_one_draws() -> None:
    to_svg(BAR)
    _process(os.getpid()).process.send_signal(signal.SIGKILL)
    with pytest.raises(DrawingError, match="ended by SIGKILL, as where memory runs out"):
        to_svg(BAR)
    assert to_svg(BAR).startswith("<svg")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    ],
)
def test_every_library_s_words_for_it_are_known(error: Exception) -> None:
    assert out_of_memory(error) == "memory ran out"


def test_what_a_terminal_has_no_character_for_is_written_as_a_number(tmp_path: Path) -> None:
    task = tmp_path / "task.toml"
    task.write_text('name = "letters"\ntemplate = "Après {letter} vient"\nwords = ["Ä", "日", "Ω"]\n', "utf-8")
    plain = {name: value for name, value in os.environ.items() if name not in ("HOME", "LANG", "LC_CTYPE")}
    for more in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        done = run("tasks", str(task), variables={**plain, "LC_ALL": "C", "TERM": "dumb", **more})
        assert (done.returncode, done.stderr) == (0, "")
        assert "Apr\\xe8s" in done.stdout


def test_what_could_not_be_drawn_is_told_and_the_next_figure_is_drawn() -> None:
    first = vega("vegalite_to_svg", vl_spec=BAR, allowed_base_urls=[])
    with pytest.raises(DrawingError, match="figures cannot be drawn here: "):
        vega("vegalite_to_svg", vl_spec={"mark": "no such mark"}, allowed_base_urls=[])
    assert vega("vegalite_to_svg", vl_spec=BAR, allowed_base_urls=[]) == first


def test_a_script_without_a_main_guard_draws(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"print('begins')\nfrom vitro.figures import to_svg\nprint(to_svg({BAR!r})[:4])\n", "utf-8")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["begins", "<svg"]


def test_a_notebook_shows_the_line_in_place_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(figure: object) -> str:
        raise DrawingError("figures cannot be drawn here: <why>")

    assert "<svg" in to_html({"bar": BAR})
    monkeypatch.setattr("vitro.figures.spec.to_svg", refused)
    assert to_html({"bar": BAR}) == "<p>figures cannot be drawn here: &lt;why&gt;</p>"
