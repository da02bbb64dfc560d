"""Files that a model's name leads to: read as all that a user names, with errors that name the model too."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from vitro.files import FileError, json_of, opened, read_bytes, text_of
from vitro.models.errors import ModelError

LARGEST = 2**29
"""Bytes of a file that is read whole; the tokenizers of the largest vocabularies have 40 MB."""


def check_file(name: str, path: Path, largest: int | None = None) -> None:
    """Raises ModelError, which names the file, unless it is one that may be read, of `largest` bytes at most.

    name: the model's, as the user typed it.
    """
    with _naming(name, path), opened(path, largest):
        pass


def file_hash(path: Path) -> bytes:
    """A file's SHA-256, made once however many parts of a command ask for it."""
    now = path.stat()
    return _hash_of(path, now.st_size, now.st_mtime_ns)


@lru_cache
def _hash_of(path: Path, size: int, changed: int) -> bytes:
    """A file's hash; size and changed: of the file that is there now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def file_names(name: str, folder: Path) -> frozenset[str]:
    """What stands in a folder. Raises ModelError where that may not be looked at."""
    try:
        return frozenset(os.listdir(folder))
    except OSError as error:
        raise unreadable(name, folder, error) from error


def read_object(name: str, path: Path) -> dict[str, Any]:
    """What a file of JSON says. Raises ModelError, which names the file, for anything but an object (`{...}`)."""
    with _naming(name, path):
        value = json_of(text_of(read_bytes(path, LARGEST)))
    if not isinstance(value, dict):
        raise ModelError(f"model {name!r}: {path.name} must hold an object ({{...}}), and not a {type(value).__name__}")
    return value


def unreadable(name: str, path: Path, error: OSError | ValueError) -> ModelError:
    """The error of a file or folder that the system does not let us open: nothing is said of what is in it."""
    reason = getattr(error, "strerror", None) or "no file system has such a name"
    return ModelError(f"model {name!r}: {path.name} cannot be opened ({reason})")


@contextmanager
def _naming(name: str, path: Path) -> Iterator[None]:
    try:
        yield
    except FileError as error:
        raise ModelError(f"model {name!r}: {path.name}: {error}") from error
