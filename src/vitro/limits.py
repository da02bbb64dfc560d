"""What a shell or a cluster allows this process (`ulimit`), in words."""

import sys
from collections.abc import Mapping
from typing import Literal

if sys.platform != "win32":
    import resource

Limit = Literal["AS", "DATA", "NOFILE", "NPROC", "STACK"]
_TOLD: Mapping[Limit, tuple[str, int, str]] = {
    "AS": (" GB of address space", 10**9, "ulimit -v"),
    "DATA": (" GB of data", 10**9, "ulimit -d"),
    "NOFILE": (" open files", 1, "ulimit -n"),
    "NPROC": (" processes and threads", 1, "ulimit -u"),
    "STACK": (" MB of stack", 10**6, "ulimit -s"),
}
"""What each is a limit of, in which unit, and the command that sets it."""


def too_low(needed: Mapping[Limit, int]) -> list[str]:
    """The limits on this process that are below what something needs, in bytes or numbers; none where there are none.

    >>> too_low({"NOFILE": 1})
    []
    """
    if sys.platform == "win32":
        return []
    said = []
    for limit, least in needed.items():
        _, allowed = resource.getrlimit(getattr(resource, f"RLIMIT_{limit}"))
        if allowed != resource.RLIM_INFINITY and allowed < least:
            what, unit, command = _TOLD[limit]
            said.append(f"{least / unit:.3g}{what}, and {allowed / unit:.3g} are allowed ({command})")
    return said
