"""Folders for MIB: named as it names them, whole or not there, and never in the place of what is another's."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vitro.circuits import Graph, read_mib
from vitro.folder import FolderError
from vitro.submission import RECORD, SHARES, circuits, importances, submission_name, write_submission

GRAPH = Graph(3, 4, parallel=False)
SCORES = np.random.default_rng(0).standard_normal(len(GRAPH))


@pytest.mark.parametrize(
    ("task", "model", "name"),
    [
        ("ioi-50", "gpt2", "ioi_gpt2"),
        ("ioi-100", "openai-community/gpt2@main", "ioi_gpt2"),
        ("copycolors_mcqa", "Qwen/Qwen2.5-0.5B", "mcqa_qwen2.5"),
        ("arithmetic_addition", "meta-llama/Llama-3.1-8B", "arithmetic-addition_llama3"),
        ("arithmetic-subtraction-20", "meta-llama/Meta-Llama-3.1-8B", "arithmetic-subtraction_llama3"),
        ("arc_easy", "google/gemma-2-2b", "arc-easy_gemma2"),
        ("ARC challenge", "/models/gemma-2-2b/", "arc-challenge_gemma2"),
        ("days", "EleutherAI/pythia-70m", "days_pythia-70m"),
        ("days", "models/smollm2_135M.gguf", "days_smollm2-135m"),
        ("days", "..", "days_unnamed"),
    ],
)
def test_folders_are_named_as_mib_names_them(task: str, model: str, name: str) -> None:
    assert submission_name(task, model) == name


def test_nine_circuits_hold_the_edges_of_the_largest_absolute_scores_pruned() -> None:
    files = circuits(GRAPH, SCORES, 32)
    assert list(files) == [f"{size}.json" for size in ("0.1", "0.2", "0.5", "1", "2", "5", "10", "20", "50")]
    order = sorted(range(len(GRAPH)), key=lambda edge: -abs(SCORES[edge]))
    for (size, share), content in zip(SHARES.items(), files.values(), strict=True):
        assert float(size) == pytest.approx(100 * share)
        mask = np.zeros(len(GRAPH), bool)
        mask[order[: int(share * len(GRAPH))]] = True
        file = read_mib(json.loads(content), GRAPH, 32)
        assert (file.mask == GRAPH.pruned(mask)).all()
    assert file.mask.sum() > 50


def test_scores_are_one_file() -> None:
    files = importances(GRAPH, SCORES, 32)
    assert list(files) == ["importances.json"]
    assert (read_mib(json.loads(files["importances.json"])).ranking() == SCORES).all()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_written_here_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    place = write_submission(tmp_path, "ioi_gpt2", {"1.json": b"1", "2.json": b"2"}, {"score": "eap"})
    other = write_submission(tmp_path, "days_gpt2", {"1.json": b"other"}, {"score": "exact"})
    assert write_submission(tmp_path, "ioi_gpt2", {"importances.json": b"3"}, {"score": "relp"}) == place
    assert contents(place) == {"importances.json": b"3"}
    assert contents(other) == {"1.json": b"other"}
    record = json.loads((tmp_path / RECORD).read_text())
    assert {name: entry["score"] for name, entry in record.items()} == {"ioi_gpt2": "relp", "days_gpt2": "exact"}
    assert {path.name for path in tmp_path.iterdir()} == {"ioi_gpt2", "days_gpt2", RECORD}


def by_hand(place: Path) -> None:
    place.mkdir()
    (place / "importances.json").write_text("{}")


def changed(place: Path) -> None:
    write_submission(place.parent, place.name, {"1.json": b"1"}, {})
    (place / "1.json").write_bytes(b"2")


def with_more_in_it(place: Path) -> None:
    write_submission(place.parent, place.name, {"1.json": b"1"}, {})
    (place / "notes.txt").write_text("more")


def with_a_folder_in_it(place: Path) -> None:
    (place / "1.json").mkdir(parents=True)


def a_file(place: Path) -> None:
    place.write_text("more")


def a_link(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


@pytest.mark.parametrize("make", [by_hand, changed, with_more_in_it, with_a_folder_in_it, a_file, a_link])
def test_what_is_another_s_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "ioi_gpt2")
    before = contents(tmp_path)
    with pytest.raises(FolderError, match="is not as vitro wrote it; choose another --name or --mib"):
        write_submission(tmp_path, "ioi_gpt2", {"1.json": b"3"}, {})
    assert contents(tmp_path) == before


def test_the_same_files_without_a_record_are_taken_as_written_here(tmp_path: Path) -> None:
    place = write_submission(tmp_path, "ioi_gpt2", {"1.json": b"1"}, {})
    (tmp_path / RECORD).unlink()
    assert write_submission(tmp_path, "ioi_gpt2", {"1.json": b"1"}, {"score": "eap"}) == place
    assert json.loads((tmp_path / RECORD).read_text())["ioi_gpt2"]["score"] == "eap"


@pytest.mark.parametrize("stop", ["write", "rename"])
def test_a_folder_that_cannot_be_written_is_as_it_was(
    tmp_path: Path, stop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_submission(tmp_path, "ioi_gpt2", {"1.json": b"1"}, {})
    before = contents(tmp_path)
    rename = Path.rename

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    def once(path: Path, target: Path) -> Path:
        return full() if path.name == "new" else rename(path, target)  # type: ignore[func-returns-value, return-value]

    if stop == "write":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(FolderError, match="the disk is full"):
        write_submission(tmp_path, "ioi_gpt2", {"1.json": b"2"}, {})
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"ioi_gpt2", RECORD}


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FolderError, match="a folder cannot be called"):
        write_submission(tmp_path, name, {}, {})


@pytest.mark.parametrize("content", ["[]", "no json", '{"ioi_gpt2": 3}'])
def test_a_record_that_is_another_s_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(FolderError, match=r"vitro.json is not as vitro wrote it"):
        write_submission(tmp_path, "ioi_gpt2", {"1.json": b"1"}, {})
    assert contents(tmp_path) == {RECORD: content.encode()}
