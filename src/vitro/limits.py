"""What a shell or a cluster allows this process (`ulimit`), in words."""

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from threading import Event, Thread, stack_size
from typing import Literal

from vitro.errors import VitroError

if sys.platform != "win32":
    import resource

Limit = Literal["AS", "DATA", "NOFILE", "NPROC"]
_SAID: Mapping[Limit, tuple[str, int, str]] = {
    "AS": ("GB of address space", 10**9, "ulimit -v"),
    "DATA": ("GB of data", 10**9, "ulimit -d"),
    "NOFILE": ("open files", 1, "ulimit -n"),
    "NPROC": ("processes and threads", 1, "ulimit -u"),
}
"""What each is a limit of, in which unit, and the command that sets it."""
_NO_MEMORY = r"allocat\w* memory|not enough memory|out of memory|bad_alloc|failed to map segment"


def too_low(needed: Mapping[Limit, int]) -> list[str]:
    """The limits on this process that are below what something needs, in bytes or numbers.

    Of each the hard limit: up to that a process may lift its own.

    >>> too_low({"NOFILE": 1})
    []
    """
    return [
        f"{_told(limit, least)}, and {_told(limit, allowed)} are allowed ({_SAID[limit][2]})"
        for limit, least in needed.items()
        if (allowed := _allowed(limit)[1]) is not None and allowed < least
    ]


def _allowed(limit: Limit) -> tuple[int | None, int | None]:
    """The soft and the hard limit; None for none."""
    if sys.platform == "win32":
        return None, None
    soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{limit}"))
    return (None if soft == resource.RLIM_INFINITY else soft), (None if hard == resource.RLIM_INFINITY else hard)


def _told(limit: Limit, amount: int) -> str:
    what, unit, _ = _SAID[limit]
    return f"{amount / unit:.3g} {what}"


def check_machine() -> None:
    """Raise VitroError where this process lacks what its libraries end without: threads, a temporary folder.

    >>> check_machine()
    """
    try:
        gettempdir()
    except OSError as error:
        raise VitroError(f"torch needs a folder for temporary files ({error.strerror}); set TMPDIR to one") from error
    _check_threads()


def _check_threads() -> None:
    # One for each processor in polars and in torch, and some for other things.
    wanted, started, go = 2 * (os.cpu_count() or 1) + 8, list[Thread](), Event()
    usual = stack_size(2**16)
    try:
        for _ in range(wanted):
            thread = Thread(target=go.wait)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        soft = _allowed("NPROC")[0]
        limit = "" if soft is None else f", and {_told('NPROC', soft)} are allowed (ulimit -u)"
        raise VitroError(f"{wanted} threads are needed, of which {len(started)} can be started{limit}") from error
    finally:
        go.set()
        for thread in started:
            thread.join()
        stack_size(usual)


def out_of_memory(error: BaseException) -> str:
    """That memory ran out, and the limit on it where one is set; empty where an error says something else.

    Python, torch, polars and the loader of libraries each say it in their own class and words.

    >>> out_of_memory(MemoryError()), out_of_memory(ValueError("no"))
    ('memory ran out', '')
    """
    if not (isinstance(error, MemoryError) or re.search(_NO_MEMORY, str(error), re.IGNORECASE)):
        return ""
    memory: tuple[Limit, ...] = ("AS", "DATA")
    allowed = [(limit, soft) for limit in memory if (soft := _allowed(limit)[0]) is not None]
    limits = [f"{_told(limit, soft)} are allowed ({_SAID[limit][2]})" for limit, soft in allowed]
    return ", and ".join(["memory ran out", *limits])


@dataclass(frozen=True)
class Room:
    """What is free of one kind of memory."""

    what: str
    """"memory", "address space"."""
    free: int
    """In bytes."""
    limit: str = ""
    """What sets it, where the machine itself does not: "ulimit -v"."""


def free_memory(root: Path = Path("/")) -> list[Room]:
    """What this process may still take: of the machine, of its control groups (a container's), and by `ulimit`.

    root: where the system's own files are. What a system does not say is left out.

    >>> all(room.free >= 0 for room in free_memory())
    True
    """
    rooms = []
    with suppress(OSError, ValueError, KeyError):
        rooms.append(Room("memory", _kilobytes(root / "proc/meminfo")["MemAvailable"]))
    if not rooms and hasattr(os, "sysconf"):
        # Elsewhere only what there is at all.
        with suppress(ValueError, OSError):
            rooms.append(Room("memory", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    rooms += [Room("memory", free, f"the container's {path.name}") for path, free in _groups(root)]
    with suppress(OSError, ValueError, KeyError):
        taken = _kilobytes(root / "proc/self/status")
        for limit, size in (("AS", "VmSize"), ("DATA", "VmData")):
            if (soft := _allowed(limit)[0]) is not None:  # type: ignore[arg-type]
                rooms.append(Room("address space", max(0, soft - taken[size]), _SAID[limit][2]))  # type: ignore[index]
    return rooms


def _kilobytes(path: Path) -> dict[str, int]:
    """The sizes in a file of lines like `VmSize:  1024 kB`, in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[2:] == ["kB"]}


def _groups(root: Path) -> Iterator[tuple[Path, int]]:
    """The files that limit the memory of this process's control groups, and what is free of each.

    A group may take what it is allowed and all those above it are. What it holds of files is given back when needed.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, own = line.split(":", 2)
        if kinds == "":
            names = ("memory.max", "memory.current", ("inactive_file", "active_file"))
            top = root / "sys/fs/cgroup"
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
            top = root / "sys/fs/cgroup/memory"
        else:
            continue
        group = top / own.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            # No limit is the word "max", or a number beyond all memory.
            with suppress(OSError, ValueError, KeyError):
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                files = sum(int(stat[name]) for name in names[2])
                yield folder / names[0], max(0, limit - used + files)


def ending(code: int) -> str:
    """How a process ended, from its exit code.

    >>> ending(1), ending(-9)
    ('exit code 1', 'SIGKILL, as where memory runs out')
    """
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, as where memory runs out" if -code == signal.SIGKILL else name
