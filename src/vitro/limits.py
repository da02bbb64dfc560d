"""What a shell or a cluster allows this process (`ulimit`), in words."""

import os
import re
import sys
from collections.abc import Mapping
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
