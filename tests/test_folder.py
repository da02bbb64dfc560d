"""A folder has one writer at a time, whatever processes do, and what was made in vain is gone again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vitro.errors import VitroError
from vitro.folder import FolderError, sole_writer, write_file

ENTER = """
import os, random, sys, time
from pathlib import Path
from vitro.folder import FolderError, sole_writer

folder, inside, end = Path(sys.argv[1]), sys.argv[2], time.monotonic() + 1.0
entries = overlaps = 0
while time.monotonic() < end:
    try:
        with sole_writer(folder):
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                overlaps += 1
                continue
            entries += 1
            time.sleep(0.0005)
            os.unlink(inside)
    except FolderError as error:
        assert "another vitro" in str(error), error
    time.sleep(random.random() / 1000)
print(entries, overlaps)
"""


@pytest.mark.parametrize("is_there", [True, False], ids=["in a folder", "in one that each makes and removes"])
def test_of_four_processes_one_is_inside(tmp_path: Path, is_there: bool) -> None:
    folder = tmp_path / "above" / "study"
    if is_there:
        folder.mkdir(parents=True)
    command = [sys.executable, "-c", ENTER, str(folder), str(tmp_path / "inside")]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    counts = [[int(word) for word in process.communicate(timeout=60)[0].split()] for process in crowd]
    assert [process.returncode for process in crowd] == [0] * 4
    assert sum(entries for entries, _ in counts) > 100
    assert [overlaps for _, overlaps in counts] == [0] * 4


def test_nobody_comes_in_before_the_lock_of_the_last_is_unlinked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink, tried = Path.unlink, []

    def looked_at(path: Path, missing_ok: bool = False) -> None:
        monkeypatch.setattr(Path, "unlink", unlink)
        tried.append(path.name)
        with pytest.raises(FolderError, match="being written by another vitro"), sole_writer(tmp_path):
            pass
        path.unlink(missing_ok)

    with sole_writer(tmp_path):
        monkeypatch.setattr(Path, "unlink", looked_at)
    assert tried == [".lock"]
    assert list(tmp_path.iterdir()) == []


WRITE = """
import os, sys, time
from collections import defaultdict
from pathlib import Path
import polars as pl
from vitro import identity, record, study
from vitro.experiments import EXPERIMENTS, Experiment
from vitro.folder import FolderError
from vitro.tasks import days

# A quick measurement of each, and no model: what is tried is the folder.
class Checkpoint:
    name, revision = "m", None
    weights_hash = tokenizer_hash = lambda self: "0" * 64

class Setup:
    def __init__(self, *given, **options):
        self.task, self.measured, self.seconds = days(), given[3] if len(given) > 3 else {}, defaultdict(float)
    def check(self): pass
    def tables(self, one):
        return {name: pl.DataFrame({"of": [one.name], "finished": [True]}) for name in one.tables}

study.find = lambda name: Checkpoint()
identity.config_hash = lambda checkpoint: "0" * 64
study.load_checkpoint = lambda *given, **options: time.sleep(0.02)
study._show = lambda folder, record: None
study.Setup = Setup
study.checked = record.checked = lambda tables: tables
machine = {"system": "", "processor": "", "threads": 1, "device": "cpu"}
fields = {"command": "", "python": "", "machine": machine, "versions": {}, "model": {}, "task": {}, "notes": []}
study.new_record = lambda settings, *given: study.Record(settings=settings, **fields)
Experiment.lacks = lambda self, setup: ""

names = list(EXPERIMENTS)
children = []
for first in range(3):
    if pid := os.fork():
        children.append(pid)
        continue
    for name in names[first::3]:
        while True:
            try:
                study.run_study("m", days(), sys.argv[1], experiments=[name])
                break
            except FolderError:
                time.sleep(0.005)
    os._exit(0)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_three_processes_that_fill_one_folder_none_undoes_anothers_work(tmp_path: Path) -> None:
    from vitro.experiments import EXPERIMENTS

    subprocess.run([sys.executable, "-c", WRITE, str(tmp_path / "study")], check=True, timeout=120)
    record = json.loads((tmp_path / "study" / "study.json").read_text())
    assert set(record["experiments"]) == set(EXPERIMENTS)


def test_a_folder_made_in_vain_is_removed_with_those_above_it(tmp_path: Path) -> None:
    with pytest.raises(VitroError), sole_writer(tmp_path / "studies" / "days"):
        raise VitroError("no")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with sole_writer(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()
    with sole_writer(tmp_path / "studies" / "days"):
        write_file(tmp_path / "studies" / "days" / "tables" / "file", b"kept")
    assert (tmp_path / "studies" / "days" / "tables" / "file").read_bytes() == b"kept"


def test_two_writers_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path),
        pytest.raises(FolderError, match="being written by another vitro"),
        sole_writer(tmp_path),
    ):
        pass
