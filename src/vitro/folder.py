"""A folder whose files are written whole or not at all, by one process at a time."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vitro.errors import VitroError

_LOCK = ".lock"
UNFINISHED = ".unfinished-"
"""How the names of what is not finished begin."""
_PATIENCE = 0.2
"""Seconds to wait for the lock: enough for another process that is just leaving."""
_RETRIES = 100


class FolderError(VitroError):
    """A folder that cannot be written: not a folder, not permitted, in use, or on a full disk."""


class BusyError(FolderError):
    """A folder that another process is writing."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, it holds either all of `content` or what it held before.

    Raises FolderError where the disk is full or the folder cannot be written.

    >>> write_file(tmp_path / "new" / "report.html", b"<!doctype html>")
    >>> (tmp_path / "new" / "report.html").read_bytes()
    b'<!doctype html>'
    """
    try:
        absent = _absent(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                # mkstemp makes private files; a report is to be shared.
                os.chmod(name, 0o644)
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except BaseException:
            _remove_empty(absent)
            raise
    except (OSError, ValueError) as error:
        raise _told(path, error) from error


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder so that, whatever happens, it holds these files and no others, or is as it was, or is not there.

    What it held before is gone. Only for the sole writer of the folder that it is in. Raises FolderError where the disk
    is full or the folder cannot be written.

    >>> write_folder(tmp_path / "circuits", {"1.json": b"{}"})
    >>> [file.name for file in (tmp_path / "circuits").iterdir()]
    ['1.json']
    """
    with new_folder(path) as new:
        for name, content in files.items():
            with (new / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to be filled, which then takes the place of `path`; left by an error, it is removed.

    As `write_folder`, where what is written is not at hand as bytes, or needs no waiting until it is on the disk.

    >>> with new_folder(tmp_path / "drawings") as new:
    ...     _ = (new / "1.svg").write_text("<svg/>")
    >>> [file.name for file in (tmp_path / "drawings").iterdir()]
    ['1.svg']
    """
    try:
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            yield new
            if path.exists():
                path.rename(old)
            try:
                new.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    except (OSError, ValueError) as error:
        raise _told(path, error) from error


def remove_file(path: Path, within: Path) -> None:
    """Remove a file, and the folders that it leaves empty, up to one that stays. Raises FolderError.

    >>> write_file(tmp_path / "parts" / "find" / "0.part", b"")
    >>> remove_file(tmp_path / "parts" / "find" / "0.part", within=tmp_path)
    >>> (tmp_path / "parts").exists()
    False
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _told(path, error) from error
    _remove_empty([parent for parent in path.parents if within in parent.parents])


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Make the folder if needed, and hold it for this process alone. A folder that stays empty is removed again.

    Raises FolderError where another process writes it, or it cannot be made.

    >>> with sole_writer(tmp_path / "study"):
    ...     write_file(tmp_path / "study" / "study.json", b"{}")
    """
    try:
        absent = _absent(folder)
        try:
            lock = _locked(folder)
        except OSError:
            _remove_empty(absent)
            raise
    except Timeout as error:
        raise BusyError(f"{folder} is being written by another vitro; wait for it or choose another place") from error
    except (OSError, ValueError) as error:
        raise _told(folder, error) from error
    try:
        yield
    finally:
        # Unlinked while it is still held: a process that waits with this file open finds that it has no name any more
        # and opens it anew. Unlinked later, it might be the file that the next process holds by then.
        with suppress(OSError):
            (folder / _LOCK).unlink()
        lock.release()
        _remove_empty(absent)


def _locked(folder: Path) -> FileLock:
    """The folder's lock, held. Timeout where another process holds it."""
    lock = FileLock(folder / _LOCK)
    for retries in reversed(range(_RETRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_PATIENCE)
            break
        except (FileNotFoundError, FileExistsError):
            # Another process has just removed the folder, which it had made and left empty.
            if not retries:
                raise
    return lock


def _absent(folder: Path) -> list[Path]:
    """The folder and its parents, as far as they do not exist yet, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_empty(folders: list[Path]) -> None:
    # Only rmdir: it leaves a folder in which another process has put a file or a lock meanwhile.
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def remove_unfinished(folder: Path) -> None:
    """Remove files that a killed process left half-written. Only for the folder's sole writer."""
    _remove(folder.rglob(f"{UNFINISHED}*"))


def remove_unfinished_in(folder: Path) -> None:
    """The same in a folder itself; those within it have writers of their own."""
    _remove(folder.glob(f"{UNFINISHED}*"))


def _remove(leftovers: Iterable[Path]) -> None:
    for leftover in leftovers:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raises FolderError where `folder` is a file, or can be neither written nor made. Makes nothing."""
    nearest = folder
    try:
        # A name that the disk cannot hold is an error here, not a path that does not exist yet.
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise FolderError(f"{nearest} is a file, not a folder; choose another place")
        # Permission bits are not enough: a read-only disk, or /proc, grants them and then refuses.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except (OSError, ValueError) as error:
        raise _told(folder, error) from error


def check_file(path: Path, suffix: str) -> None:
    """Raises FolderError where a file that is to be of this kind has another name, or cannot be written. Makes nothing.

    For what is written when all is measured: a name that will not do is refused before.

    >>> check_file(tmp_path / "curve.gif", ".svg")
    Traceback (most recent call last):
    ...
    vitro.folder.FolderError: ...curve.gif: what is written is .svg; what works: curve.svg
    """
    if path.suffix.lower() != suffix:
        works = f"{path.stem or 'page'}{suffix}"
        raise FolderError(f"{path}: what is written is {suffix}; what works: {works}")
    check_writable(path.parent)
    try:
        is_folder = path.is_dir()
    except OSError as error:
        # A name that the disk cannot hold.
        raise _told(path, error) from error
    if is_folder:
        raise FolderError(f"{path} is a folder, not a file; choose another name")


def _told(path: Path, error: OSError | ValueError) -> FolderError:
    if isinstance(error, ValueError):
        return FolderError(f"{path} cannot be written: it holds the character 0, which no name does")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FolderError(f"the disk is full: {path} was not written; free some space and give the same command again")
    if error.errno == errno.EFBIG:
        return FolderError(
            f"{path} was not written: a file may not be so large here (ulimit -f); choose a higher limit"
        )
    if isinstance(error, FileExistsError | NotADirectoryError):
        return FolderError(f"{path} cannot be made, for a file is in its way; choose another place")
    return FolderError(f"{path} cannot be written ({error.strerror or error}); choose another place")
