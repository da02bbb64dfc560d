"""How often a search that only guesses would come up with a circuit as faithful as this one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb, prod

import numpy as np
from jaxtyping import Bool, Float, Int

Measure = Callable[[Bool[np.ndarray, "set item"]], Float[np.ndarray, " set"]]
"""The faithfulness of sets of items."""

ALL = 2000
"""Where there are no more circuits of a make than this, all are run, and nothing is left to chance."""
CIRCUITS = 300
"""Random circuits of each level: the first are drawn plainly."""
SHARE = 0.1
"""The share of them that is above the next level."""
SWAPPED = 1 / 3
"""The most of a random circuit's items that are swapped to make the next: few often do as well, many go far."""
LEAST = 0.001
"""A probability so small that it is not followed further."""
CAUTION = 2.0
"""By how much a probability below the first level is taken larger: one estimate in three is that far off."""
ROUNDING = 1e-6
"""Differences of faithfulness below this are rounding: such circuits are as good."""


@dataclass(frozen=True)
class Chance:
    """How often guessing does as well.

    single: the probability that one random circuit does. best: that the best of as many as the search measured does.
    at_most: whether both are upper bounds, for they are too small to be worth following. measured: random circuits.
    make: how many circuits of this make there are; all of them were measured where they are few.
    """

    single: float
    best: float
    at_most: bool
    measured: int
    make: int


def chance_of(
    measure: Measure,
    inside: Bool[np.ndarray, " item"],
    kind: Int[np.ndarray, " item"],
    faithfulness: float,
    searched: int,
    seed: int = 0,
) -> Chance:
    """The probability that a random search as long as this one comes to a circuit at least as faithful.

    The rival draws `searched` circuits, each with as many items of every kind as `inside`, and keeps the best; so the
    chance p_1 of one becomes 1 - (1 - p_1)^searched. Ties count as successes.

    p_1 is too small to be seen among plain draws. It is a product of chances that can be seen (Kahn & Harris 1951,
    "Estimation of particle transmission by random sampling"; Au & Beck 2001, "Estimation of small failure probabilities
    in high dimensions by subset simulation"): the SHARE best of the circuits set a level, chains of random swaps that
    stay at or above it make as many circuits anew, and so on until the level is `faithfulness`, or the product is so
    small that no more than LEAST is left. Beyond the plain draws it is taken CAUTION times as large. Levels do not lead
    to a circuit whose parts are worth nothing without each other; but it is one of all circuits of its make, and p_1 is
    never said to be less than that.

    measure: called with up to CIRCUITS sets at once. kind: which items may be swapped for one another.

    >>> weights = np.arange(10)
    >>> alike = np.zeros(10, dtype=int)
    >>> round(chance_of(lambda sets: sets @ weights, weights >= 8, alike, faithfulness=17, searched=1).single * 45)
    1
    """
    kinds = [np.flatnonzero(kind == value) for value in np.unique(kind)]
    # The circuit itself, run among others, may come out a little lower than it did in the search.
    goal = faithfulness - ROUNDING
    circuits = prod(comb(len(items), int(inside[items].sum())) for items in kinds)
    if circuits <= ALL:
        f = measure(_all_like(inside, kinds))
        single = float((f >= goal).mean())
        return Chance(single, _best_of(searched, single), False, len(f), circuits)
    random = np.random.default_rng(seed)
    sets = _drawn(inside, kinds, random)
    f, single, measured = measure(sets), 1.0, CIRCUITS
    # Of so small a chance, the best of the search has LEAST.
    least = -np.expm1(np.log1p(-LEAST) / searched) / CAUTION
    while True:
        level = min(_level(f), goal)
        above = f >= level
        # Where none is above, what is better is rarer than any of them.
        single *= max(float(above.mean()), 1 / CIRCUITS)
        if level == goal or single <= least:
            break
        sets, f, new = _regrown(measure, sets[above], f[above], kind, level, random)
        measured += new
    if measured > CIRCUITS:
        single = min(1.0, CAUTION * single)
    at_most = (level < goal or not above.any()) and single > 1 / circuits
    single = max(single, 1 / circuits)
    return Chance(single, _best_of(searched, single), at_most, measured, circuits)


def _best_of(searched: int, single: float) -> float:
    """The chance of at least one success: 1 - (1 - single)^searched."""
    return float(-np.expm1(searched * np.log1p(-single))) if single < 1 else 1.0


def _all_like(
    inside: Bool[np.ndarray, " item"], kinds: Sequence[Int[np.ndarray, " item"]]
) -> Bool[np.ndarray, "set item"]:
    """Every set with as many items of each kind."""
    chosen = product(*(combinations(items, int(inside[items].sum())) for items in kinds))
    members = np.array([[item for part in parts for item in part] for parts in chosen], dtype=int)
    sets = np.zeros((len(members), len(inside)), dtype=bool)
    np.put_along_axis(sets, members, True, axis=1)
    return sets


def _drawn(
    inside: Bool[np.ndarray, " item"], kinds: Sequence[Int[np.ndarray, " item"]], random: np.random.Generator
) -> Bool[np.ndarray, "set item"]:
    """Random sets with as many items of each kind."""
    sets = np.zeros((CIRCUITS, len(inside)), dtype=bool)
    for items in kinds:
        order = random.random((CIRCUITS, len(items))).argsort(axis=1)[:, : int(inside[items].sum())]
        np.put_along_axis(sets, items[order], True, axis=1)
    return sets


def _level(f: Float[np.ndarray, " set"]) -> float:
    """What the SHARE best reach; where all do, what is next; infinite where there is nothing next."""
    level = np.sort(f)[-int(SHARE * len(f))]
    if level > f.min():
        return float(level)
    return float(np.min(f[f > level], initial=np.inf))


def _regrown(
    measure: Measure,
    sets: Bool[np.ndarray, "above item"],
    f: Float[np.ndarray, " above"],
    kind: Int[np.ndarray, " item"],
    level: float,
    random: np.random.Generator,
) -> tuple[Bool[np.ndarray, "set item"], Float[np.ndarray, " set"], int]:
    """CIRCUITS sets at or above the level: from those given, chains of swaps (Metropolis); and how many were run."""
    links, values, missing = [sets], [f], CIRCUITS - len(sets)
    while missing > 0:
        going = random.permutation(len(sets))[:missing]
        swapped = _swapped(sets[going], kind, random)
        measured = measure(swapped)
        moves = measured >= level
        sets, f = np.where(moves[:, None], swapped, sets[going]), np.where(moves, measured, f[going])
        links.append(sets)
        values.append(f)
        missing -= len(sets)
    return np.concatenate(links), np.concatenate(values), CIRCUITS - len(links[0])


def _swapped(
    sets: Bool[np.ndarray, "set item"], kind: Int[np.ndarray, " item"], random: np.random.Generator
) -> Bool[np.ndarray, "set item"]:
    """Sets with some of their items replaced by others of the same kind: as likely forth as back."""
    most = max(1, int(SWAPPED * sets[0].sum()))
    sets, number = sets.copy(), random.integers(1, most + 1, size=len(sets))
    for turn in range(most):
        rows = np.flatnonzero(number > turn)
        leaves = (sets[rows] * random.random((len(rows), len(kind)))).argmax(axis=1)
        free = ~sets[rows] & (kind == kind[leaves][:, None])
        joins = (free * random.random(free.shape)).argmax(axis=1)
        can = free.any(axis=1)
        sets[rows[can], leaves[can]] = False
        sets[rows[can], joins[can]] = True
    return sets
