"""Folders that a study left and somebody changed: whatever reads them says so in one line, or goes on."""

import io
import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from command import is_one_line
from forked import forked, wrong
from vitro.models import Model
from vitro.options import Options
from vitro.record import LARGEST_RECORD
from vitro.study import run_study
from vitro.tasks import days

MEASURED = ["prompts", "clean", "mlp_ablation"]


@pytest.fixture(scope="module")
def sound(planted_folder: Path, planted_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study, which is copied and changed."""
    folder = tmp_path_factory.mktemp("sound") / "study"
    run_study(str(planted_folder), days(), folder, Options(samples=4), experiments=MEASURED)
    return folder


def record(change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Changes study.json."""

    def changed(folder: Path) -> None:
        fields = json.loads((folder / "study.json").read_text())
        change(fields)
        (folder / "study.json").write_text(json.dumps(fields))

    return changed


def written(content: bytes) -> Callable[[Path], object]:
    """Other bytes for study.json."""
    return lambda folder: (folder / "study.json").write_bytes(content)


def table(change: Callable[[pl.DataFrame], pl.DataFrame], name: str = "clean") -> Callable[[Path], object]:
    """Changes a table, and its hash in study.json, as nobody does by mistake."""

    def changed(folder: Path) -> None:
        path, buffer = folder / "tables" / f"{name}.parquet", io.BytesIO()
        change(pl.read_parquet(path)).write_parquet(buffer)
        path.write_bytes(buffer.getvalue())
        _known(folder, name)

    return changed


def table_bytes(change: Callable[[bytes], bytes], known: bool, name: str = "clean") -> Callable[[Path], object]:
    """Changes a table's bytes; known: and its hash in study.json."""

    def changed(folder: Path) -> None:
        path = folder / "tables" / f"{name}.parquet"
        path.write_bytes(change(path.read_bytes()))
        if known:
            _known(folder, name)

    return changed


def _known(folder: Path, name: str) -> None:
    digest = sha256((folder / "tables" / f"{name}.parquet").read_bytes()).hexdigest()

    def change(fields: Any) -> None:
        for done in fields["experiments"].values():
            done["tables"].update({name: digest} if name in done["tables"] else {})

    record(change)(folder)


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else in the place of a file or folder."""

    def changed(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return changed


FAULTS: dict[str, Callable[[Path], object]] = {
    "no record": written(b""),
    "record is no JSON": written(b"{"),
    "record is a list": written(b"[]"),
    "record of null": written(b"null"),
    "record is not UTF-8": written(b"\xff\xfe{}"),
    "record 5000 deep": written(b"[" * 5000),
    "record of 17 MB": written(b" " * (LARGEST_RECORD + 1)),
    "record holds half a character": written(b'{"format": 5, "settings": "\\ud800"}'),
    "format is a list": record(lambda fields: fields.update(format=[])),
    "format is huge": record(lambda fields: fields.update(format=10**400)),
    "format is true": record(lambda fields: fields.update(format=True)),
    "no settings": record(lambda fields: fields.pop("settings")),
    "no machine": record(lambda fields: fields.pop("machine")),
    "machine is empty": record(lambda fields: fields.update(machine={})),
    "a newer version's part": record(lambda fields: fields.update(newer=1)),
    "a newer version's option": record(lambda fields: fields["settings"]["options"].update(newer=1)),
    "a newer version's measurement": record(lambda fields: fields["left_out"].update(newer="time")),
    "a newer version's table": record(lambda fields: fields["experiments"]["clean"]["tables"].update(newer="00")),
    "an option of another type": record(lambda fields: fields["settings"]["options"].update(alphas=5)),
    "an option out of range": record(lambda fields: fields["settings"]["options"].update(samples=-1)),
    "the task has no name": record(lambda fields: fields["settings"]["task"].pop("name")),
    "the task's name is a list": record(lambda fields: fields["settings"]["task"].update(name=[])),
    "experiments are a list": record(lambda fields: fields.update(experiments=[])),
    "seconds are a text": record(lambda fields: fields["experiments"]["clean"].update(seconds="long")),
    "a table is not listed": record(lambda fields: fields["experiments"]["clean"]["tables"].popitem()),
    "the record is a folder": instead("study.json", Path.mkdir),
    "the record is a pipe": instead("study.json", os.mkfifo),
    "the record is a device": instead("study.json", lambda path: path.symlink_to("/dev/zero")),
    "the record is a circle": instead("study.json", lambda path: path.symlink_to(path)),
    "tables are a file": instead("tables", Path.touch),
    "tables are a circle": instead("tables", lambda path: path.symlink_to(path)),
    "figures are a file": instead("figures", Path.touch),
    "figures are a circle": instead("figures", lambda path: path.symlink_to(path)),
    "a table is a folder": instead("tables/clean.parquet", Path.mkdir),
    "a table is a pipe": instead("tables/clean.parquet", os.mkfifo),
    "a table is missing": lambda folder: (folder / "tables" / "clean.parquet").unlink(),
    "a table is cut short": table_bytes(lambda content: content[:-100], known=False),
    "a table is cut short, and known so": table_bytes(lambda content: content[:-100], known=True),
    "a table is changed, and known so": table_bytes(
        lambda content: content[:300] + b"\xff" * 20 + content[320:], known=True
    ),
    "a table without rows": table(lambda frame: frame.clear()),
    "the task's table without rows": table(lambda frame: frame.clear(), "task"),
    "a table without columns": table(lambda frame: pl.DataFrame()),
    "a table with another column": table(lambda frame: frame.with_columns(more=1)),
    "a table of texts": table(lambda frame: frame.cast(pl.String)),
    "the page is a folder": instead("report.html", Path.mkdir),
}  # fmt: skip
GOES_ON = {"a newer version's table"}
"""What no figure is made of."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_changed_folder_is_shown_or_told_in_one_line(sound: Path, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "study"
    shutil.copytree(sound, folder)
    FAULTS[fault](folder)
    done = forked("report", str(folder))
    assert wrong(done) == ""
    assert done.code == (0 if fault in GOES_ON else 2)
    assert str(folder) in done.out + done.err


@pytest.mark.parametrize(
    "fault",
    [
        "a newer version's option",
        "a table is missing",
        "a table is cut short",
        "the task's table without rows",
        "tables are a file",
        "record is a list",
        "a table is a pipe",
    ],
)
def test_what_measures_into_a_changed_folder_goes_on_or_tells_it_in_one_line(
    sound: Path, planted_folder: Path, tmp_path: Path, fault: str
) -> None:
    for number, command in enumerate((("study", "--no-find"), ("edges", "--scores", "random"))):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        FAULTS[fault](folder)
        name, *words = command
        done = forked(name, "days", "--model", str(planted_folder), "--samples", "4", "--out", str(folder), *words)
        assert wrong(done) == ""
        # What is missing is measured anew; all else is told.
        assert done.code == (0 if fault in ("a table is missing", "a table is a pipe") else 2)


def test_a_folder_of_circuits_whose_record_is_no_record_is_told(
    planted_folder: Path, sound: Path, tmp_path: Path
) -> None:
    folder, mib = tmp_path / "study", tmp_path / "mib"
    shutil.copytree(sound, folder)
    mib.mkdir()
    for content in (b"[", b"[" * 5000, b"[1]", b'{"a": 1}', b"\xff"):
        (mib / "vitro.json").write_bytes(content)
        done = forked(
            "export", "days", "--model", str(planted_folder), "--samples", "4", "--out", str(folder), "--mib", str(mib),
            "--scores", "random",
        )  # fmt: skip
        assert wrong(done) == ""
        assert "is not as vitro wrote it" in done.err
        assert is_one_line(done.err.rstrip("\n"))
