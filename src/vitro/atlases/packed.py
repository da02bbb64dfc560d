"""A study's folder as bytes, for machines that share no disk: it travels to a worker, and what was added comes back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitro.files import read_bytes
from vitro.folder import UNFINISHED, remove_file, sole_writer, write_file
from vitro.record import LARGEST_TABLE, RECORD, REPORT, read_record, table_path, write_record

Files = Mapping[str, bytes]
"""What files hold, by their names within the folder, as `tables/clean.parquet`."""


@dataclass(frozen=True)
class Changes:
    """What was made of a folder: files that are new or others than before, and those that are gone."""

    written: Files
    removed: tuple[str, ...] = ()


def packed(folder: Path) -> Files:
    """All that a folder holds; nothing where it is not there.

    >>> write_file(tmp_path / "study" / "tables" / "clean.parquet", b"PAR1")
    >>> packed(tmp_path / "study")
    {'tables/clean.parquet': b'PAR1'}
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        path.relative_to(folder).as_posix(): read_bytes(path, LARGEST_TABLE)
        for path in files
        if not any(part.startswith(UNFINISHED) for part in path.relative_to(folder).parts)
    }


def unpack(files: Files, folder: Path) -> None:
    """Put files into a folder that is nobody else's."""
    for name, content in files.items():
        write_file(folder / name, content)


def changes(before: Files, folder: Path) -> Changes:
    """What a folder holds more, or otherwise, or no longer."""
    now = packed(folder)
    written = {name: content for name, content in now.items() if before.get(name) != content}
    return Changes(written, tuple(name for name in before if name not in now))


def write_changes(folder: Path, made: Changes) -> None:
    """Make them in a study's folder, so that it can be stopped at any time: tables before the record that has them.

    Raises `FolderError` where the disk is full, the folder cannot be written, or another process writes it.
    """
    if not made.written and not made.removed:
        return
    with sole_writer(folder):
        record = read_record(folder)
        if record is not None:
            # What is about to be another table than the record knows is not finished until all is written.
            same = {
                name: done
                for name, done in record.experiments.items()
                if not any(_name(folder, table) in made.written for table in done.tables)
            }
            if same != record.experiments:
                write_record(folder, record.model_copy(update={"experiments": same}))
        last = (RECORD, REPORT)
        for name in sorted(made.written, key=lambda name: (last.index(name) if name in last else -1, name)):
            write_file(folder / name, made.written[name])
        for name in made.removed:
            remove_file(folder / name, within=folder)


def _name(folder: Path, table: str) -> str:
    return table_path(folder, table).relative_to(folder).as_posix()
