"""An atlas: every cell a study, only what is missing is made, and the same bytes however it is made."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import vitro
from atlases_made import tables
from vitro.atlases import AtlasError
from vitro.atlases.work import Bench, Job
from vitro.folder import FolderError, sole_writer
from vitro.options import OptionError, Options
from vitro.study import open_study
from vitro.tasks import days, numbers

OPTIONS = Options(samples=8)
MEASURE = ["clean_run", "ablate_heads", "successor"]
TASKS = ["days", "days:all"]


@pytest.fixture(scope="module")
def whole(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> vitro.Atlas:
    """All tasks on all checkpoints."""
    return vitro.atlas(checkpoints, TASKS, tmp_path_factory.mktemp("atlases") / "whole", OPTIONS, measure=MEASURE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that workers of this process are asked for."""
    noted: list[str] = []
    ask = Bench.ask

    def noting(bench: Bench, job: Job) -> str | None:
        noted.append(f"{job.task.typed} {Path(job.model).name}")
        return ask(bench, job)

    monkeypatch.setattr(Bench, "ask", noting)
    return noted


def test_every_cell_is_a_study_with_a_report_of_its_own(whole: vitro.Atlas, checkpoints: list[str]) -> None:
    assert whole.table.select("model", "task", "state").rows() == [
        (model, task, "done") for model in checkpoints for task in TASKS
    ]
    for folder in whole.table["folder"]:
        study = open_study(whole.folder / folder)
        assert study.report.exists()
        assert {"clean", "head_ablation", "successor"} <= study.record.experiments.keys()
    assert whole.study(checkpoints[1], "days").record.settings.model == checkpoints[1]
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "atlas.html",
        "atlas.parquet",
        "cells",
        "overlaps.parquet",
        "seconds.csv",
    ]
    assert pl.read_parquet(whole.folder / "atlas.parquet").equals(whole.table)


def test_the_same_call_makes_nothing_again(
    whole: vitro.Atlas, checkpoints: list[str], asked: list[str], tmp_path: Path
) -> None:
    before = tables(whole.folder)
    again = vitro.atlas(checkpoints, TASKS, whole.folder, OPTIONS, measure=MEASURE)
    assert asked == []
    assert tables(again.folder) == before


