"""What is finished of a long run, kept on disk until all of it is: the same run, begun again, finds it there."""

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
from vitro.folder import remove_unfinished, sole_writer, write_file
from vitro.strict_json import to_json

_DIGEST = sha256().digest_size


@dataclass(frozen=True)
class Parts:
    """The parts of one run in a folder; what `Setup.part` takes.

    A file is a digest and the part's tables. The digest is over the run, the part's name and the tables: a part that
    was cut short, changed, renamed, or made by another run or version is not taken for this one, but made anew.
    """

    folder: Path
    run: str
    """What the numbers follow from, in words."""

    @classmethod
    def of(cls, folder: Path, settings: Any) -> "Parts":
        """Those of the run with these settings (JSON values), made by this version of Vitro."""
        return cls(folder, to_json([version("vitro"), settings], sort_keys=True))

    def __call__(self, name: str, make: Callable[[], Tables]) -> Tables:
        """The part of this name (`edges/0`: the folder's name is what it is a part of), found or made."""
        path = self.folder / f"{name}.part"
        if (found := self._read(path, name)) is not None:
            return found
        made = make()
        body = _packed(made)
        write_file(path, self._digest(name, body) + body)
        return made

    def remove(self, whole: str) -> None:
        """Remove the parts of what is finished as a whole, and the folder when no others are left."""
        shutil.rmtree(self.folder / whole, ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _read(self, path: Path, name: str) -> Tables | None:
        try:
            content = path.read_bytes()
        except OSError:
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
    """Parts in a hidden folder beside a page, for as long as the page is not written: removed at a good end.

    FolderError where another process makes the same page.
    """
    folder = page.with_name(f".{page.name}.parts")
    with sole_writer(folder):
        remove_unfinished(folder)
        yield Parts.of(folder, settings)
        for whole in [path.name for path in folder.iterdir() if path.is_dir()]:
            shutil.rmtree(folder / whole, ignore_errors=True)
    # Another process that waits for it has its lock in there by now, and rmdir leaves it alone.
    with suppress(OSError):
        folder.rmdir()


def to_parquet(frame: pl.DataFrame) -> bytes:
    """A table as the bytes of a file, the same for the same table."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def from_parquet(content: bytes) -> pl.DataFrame:
    """The table that such bytes hold. Bytes, for polars takes the brackets in a path for a pattern."""
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
