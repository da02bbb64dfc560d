"""How often guessing does as well, beside exact counts, and on searches that did nothing but guess."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from vitro.discovery.chance import CIRCUITS, LEAST, Measure, chance_of

HEADS, MLPS = 90, 10
KIND = np.repeat([0, 1], [HEADS, MLPS])
INSIDE = np.isin(np.arange(HEADS + MLPS), [*range(8), *range(HEADS, HEADS + 3)])
"""A circuit of 8 heads and 3 MLPs."""
WEIGHTS = np.random.default_rng(0).geometric(1 / np.repeat([8, 20], [HEADS, MLPS]))
"""What each node adds to the metric: whole numbers, so that every sum can be counted; a few are large."""


def ways(weights: np.ndarray, number: int) -> np.ndarray:
    """In how many ways so many of the weights come to each sum."""
    counts = np.zeros((number + 1, weights.sum() + 1))
    counts[0, 0] = 1
    for weight in weights:
        counts[1:, weight:] += counts[:-1, : counts.shape[1] - weight].copy()
    chosen: np.ndarray = counts[number]
    return chosen


def exact(faithfulness: int) -> float:
    """The share of all circuits of 8 heads and 3 MLPs whose weights come to so much."""
    counts = np.convolve(ways(WEIGHTS[:HEADS], 8), ways(WEIGHTS[HEADS:], 3))
    return float(counts[faithfulness:].sum() / counts.sum())


def counted(sets: np.ndarray) -> np.ndarray:
    assert (sets[:, :HEADS].sum(1) == 8).all()
    assert (sets[:, HEADS:].sum(1) == 3).all()
    values: np.ndarray = sets @ WEIGHTS.astype(float)
    return values


def faithfulness_of_chance(p: float) -> int:
    return next(value for value in range(1000) if exact(value) <= p)


def test_sums_are_counted_as_one_by_one() -> None:
    sums = [sum(chosen) for chosen in combinations(WEIGHTS[:9].tolist(), 3)]
    assert ways(WEIGHTS[:9], 3).tolist() == np.bincount(sums, minlength=WEIGHTS[:9].sum() + 1).tolist()


@pytest.mark.parametrize("p", [0.3, 1e-2, 1e-4, 1e-6])
def test_the_chance_is_that_of_all_circuits_counted(p: float) -> None:
    goal = faithfulness_of_chance(p)
    chances = [chance_of(counted, INSIDE, KIND, goal, searched=10**7, seed=seed) for seed in range(40)]
    ratio = np.array([chance.single for chance in chances]) / exact(goal)
    # Taken twice as large wherever plain draws do not show it.
    caution = 1 if p > 0.1 else 2
    assert 0.7 < ratio.mean() / caution < 1.4
    assert np.mean((ratio > 1 / 4) & (ratio < 4 * caution)) >= 0.8


def test_of_few_circuits_all_are_run_and_the_chance_is_exact() -> None:
    weights, kind, inside = np.arange(12.0), np.repeat([0, 1], [9, 3]), np.isin(np.arange(12), [6, 7, 8, 11])
    answer = chance_of(lambda sets: sets @ weights, inside, kind, faithfulness=31, searched=2)
    # 6 + 7 + 8 + 11 = 32 is the best; 5 + 7 + 8 + 11 and 6 + 7 + 8 + 10 come to 31.
    assert (answer.single, answer.at_most, answer.measured, answer.make) == (3 / 252, False, 252, 252)
    assert answer.best == pytest.approx(1 - (1 - 3 / 252) ** 2)


def test_what_is_too_rare_is_said_to_be_at_most_so_much() -> None:
    goal = counted(INSIDE[None])[0] + WEIGHTS.sum()
    answer = chance_of(counted, INSIDE, KIND, goal, searched=1000)
    assert answer.at_most
    assert answer.best <= LEAST
    assert answer.measured < 4000


def test_ties_are_as_good() -> None:
    alike = chance_of(lambda sets: np.ones(len(sets)), INSIDE, KIND, faithfulness=1, searched=1)
    assert (alike.single, alike.measured) == (1, CIRCUITS)
    nearly = chance_of(lambda sets: np.ones(len(sets)), INSIDE, KIND, faithfulness=1 + 1e-9, searched=1)
    assert nearly == alike


def test_where_all_are_alike_and_below_no_more_is_said_than_was_seen() -> None:
    answer = chance_of(lambda sets: np.zeros(len(sets)), INSIDE, KIND, faithfulness=1, searched=1)
    assert (answer.single, answer.at_most, answer.measured) == (1 / CIRCUITS, True, CIRCUITS)


def test_the_chance_is_never_less_than_that_of_drawing_the_circuit_itself() -> None:
    # 5 of 30 items, which are worth nothing without each other: no level leads there.
    inside, kind = np.arange(30) < 5, np.zeros(30, dtype=int)
    slopes = 0.01 * np.arange(30)
    answer = chance_of(lambda sets: sets[:, :5].all(1) + sets @ slopes, inside, kind, faithfulness=1.1, searched=10**5)
    assert answer.single >= 1 / comb(30, 5)
    assert answer.best > 0.5


def test_the_same_seed_gives_the_same_chance_and_another_seed_another() -> None:
    goal = faithfulness_of_chance(1e-3)
    first, again, other = (chance_of(counted, INSIDE, KIND, goal, 10, seed) for seed in (0, 0, 1))
    assert first == again != other


def searched_by_guessing(measure: Measure, kind: np.ndarray, inside: np.ndarray, n: int, seed: int) -> float:
    random = np.random.default_rng([1, seed])
    sets = np.zeros((n, len(kind)), dtype=bool)
    for value in np.unique(kind):
        items = np.flatnonzero(kind == value)
        order = random.random((n, len(items))).argsort(1)[:, : inside[items].sum()]
        np.put_along_axis(sets, items[order], True, axis=1)
    return float(measure(sets).max())


def test_a_search_that_only_guesses_is_rarely_said_to_be_better_than_guessing() -> None:
    searched, searches = 3000, 250
    kind, inside = np.repeat([0, 1], [36, 4]), np.isin(np.arange(40), [*range(6), 36, 37])
    chances = []
    for seed in range(searches):
        random = np.random.default_rng(seed)
        weights, pairs = random.normal(size=40), 0.2 * random.normal(size=(40, 40))

        def measure(sets: np.ndarray, weights: np.ndarray = weights, pairs: np.ndarray = pairs) -> np.ndarray:
            values: np.ndarray = sets @ weights + ((sets @ pairs) * sets).sum(1)
            return values

        best = searched_by_guessing(measure, kind, inside, searched, seed)
        chances.append(chance_of(measure, inside, kind, best, searched, seed).best)
    assert all(np.mean(np.array(chances) <= p) <= 1.2 * p for p in (0.05, 0.2, 0.5))
