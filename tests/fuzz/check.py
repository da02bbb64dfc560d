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
    return next((difference for difference in apart if math.isnan(difference)), max(apart, default=0.0))


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


def compare(
    what: str, result: Tensor, reference: Tensor, unmoved: Tensor | None = None, *, limit: float = LIMIT
) -> Check:
    """The result against the reference, and the reference against the result of doing nothing (None: 0)."""
    if result.shape != reference.shape:
        return Check(f"{what}: shape {tuple(result.shape)}, not {tuple(reference.shape)}", float("nan"), 0.0, limit)
    result, reference = result.double(), reference.double()
    largest = float(reference.abs().max())
    apart = float((result - reference).abs().max()) / largest if largest else float(result.abs().max())
    moved = float((reference - (0.0 if unmoved is None else unmoved.double())).abs().max()) / (largest or 1.0)
    return Check(what, apart, moved, limit)


def agree(what: str, right: bool) -> Check:
    """A check of something that is right or wrong."""
    return Check(what, 0.0 if right else float("inf"), 1.0)
