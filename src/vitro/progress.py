"""A progress bar on stderr; nothing where stderr is not a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Bar(Protocol):
    """Moves a bar. what: another text beside it."""

    def __call__(self, done: float, total: float, what: str = ...) -> None:
        """So much of so much is done."""


@contextmanager
def bar(what: str) -> Iterator[Bar]:
    """A bar with the time left, removed when the work is done. Call it with (done, total); before that it only spins.

    >>> with bar("sweep") as progress:
    ...     progress(1, 2)
    """
    # The stream is passed directly: redirecting sys.stderr to silence a library must not silence the bar.
    console = Console(file=sys.stderr)
    # No markup: model names may contain brackets.
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total, what=what: progress.update(task, completed=done, total=total, description=what)
