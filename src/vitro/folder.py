"""A folder that is written file by file, each whole or not at all, by one process at a time."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vitro.errors import VitroError

_LOCK, _UNFINISHED = ".lock", ".unfinished-"


class FolderError(VitroError):
    """A folder that cannot be written: not a folder, not permitted, in use, or on a full disk."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it holds all of `content` or, whatever happens, what it held before.

    FolderError where the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files for one's own eyes; a report is to be shown.
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _told(path, error) from error


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """The folder, made if need be, for this process alone; what a killed process left unfinished is removed."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise FolderError(f"{folder} is being written by another vitro; wait for it or choose another --out") from error
    except OSError as error:
        raise _told(folder, error) from error
    try:
        for leftover in folder.rglob(f"{_UNFINISHED}*"):
            leftover.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / _LOCK).unlink()
        if made and not any(path.is_file() for path in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """FolderError where `folder` is a file, or where it could neither be written nor made; makes nothing."""
    nearest = folder
    try:
        # A name that the disk cannot hold is an error already here, not a path that is not there yet.
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise FolderError(f"{nearest} is a file, not a folder; choose another --out")
        # Asking for permission bits is not enough: a read-only disk, or /proc, grants them and then refuses.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _told(folder, error) from error


def _told(path: Path, error: OSError) -> FolderError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(
            f"the disk is full: {path} was not written; free some space and give the same command again, "
            "which keeps what is finished"
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return FolderError(f"{path} cannot be made, for a file is in its way; choose another --out")
    return FolderError(f"{path} cannot be written ({error.strerror or error}); choose another --out")
