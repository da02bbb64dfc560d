"""docs/json.md names every field that --json prints, and no other."""

import json
import re
from pathlib import Path

import pytest

from command import Vitro
from vitro.models import Model

PAGE = (Path(__file__).parents[1] / "docs" / "json.md").read_text("utf-8")


def fields_of(command: str) -> set[str]:
    """The fields that the page names in a command's own section, in its first table."""
    section = PAGE.split(f"\n## {command}\n")[1].split("\n## ")[0].split("\nEach of")[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[1:]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def fields_in_line(command: str) -> set[str]:
    """The fields that the page names in a command's line of its last table; what is in parentheses explains them."""
    (line,) = re.findall(rf"^\| `{command}` \| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", re.sub(r"\([^()]*\)", "", line)))


def test_a_study_prints_its_findings_as_numbers_under_the_names_on_the_page(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    words = ("days", "--model", str(planted_folder), "--samples", "4", "--out", str(tmp_path))
    study = json.loads(vitro("study", *words, "--json").out)
    assert set(study) == fields_of("vitro study")
    assert study["task"].items() >= {"name": "days", "metric": "answer_prob", "n_prompts": 7}.items()
    assert study["answered"].items() >= {"prompts": 7, "right": 7, "does_task": True}.items()
    assert set(study["find"]) == fields_of("vitro find") - {"seconds", "folder", "report"}
    assert study["find"]["nodes"] == ["a1.h1"]
    heads = study["measurements"]["head_ablation"]
    assert set(heads) == {"title", "finding", "numbers", "tables", "seconds"}
    assert heads["finding"] in study["summary"]
    strongest = heads["numbers"][0]
    assert strongest["head"] == "a1.h1"
    assert strongest["mean: change of answer's probability"] == pytest.approx(-0.78, abs=0.05)
    assert (tmp_path / "tables" / f"{heads['tables'][0]}.parquet").is_file()
    found = json.loads(vitro("find", *words, "--json").out)
    assert set(found) == fields_of("vitro find")
    assert {**found, **study["find"]} == found


def test_the_other_commands_print_the_fields_that_the_page_names(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    model = ("--model", str(planted_folder))
    words = ("days", *model, "--samples", "4", "--out", str(tmp_path / "study"))
    wiring = "input -> a1.h1[subject]; a1.h1 -> logits"
    commands = {
        "vitro edges": ("edges", *words, "--scores", "eap,relp"),
        "vitro curve": ("curve", *words, "--scores", "eap,relp", "--vary"),
        "vitro atlas": (
            "atlas",
            "days",
            "--models",
            model[1],
            "--out",
            str(tmp_path / "atlas"),
            "--measure",
            "clean_run",
        ),
        "vitro atlas --dry-run": ("atlas", "days", "--models", model[1], "--out", str(tmp_path / "other"), "--dry-run"),
        "vitro export": ("export", *words, "--mib", str(tmp_path / "mib"), "--scores", "eap"),
        "vitro circuit": ("circuit", wiring, "days", *model, "--samples", "4", "--judge"),
        "vitro successor": ("successor", *model),
        "vitro report": ("report", str(tmp_path / "study")),
        "vitro models": ("models",),
        "vitro models --cache": ("models", "--cache"),
    }
    printed = {name: set(json.loads(vitro(*command, "--json").out)) for name, command in commands.items()}
    # No circuit was searched for in this folder.
    assert printed == {name: fields_in_line(name) - {"search"} for name in commands}