def test_only_what_is_missing_is_made_wherever_it_was_stopped(
    whole: vitro.Atlas, checkpoints: list[str], asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "atlas"
    shutil.copytree(whole.folder, out)
    shutil.rmtree(out / whole.table["folder"][1])
    (out / whole.table["folder"][2] / "tables" / "clean.parquet").unlink()
    (out / whole.table["folder"][4] / "report.html").unlink()
    (out / "atlas.parquet").unlink()
    vitro.atlas(checkpoints, TASKS, out, OPTIONS, measure=MEASURE)
    assert asked == ["days:all step0", "days step10", "days step20"]
    assert tables(out) == tables(whole.folder)


def test_ctrl_c_leaves_a_table_of_what_is_there_and_the_same_call_goes_on(
    whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Bench.ask

    def stopped(bench: Bench, job: Job) -> str | None:
        if job.model == checkpoints[1]:
            raise KeyboardInterrupt
        return ask(bench, job)

    with monkeypatch.context() as patch:
        patch.setattr(Bench, "ask", stopped)
        with pytest.raises(KeyboardInterrupt):
            vitro.atlas(checkpoints, TASKS, tmp_path / "atlas", OPTIONS, measure=MEASURE)
    half = pl.read_parquet(tmp_path / "atlas" / "atlas.parquet")
    assert half["state"].to_list() == ["done"] * 2 + ["missing"] * 4
    assert half["accuracy"].null_count() == 4
    vitro.atlas(checkpoints, TASKS, tmp_path / "atlas", OPTIONS, measure=MEASURE)
    assert tables(tmp_path / "atlas") == tables(whole.folder)


def test_two_processes_give_the_same_bytes(whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path) -> None:
    vitro.atlas(checkpoints, TASKS, tmp_path / "atlas", OPTIONS, measure=MEASURE, jobs=2)
    assert tables(tmp_path / "atlas") == tables(whole.folder)


def test_a_driver_that_is_killed_half_way_loses_nothing(
    whole: vitro.Atlas, checkpoints: list[str], asked: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    command = [sys.executable, "-m", "vitro.cli", "atlas", ",".join(TASKS), "--models", ",".join(checkpoints)]
    command += ["--out", str(out), "--samples", "8", "--measure", ",".join(MEASURE), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(list(out.glob("cells/*/*/report.html"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(out.glob("cells/*/*/report.html")))
    assert 2 <= done < 6
    vitro.atlas(checkpoints, TASKS, out, OPTIONS, measure=MEASURE)
    # What was finished is not made again; of what was begun, what was finished is not.
    assert len(asked) <= 6 - 2
    assert tables(out) == tables(whole.folder)
    assert not list(out.rglob(".unfinished-*"))


def test_a_full_disk_stops_it_with_a_line_and_it_goes_on_where_there_is_room(
    whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, list[int]()

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(FolderError, match="the disk is full"):
            vitro.atlas(checkpoints, TASKS, tmp_path / "atlas", OPTIONS, measure=MEASURE)
    assert not list(tmp_path.rglob(".unfinished-*"))
    vitro.atlas(checkpoints, TASKS, tmp_path / "atlas", OPTIONS, measure=MEASURE)
    assert tables(tmp_path / "atlas") == tables(whole.folder)


def test_cells_that_fail_are_rows_with_their_reasons_and_the_others_are_made(
    checkpoints: list[str], tmp_path: Path
) -> None:
    models = [str(tmp_path / "nowhere"), checkpoints[0]]
    made = vitro.atlas(models, ["days", "numbers:5"], tmp_path / "atlas", OPTIONS, measure=["clean_run"])
    rows = made.table.select("state", "reason", "accuracy").rows()
    assert [row[0] for row in rows] == ["failed", "failed", "done", "failed"]
    assert "no such file or folder" in rows[0][1]
    assert rows[0][1] == rows[1][1]
    assert rows[2][1:] == (None, 1.0)
    assert "this tokenizer does not know '1'" in rows[3][1]
    with pytest.raises(AtlasError, match="is not done"):
        made.study(models[0], "days")
    with pytest.raises(AtlasError, match="has no cell of months"):
        made.study(models[0], "months")


def test_other_measurements_are_added_to_the_studies_that_are_there(
    whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    shutil.copytree(whole.folder, out)
    more = vitro.atlas(checkpoints[:1], ["days"], out, OPTIONS, measure=[*MEASURE, "head_lens"])
    assert more.table.height == 1
    assert more.table["selective_head"].to_list() == ["a1.h1"]
    # Cells that are not named stay.
    assert (out / whole.table["folder"][5] / "report.html").exists()


def test_settings_that_differ_from_a_cells_own_are_its_reason(
    whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    shutil.copytree(whole.folder, out)
    other = vitro.atlas(checkpoints[:1], ["days"], out, Options(samples=9), measure=MEASURE)
    assert "holds another study: its samples is '8', not '9'" in other.table["reason"][0]


def test_a_checkpoint_that_was_changed_since_is_noticed(checkpoints: list[str], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(checkpoints[0], model)
    assert (
        vitro.atlas([model], ["days"], tmp_path / "atlas", OPTIONS, measure=["clean_run"]).table["state"][0] == "done"
    )
    shutil.copyfile(Path(checkpoints[1]) / "model.safetensors", model / "model.safetensors")
    changed = vitro.atlas([model], ["days"], tmp_path / "atlas", OPTIONS, measure=["clean_run"])
    assert "its weights sha256 is" in changed.table["reason"][0]


def test_a_table_that_was_damaged_is_its_cells_reason_and_says_what_to_do(
    whole: vitro.Atlas, checkpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    shutil.copytree(whole.folder, out)
    (out / whole.table["folder"][0] / "tables" / "head_ablation.parquet").write_bytes(b"PAR1")
    made = vitro.atlas(checkpoints, TASKS, out, OPTIONS, measure=MEASURE)
    assert made.table["state"].to_list() == ["failed"] + ["done"] * 5
    assert "head_ablation.parquet is not what the study wrote" in made.table["reason"][0]
    (out / whole.table["folder"][0] / "tables" / "head_ablation.parquet").unlink()
    again = vitro.atlas(checkpoints, TASKS, out, OPTIONS, measure=MEASURE)
    assert tables(again.folder) == tables(whole.folder)


def test_a_folder_of_something_else_is_refused_before_anything_is_run(
    whole: vitro.Atlas, checkpoints: list[str], asked: list[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("\\begin{document}")
    with pytest.raises(AtlasError, match=r"is not empty and holds no atlas \(thesis.tex\)"):
        vitro.atlas(checkpoints, ["days"], tmp_path, OPTIONS)
    with pytest.raises(AtlasError, match="holds no atlas"):
        vitro.atlas(checkpoints, ["days"], whole.folder / whole.table["folder"][0], OPTIONS)
    with sole_writer(whole.folder), pytest.raises(FolderError, match="is being written by another vitro"):
        vitro.atlas(checkpoints, ["days"], whole.folder, OPTIONS)
    assert asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"measure": ["ablate_headz"]}, "there is no measurement 'ablate_headz'; there are prompts, clean_run"),
        ({"jobs": 0}, "jobs must be 1 or more"),
        ({"on": "slurm"}, "is no place; what works: ray, or ray://host:10001"),
        ({"cell_gpus": 1.0}, "is for a Ray cluster"),
        ({"options": 7}, "the options are an int"),
    ],
)
def test_a_call_that_will_not_do_is_refused_in_a_line(
    checkpoints: list[str], tmp_path: Path, call: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError, match=told):
        vitro.atlas(checkpoints, ["days"], tmp_path / "atlas", **call)
    assert not (tmp_path / "atlas").exists()


def test_a_search_goes_to_its_end_unless_a_time_is_given(checkpoints: list[str], tmp_path: Path) -> None:
    made = vitro.atlas(checkpoints[:1], ["days"], tmp_path / "atlas", OPTIONS, measure=["find"])
    study = made.study(checkpoints[0], "days")
    assert study.record.experiments["find"].finished
    search, row = study.table("find").row(0, named=True), made.table.row(0, named=True)
    assert (row["circuit_nodes"], row["faithfulness"]) == (search["nodes"], search["faithfulness"])
    assert row["circuit_head"] == "a1.h1"


def test_tasks_may_be_values_and_are_told_from_each_other(checkpoints: list[str], tmp_path: Path) -> None:
    made = vitro.atlas(checkpoints[:1], [days()], tmp_path / "atlas", OPTIONS, measure=["clean_run"])
    assert made.table["task"].to_list() == ["days"]
    with pytest.raises(AtlasError, match="the task 'numbers:5' is named twice"):
        vitro.atlas(checkpoints, [numbers(5), "numbers:5"], tmp_path / "other", OPTIONS)
