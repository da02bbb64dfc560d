"""A progress bar on stderr; nothing where stderr is not a terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from vitro.errors import visible

T = TypeVar("T")
_TELLING, _LONG = 2.0, 60.0
"""Seconds that tell how long a run takes, and those from which on it is worth a line."""


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
        # Names of files and models may hold what a terminal would obey.
        task = progress.add_task(visible(what), total=None)
        yield lambda done, total, what=what: progress.update(
            task, completed=done, total=total, description=visible(what)
        )


class Clock:
    """The time of a run of several steps of known proportions: a bar over all of them, and early on how long it takes.

    work: of each step, in any unit. sooner: what is quicker. Where a run takes minutes, a line on stderr says so, once.
    """

    def __init__(self, what: str, work: Sequence[float], sooner: str) -> None:
        self.what, self.work, self.sooner = what, work, sooner
        self.seconds: dict[int, float] = {}
        self.begun, self.told = 0.0, False

    def done(self, progress: Bar, step: int, done: float, total: float) -> None:
        """Move the bar: so much of a step is done."""
        progress(sum(self.work[:step]) + self.work[step] * done / total, sum(self.work))
        self._tell(step, done / total)

    def timed(self, step: int, make: Callable[[], T]) -> T:
        """Make a step, and tell how long the others will take as soon as the time says it."""
        self.begun = time.perf_counter()
        made = make()
        self._tell(step, 1.0)
        self.seconds[step] = time.perf_counter() - self.begun
        return made

    def _tell(self, step: int, share: float) -> None:
        """Tell what the rest takes, once so much time is spent that it says it. share: what is done of this step."""
        spent = sum(self.seconds.values()) + time.perf_counter() - self.begun
        if self.told or spent <= _TELLING or not share:
            return
        self.told = True
        here = self.work[step] * share
        left = spent / (sum(self.work[step] for step in self.seconds) + here) * (sum(self.work[step:]) - here)
        if left > _LONG:
            print(f"{self.what}: about {in_words(left)}. Sooner: {self.sooner}.", file=sys.stderr)


def in_words(seconds: float) -> str:
    """A time of a minute or more, about.

    >>> in_words(100), in_words(3300), in_words(9000)
    ('2 minutes', '55 minutes', '2.5 hours')
    """
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{minutes / 60:.1f} hours"
