"""Files that a name leads to: looked at before they are opened, and JSON read into an object."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from vitro.models.errors import ModelError

LARGEST = 2**29
"""Bytes of a file that is read whole; the tokenizers of the largest vocabularies have 40 MB."""
DEEPEST = 100
"""How deeply JSON may be nested: whatever copies or compares it calls itself as often."""


def check_file(name: str, path: Path, largest: int | None = None) -> None:
    """Raises ModelError, which names the file, unless it is one that may be read, of `largest` bytes at most.

    A pipe or a device is never opened: it may have no end. name: the model's, as the user typed it.
    """
    try:
        about = path.stat()
        if stat.S_ISREG(about.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as error:
        raise unreadable(name, path, error) from error
    if not stat.S_ISREG(about.st_mode):
        kind = "a folder" if stat.S_ISDIR(about.st_mode) else "a pipe or device"
        raise ModelError(f"model {name!r}: {path.name} is {kind}, not a file")
    if largest is not None and about.st_size > largest:
        raise ModelError(
            f"model {name!r}: {path.name} has {about.st_size >> 20} MB, and {largest >> 20} MB at most are read"
        )


def file_names(name: str, folder: Path) -> frozenset[str]:
    """What stands in a folder. Raises ModelError where that may not be looked at."""
    try:
        return frozenset(os.listdir(folder))
    except OSError as error:
        raise unreadable(name, folder, error) from error


def read_object(name: str, path: Path) -> dict[str, Any]:
    """What a file of JSON says. Raises ModelError, which names the file, for anything but an object (`{...}`)."""
    check_file(name, path, LARGEST)
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise unreadable(name, path, error) from error
    except UnicodeDecodeError as error:
        raise ModelError(f"model {name!r}: {path.name} is not text in UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise _too_deep(name, path) from error
    except ValueError as error:
        raise ModelError(f"model {name!r}: {path.name} cannot be read as JSON ({str(error)[:200]})") from error
    if not isinstance(value, dict):
        raise ModelError(f"model {name!r}: {path.name} must hold an object ({{...}}), and not a {type(value).__name__}")
    if _depth(value) > DEEPEST:
        raise _too_deep(name, path)
    return value


def unreadable(name: str, path: Path, error: OSError | ValueError) -> ModelError:
    """The error of a file or folder that the system does not let us open: nothing is said of what is in it."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return ModelError(f"model {name!r}: {path.name} is a link to nothing")
    reason = getattr(error, "strerror", None) or "no file system has such a name"
    return ModelError(f"model {name!r}: {path.name} cannot be opened ({reason})")


def _too_deep(name: str, path: Path) -> ModelError:
    return ModelError(f"model {name!r}: {path.name} is nested more than {DEEPEST} deep")


def _depth(value: Any) -> int:
    depth, layer = 0, [value]
    while layer := [part for whole in layer for part in _parts(whole)]:
        depth += 1
    return depth


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
