"""One comparison with the slow way, and what is made of it."""

import math
from dataclasses import dataclass

from torch import Tensor

LIMIT = 1e-4
"""How far two float32 results may lie apart, relative to the largest number of the reference."""
SHOWS = 2
"""A check shows something where the reference itself moved by more than so many times the limit: a result within the
limit of the reference cannot be one that was left as it was."""


def largest(*apart: float) -> float:
    """The largest of some differences: NaN, where one is, which `max` may pass over."""
    return next((one for one in apart if math.isnan(one)), max(apart, default=0.0))


@dataclass(frozen=True)
class Check:
    """How far a result lies from its reference, and how far the reference lies from what it is if nothing is done."""

    what: str
    apart: float
    """Relative to the largest number of the reference, as `moved` and `limit` are."""
    moved: float
    limit: float = LIMIT

    @property
    def fails(self) -> bool:
        """NaN fails too."""
        return not self.apart <= self.limit

    @property
    def shows_nothing(self) -> bool:
        """The reference proves that no effect is to be expected, so nothing is shown by finding none."""
        return not self.fails and not self.moved > SHOWS * self.limit


def compare(what: str, ours: Tensor, theirs: Tensor, unmoved: Tensor | None = None, *, limit: float = LIMIT) -> Check:
    """Ours against the reference's, and the reference against what it is where nothing is done (None: against 0)."""
    if ours.shape != theirs.shape:
        return Check(f"{what}: shape {tuple(ours.shape)}, not {tuple(theirs.shape)}", float("nan"), 0.0, limit)
    ours, theirs = ours.double(), theirs.double()
    largest = float(theirs.abs().max())
    apart = float((ours - theirs).abs().max()) / largest if largest else float(ours.abs().max())
    moved = float((theirs - (0.0 if unmoved is None else unmoved.double())).abs().max()) / (largest or 1.0)
    return Check(what, apart, moved, limit)


def agree(what: str, right: bool) -> Check:
    """A check of something that is right or wrong."""
    return Check(what, 0.0 if right else float("inf"), 1.0)
