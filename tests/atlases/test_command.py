"""`vitro atlas` on the command line: what it prints, how it ends, and commands that make its cells by themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from atlases_made import tables
from command import Vitro, refusal

MEASURE = ("--measure", "clean_run,ablate_heads,successor", "--samples", "8")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are not drawn, only written, so that a cell is done."""

    def show(folder: Path, record: object) -> None:
        (folder / "report.html").write_text('<meta name="generator" content="Vitro">')

    monkeypatch.setattr("vitro.study._show", show)


@pytest.mark.usefixtures("undrawn")
def test_it_tells_each_cell_then_what_was_found_and_where_the_page_is(
    vitro: Vitro, checkpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    words = ("atlas", "days,days:all", "--models", ",".join(checkpoints[:2]), "--out", str(out), *MEASURE)
    done = vitro(*words)
    assert done.code == 0, done.err
    lines = done.err.strip().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"1 of 4: days on {checkpoints[0]}: done after ")
    assert done.out.splitlines()[0] == "Done: 4 cells, 2 tasks on 2 models."
    assert done.out.splitlines()[-1] == f"The page: {out / 'atlas.html'}"
    again = vitro(*words)
    assert (again.code, again.err, again.out) == (0, "", done.out)
    rows = json.loads(vitro(*words, "--json").out)
    assert [row["accuracy"] for row in rows["cells"]] == [1.0] * 4
    assert {row["measurement"] for row in rows["seconds"]} >= {"clean", "head_ablation", "successor"}


@pytest.mark.usefixtures("undrawn")
def test_where_a_cell_fails_the_command_ends_with_1_and_says_why(
    vitro: Vitro, checkpoints: list[str], tmp_path: Path
) -> None:
    models = tmp_path / "models.txt"
    models.write_text(f"{checkpoints[0]}\n{tmp_path / 'nowhere'}\n")
    done = vitro("atlas", "days", "--models", str(models), "--out", str(tmp_path / "atlas"), "--measure", "clean_run")
    assert done.code == 1
    assert "2 of 2" in done.err
    assert "failed: model" in done.err
    assert "no such file or folder" in done.err
    assert done.out.startswith("Done: 1 of 2 cells, 1 task on 2 models; 1 failed.")


def test_its_commands_make_the_very_same_atlas(vitro: Vitro, checkpoints: list[str], tmp_path: Path) -> None:
    def words(out: str) -> tuple[str, ...]:
        return ("atlas", "days", "--models", ",".join(checkpoints[:2]), "--out", str(tmp_path / out), *MEASURE)

    printed = vitro(*words("by commands"), "--dry-run", "--as", "commands").out.splitlines()
    assert len(printed) == 2
    assert not (tmp_path / "by commands").exists()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in printed:
        subprocess.run(line, shell=True, check=True, capture_output=True, env={**os.environ, "PATH": path})
    assert vitro(*words("by commands"), "--dry-run", "--as", "commands").out == ""
    collected, whole = vitro(*words("by commands")), vitro(*words("whole"))
    assert (collected.code, collected.err, whole.code) == (0, "", 0)
    assert tables(tmp_path / "by commands") == tables(tmp_path / "whole")


def test_a_plan_is_a_table_for_people_and_json_for_machines(
    vitro: Vitro, checkpoints: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "atlas"
    words = ("atlas", "days", "--models", f"{checkpoints[0]},{tmp_path / 'nowhere'}", "--out", str(out), *MEASURE)
    shown = vitro(*words, "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    assert "Refused: model" in shown.out
    assert "2 cells, of which 1 are to be made: about" in shown.out
    made = json.loads(vitro(*words, "--dry-run", "--json").out)
    assert [cell["state"] for cell in made["cells"]] == ["missing", "refused"]
    assert made["cells"][0]["sizes"]["layers"] == 3
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--measure", "find,sing"), "there is no measurement 'sing'; there are prompts, clean_run"),
        (("--as", "commands"), "--as goes with --dry-run"),
        (("--dry-run", "--as", "slurm"), "--as must be commands, not 'slurm'"),
        (("--on", "slurm"), "what works: ray, or ray://host:10001"),
        (("--cell-gpus", "1"), "--cell-gpus is for a Ray cluster"),
        (("--jobs", "0"), "jobs must be 1 or more"),
        (("--threads", "many"), "--threads: 'many' is not a whole number"),
        (("--cell-memory", "16 pounds", "--on", "ray"), "--cell-memory: '16 pounds' is not a size"),
    ],
)
def test_what_will_not_do_is_refused_in_a_line_before_anything_is_made(
    vitro: Vitro, checkpoints: list[str], tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = vitro("atlas", "days", "--models", checkpoints[0], "--out", str(tmp_path / "atlas"), *words)
    assert told in refusal(done)
    assert not (tmp_path / "atlas").exists()


def test_a_study_of_some_measurements_says_how_to_make_it_again(
    vitro: Vitro, checkpoints: list[str], tmp_path: Path
) -> None:
    study = ("study", "days", "--model", checkpoints[0], "--out", str(tmp_path / "study"), "--samples", "8")
    done = vitro(*study, "--measure", "ablate_mlps,clean_run")
    assert done.code == 0, done.err
    assert sorted(path.stem for path in (tmp_path / "study" / "tables").iterdir()) == [
        "clean",
        "mlp_ablation",
        "prompts",
        "questions",
        "task",
    ]
    page = (tmp_path / "study" / "report.html").read_text()
    assert "<span>--measure</span> <span>clean_run,ablate_mlps</span>" in page
    assert "--measure names all that is measured" in refusal(vitro(*study, "--measure", "find", "--no-find"))


def test_the_table_is_the_one_that_python_gives(vitro: Vitro, checkpoints: list[str], tmp_path: Path) -> None:
    out = str(tmp_path / "atlas")
    assert vitro("atlas", "days", "--models", checkpoints[0], "--out", out, "--measure", "clean_run").code == 0
    row = pl.read_parquet(tmp_path / "atlas" / "atlas.parquet").row(0, named=True)
    assert (row["task"], row["step"], row["prompts"], row["does_task"]) == ("days", 0, 7, True)
