"""A task by the name a person types."""

import difflib
import re

from vitro.tasks.builtin import BUILTIN, LARGEST_N, numbers
from vitro.tasks.errors import TaskError
from vitro.tasks.file import from_toml
from vitro.tasks.successors import Successors


def named(name: str) -> Successors:
    """The task called `name`: `days`, `months`, `numbers`, `numbers:100`, or the path of a `.toml` file.

    Raises `TaskError` with the list of tasks and the closest name if there is no such task.
    """
    if name.endswith(".toml"):
        return from_toml(name)
    if name in BUILTIN:
        return BUILTIN[name]()
    kind, colon, count = name.partition(":")
    if kind == "numbers":
        # at most nine digits, since Python refuses to read very long ones
        if not re.fullmatch(r"[0-9]{1,9}", count):
            raise TaskError(f"{name!r}: {count!r} is not a count; write numbers:N with N from 1 to {LARGEST_N}")
        return numbers(int(count))
    if kind in BUILTIN and colon:
        raise TaskError(f"{name!r}: only numbers takes a count; write {kind}, or numbers:100")
    close = difflib.get_close_matches(kind, BUILTIN, n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    raise TaskError(
        f"there is no task {name!r}{meant} "
        f"There are {', '.join(BUILTIN)}, numbers:N and any task in a .toml file, by its path"
    )
