"""Finished parts of a long run, kept on disk until the whole run is finished: the same run, restarted, reuses them."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import polars as pl

from vitro.experiments import Tables
from vitro.files import FileError, read_bytes
from vitro.folder import remove_unfinished, sole_writer, write_file
from vitro.strict_json import to_json

_DIGEST = sha256().digest_size
_LARGEST = 2**32


@dataclass(frozen=True)
class Parts:
    """The parts of one run in a folder.

    A file is a digest and the part's tables. The digest covers the run, the part's name and the tables: a part that was
    cut short, changed, renamed, or made by another run or version is not used, but made anew.
    """

    folder: Path
    run: str
    """What the numbers depend on, as JSON."""

    @classmethod
    def of(cls, folder: Path, settings: Any) -> "Parts":
        """The parts of the run with these settings (JSON values) under this version of Vitro."""
        return cls(folder, to_json([version("vitro"), settings], sort_keys=True))

    def __call__(self, name: str, make: Callable[[], Tables]) -> Tables:
        """The part with this name (`edges/0`: the first part of an experiment `edges`), read from disk or made."""
        path = self.folder / f"{name}.part"
        if (kept := self._read(path, name)) is not None:
            return kept
        tables = make()
        body = _packed(tables)
        write_file(path, self._digest(name, body) + body)
        return tables

    def remove(self, whole: str) -> None:
        """Remove the parts of a finished experiment, and the folder when none are left."""
        shutil.rmtree(self.folder / whole, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _read(self, path: Path, name: str) -> Tables | None:
        try:
            content = read_bytes(path, _LARGEST)
        except FileError:
            return None
        body = content[_DIGEST:]
        return _unpacked(body) if content[:_DIGEST] == self._digest(name, body) else None

    def _digest(self, name: str, body: bytes) -> bytes:
        digest = sha256()
        for field in (self.run.encode(), name.encode(), body):
            digest.update(sha256(field).digest())
        return digest.digest()


@contextmanager
def kept_beside(page: Path, settings: Any) -> Iterator[Parts]:
    """Parts in a hidden folder beside a page, kept until the page is written and removed then.

    Raises FolderError where another process makes the same page.
    """
    folder = page.with_name(f".{page.name}.parts")
    with sole_writer(folder):
        remove_unfinished(folder)
        yield Parts.of(folder, settings)
        for whole in [path.name for path in folder.iterdir() if path.is_dir()]:
            shutil.rmtree(folder / whole, ignore_errors=True)
    # A waiting process may have its lock in the folder by now; rmdir then leaves it alone.
    with suppress(OSError):
        folder.rmdir()


def to_parquet(frame: pl.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file; equal tables give equal bytes.

    >>> import polars as pl
    >>> from_parquet(to_parquet(pl.DataFrame({"x": [1, 2]})))["x"].to_list()
    [1, 2]
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def from_parquet(content: bytes) -> pl.DataFrame:
    """The table in these bytes. Not by path: polars reads brackets in a path as a pattern."""
    return pl.read_parquet(io.BytesIO(content))


def _packed(tables: Tables) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        for name, frame in tables.items():
            file.writestr(name, to_parquet(frame))
    return buffer.getvalue()


def _unpacked(content: bytes) -> Tables:
    with ZipFile(io.BytesIO(content)) as file:
        return {name: from_parquet(file.read(name)) for name in file.namelist()}
