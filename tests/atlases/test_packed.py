"""A study's folder as bytes: it comes back as it was, and is whole at any time while it is written."""

import os
import shutil
from pathlib import Path

import pytest

import vitro
from vitro.atlases.packed import Changes, changes, packed, unpack, write_changes
from vitro.folder import FolderError, sole_writer
from vitro.options import Options
from vitro.study import open_study

OPTIONS = Options(samples=8)


@pytest.fixture(scope="module")
def studies(checkpoints: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study of one measurement, and the same with one more."""
    folder = tmp_path_factory.mktemp("studies")
    vitro.run_study(checkpoints[0], "days", folder / "few", OPTIONS, experiments=["clean"])
    shutil.copytree(folder / "few", folder / "more")
    vitro.run_study(checkpoints[0], "days", folder / "more", OPTIONS, experiments=["clean", "mlp_ablation"])
    return folder / "few", folder / "more"


def test_what_was_added_elsewhere_makes_the_same_folder_here(studies: tuple[Path, Path], tmp_path: Path) -> None:
    few, more = studies
    unpack(packed(few), tmp_path / "there")
    assert packed(tmp_path / "there") == packed(few)
    shutil.copytree(few, tmp_path / "here")
    made = changes(packed(few), more)
    assert "tables/mlp_ablation.parquet" in made.written
    assert "tables/clean.parquet" not in made.written
    write_changes(tmp_path / "here", made)
    assert packed(tmp_path / "here") == packed(more)


def test_a_part_that_is_finished_is_taken_away_with_its_folder(studies: tuple[Path, Path], tmp_path: Path) -> None:
    few, _ = studies
    shutil.copytree(few, tmp_path / "study")
    (tmp_path / "study" / "parts" / "find").mkdir(parents=True)
    (tmp_path / "study" / "parts" / "find" / "0.part").write_bytes(b"half")
    write_changes(tmp_path / "study", changes(packed(tmp_path / "study"), few))
    assert packed(tmp_path / "study") == packed(few)
    assert not (tmp_path / "study" / "parts").exists()


def test_stopped_at_any_file_the_record_calls_nothing_finished_that_is_not(
    studies: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, more = studies
    made = changes(packed(few), more)
    # A table that the record knows is written anew, as a search's are that goes on.
    made = Changes({**made.written, "tables/clean.parquet": packed(few)["tables/clean.parquet"]})
    sync = os.fsync
    for stop in range(len(made.written) + 1):
        folder, calls = tmp_path / str(stop), list[int]()
        shutil.copytree(few, folder)

        def full(handle: int, calls: list[int] = calls, stop: int = stop) -> None:
            calls.append(handle)
            if len(calls) > stop:
                raise OSError(28, os.strerror(28))
            sync(handle)

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(FolderError, match="the disk is full"):
                write_changes(folder, made)
        study = open_study(folder)
        for name in {table for done in study.record.experiments.values() for table in done.tables}:
            study.table(name)
        write_changes(folder, made)
        assert packed(folder) == packed(more)


def test_a_folder_that_is_being_written_is_told(studies: tuple[Path, Path], tmp_path: Path) -> None:
    few, more = studies
    shutil.copytree(few, tmp_path / "study")
    with sole_writer(tmp_path / "study"), pytest.raises(FolderError, match="is being written"):
        write_changes(tmp_path / "study", changes(packed(few), more))
