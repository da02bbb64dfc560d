"""What was made of GGUF files, kept between commands: in the cache folder, a folder for each.

Nothing in it is needed: it may be removed at any time, and where it cannot be written all is made anew each time. What
is found there is believed only if it was made in the same way and every byte is as it was written.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from vitro.folder import UNFINISHED, new_folder
from vitro.models.cache_place import ABOUT, cache_folder
from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError

_FORMAT = "1"
"""Another one where something else is written, or made in another way."""
LARGEST = 5 * 2**28
"""Bytes of weights in float32 beyond which none are kept: to read and check them takes half as long as to unpack them,
and a disk has other uses."""
_ABANDONED = 3600.0
"""Seconds after which what a process has not finished is that of a killed one; it goes when the cache is next used."""


@dataclass(frozen=True)
class Kept:
    """What the cache holds of a file."""

    file: str
    """The name of the file that it was made of."""
    part: str
    """`weights` or `tokenizer`, or `file`: the file itself, of a model whose package holds it in pieces."""
    size: int
    """In bytes."""


def kept(checkpoint: Checkpoint, part: str, libraries: Sequence[str]) -> Path | None:
    """The folder with what was made of a checkpoint; None where there is none, or it is damaged or of other versions.

    libraries: those that decide what is made, beside the checkpoint's files.
    """
    try:
        folder = _folder(checkpoint, part)
        _remove_abandoned(folder.parent)
        about = json.loads((folder / ABOUT).read_bytes())
        sound = about["made_by"] == _made_by(libraries) and about["sha256"] == _hashes(folder)
    except (ModelError, OSError, ValueError, KeyError, TypeError):
        return None
    return folder if sound else None


def keep(checkpoint: Checkpoint, part: str, libraries: Sequence[str], fill: Callable[[Path], object]) -> None:
    """Keep what `fill` writes into an empty folder, in place of what was kept; nothing where that cannot be written.

    The other arguments are those of `kept`.
    """
    try:
        folder = _folder(checkpoint, part)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(folder) as new:
            fill(new)
            about = {
                "file": checkpoint.weights[0].name,
                "part": part,
                "made_by": _made_by(libraries),
                "sha256": _hashes(new),
            }
            (new / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    except Exception:
        # A full or read-only disk, another process that keeps the same: of many classes, from several libraries. What
        # was to be kept is at hand all the same.
        return


def contents() -> list[Kept]:
    """What the cache holds, by file. Raises ModelError where there is no place for a cache."""
    found = []
    for about in cache_folder().glob(f"*/{ABOUT}"):
        try:
            said = json.loads(about.read_bytes())
            size = sum(path.stat().st_size for path in about.parent.rglob("*") if path.is_file())
            found.append(Kept(str(said["file"]), str(said["part"]), size))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: (one.file, one.part))


def _folder(checkpoint: Checkpoint, part: str) -> Path:
    return cache_folder() / f"{checkpoint.weights_hash()[:32]}-{part}"


def _made_by(libraries: Sequence[str]) -> dict[str, str]:
    return {"format": _FORMAT} | {library: version(library) for library in libraries}


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder but the one that tells them."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ABOUT:
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _remove_abandoned(folder: Path) -> None:
    for leftover in folder.glob(f"{UNFINISHED}*"):
        if time.time() - leftover.stat().st_mtime > _ABANDONED:
            shutil.rmtree(leftover, ignore_errors=True)
