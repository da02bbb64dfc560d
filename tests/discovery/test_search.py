"""The search, on tables: of so few items the worth of every set is known, and all that is said of it can be counted."""

from dataclasses import dataclass

import numpy as np
import pytest
from jaxtyping import Bool, Float, Int

from vitro.discovery.search import Aim, OutOfTimeError, Sets, Worth, search

N_ITEMS, N_FEATURES, N_PROMPTS = 12, 12, 7
SEEDS = range(100)
EVERY_SET = np.arange(2**N_ITEMS)[:, None] >> np.arange(N_ITEMS) & 1 == 1
ALL = np.ones(N_ITEMS, dtype=bool)


@dataclass(frozen=True, eq=False)
class Table:
    """What every set of some items is worth."""

    f: Float[np.ndarray, " every"]
    right: Int[np.ndarray, " every"]

    def __call__(self, sets: Sets) -> Worth:
        rows = sets @ (1 << np.arange(N_ITEMS))
        return Worth(self.f[rows], self.right[rows])

    @property
    def aim(self) -> Aim:
        return Aim(0.85, int(np.ceil(0.85 * self.right[-1])))

    def fine(self, sets: Sets) -> Bool[np.ndarray, " set"]:
        return self.aim.met(self(sets))


def table(seed: int, kind: str) -> Table:
    """Items give to features, of which more than enough is no more; unless all is monotone, some items take."""
    draw = np.random.default_rng([seed, kind == "monotone"])
    gives = draw.gamma(1.0, size=(N_ITEMS, N_FEATURES)) * (draw.random((N_ITEMS, N_FEATURES)) < 0.5)
    if kind == "any":
        gives *= np.where(draw.random((N_ITEMS, N_FEATURES)) < 0.25, -1, 1)
    metric = np.tanh(EVERY_SET @ gives) @ draw.gamma(1.0, size=(N_FEATURES, N_PROMPTS))
    whole = metric[-1].mean()
    # Of whatever sign, the whole is worth 1 and nothing 0.
    return Table(metric.mean(1) / whole, (metric / whole > 0.25).sum(1))


def without_each(inside: Bool[np.ndarray, " item"]) -> Sets:
    return np.asarray(inside & ~np.eye(N_ITEMS, dtype=bool)[inside])


def backwards(worth: Table) -> Bool[np.ndarray, " item"]:
    """The plain search backwards: the item that costs least goes, until none can."""
    inside = ALL
    while (can_go := worth.fine(without := without_each(inside))).any():
        inside = without[np.where(can_go, worth(without).f, -np.inf).argmax()]
    return inside


@pytest.fixture(scope="module", params=["monotone", "any"])
def tables(request: pytest.FixtureRequest) -> list[Table]:
    return [table(seed, request.param) for seed in SEEDS]


def test_a_circuit_meets_the_aim_and_without_any_of_its_items_does_not(tables: list[Table]) -> None:
    for worth in tables:
        outcome = search(worth, ALL, worth.aim)
        assert outcome.minimal
        assert worth.fine(outcome.inside[None]).all()
        assert not worth.fine(without_each(outcome.inside)).any()
        assert outcome.f == worth(outcome.inside[None]).f[0]
        assert outcome.right == worth(outcome.inside[None]).right[0]
        np.testing.assert_array_equal(outcome.costs[outcome.inside], outcome.f - worth(without_each(outcome.inside)).f)
        assert np.isnan(outcome.costs[~outcome.inside]).all()


def test_circuits_are_smaller_on_average_than_those_of_the_plain_search_backwards(tables: list[Table]) -> None:
    size, plain, least = np.array(
        [
            [
                search(worth, ALL, worth.aim).inside.sum(),
                backwards(worth).sum(),
                EVERY_SET[worth.fine(EVERY_SET)].sum(1).min(),
            ]
            for worth in tables
        ]
    ).T
    assert size.mean() < plain.mean()
    # Not always: it drops several at once, and ends elsewhere.
    assert (size < plain).sum() > 2 * (size > plain).sum()
    assert (size == least).mean() > 0.9


def test_its_steps_lead_from_the_start_to_the_circuit(tables: list[Table]) -> None:
    actions = []
    for worth in tables:
        outcome, inside, tried = search(worth, ALL, worth.aim), ALL.copy(), 0
        for step in outcome.steps:
            items = list(step.items)
            assert (inside[items] == (step.action == "dropped")).all()
            before = worth(inside[None]).f[0]
            if step.action == "dropped":
                singly = np.repeat(inside[None], len(items), axis=0)
                singly[np.arange(len(items)), items] = False
                np.testing.assert_array_equal(step.costs, before - worth(singly).f)
            inside[items] = step.action == "added"
            after = worth(inside[None])
            assert (step.left, step.f, step.right) == (inside.sum(), after.f[0], after.right[0])
            if step.action == "added":
                assert step.costs == (after.f[0] - before,)
            assert worth.fine(inside[None]).all()
            assert step.tried > tried
            tried = step.tried
            actions.append(step.action)
        np.testing.assert_array_equal(inside, outcome.inside)
    assert set(actions) == {"dropped", "added"}


def test_equal_tables_give_equal_outcomes(tables: list[Table]) -> None:
    for worth in tables[:10]:
        first, again = (search(worth, ALL, worth.aim) for _ in range(2))
        np.testing.assert_array_equal(first.inside, again.inside)
        np.testing.assert_array_equal(first.costs, again.costs)
        assert [vars(step) for step in first.steps] == [vars(step) for step in again.steps]


@dataclass
class Stopped:
    """A table that is out of time after some calls."""

    table: Table
    calls: int

    def __call__(self, sets: Sets) -> Worth:
        if not self.calls:
            raise OutOfTimeError
        self.calls -= 1
        return self.table(sets)


def test_stopped_at_any_time_it_has_the_smallest_circuit_so_far(tables: list[Table]) -> None:
    for worth in tables[:20]:
        with pytest.raises(OutOfTimeError):
            search(Stopped(worth, 0), ALL, worth.aim)
        whole, sizes = search(worth, ALL, worth.aim), [N_ITEMS]
        for calls in range(1, 200):
            trial = Stopped(worth, calls)
            outcome = search(trial, ALL, worth.aim)
            assert worth.fine(outcome.inside[None]).all()
            assert outcome.f == worth(outcome.inside[None]).f[0]
            if outcome.minimal:
                assert not worth.fine(without_each(outcome.inside)).any()
            sizes.append(int(outcome.inside.sum()))
            if trial.calls:
                break
        assert sizes == sorted(sizes, reverse=True)
        np.testing.assert_array_equal(outcome.inside, whole.inside)
        assert outcome.minimal


def test_it_is_minimal_from_any_start_that_meets_the_aim(tables: list[Table]) -> None:
    draw = np.random.default_rng(0)
    for worth in tables[:20]:
        fine = EVERY_SET[worth.fine(EVERY_SET)]
        start = fine[draw.integers(len(fine))]
        outcome = search(worth, start, worth.aim)
        assert outcome.minimal
        assert not worth.fine(without_each(outcome.inside)).any()
        assert outcome.inside.sum() <= start.sum()


def test_what_is_to_be_avoided_is_dropped_first_and_never_taken_back(tables: list[Table]) -> None:
    n_shared = []
    for worth in tables:
        first = search(worth, ALL, worth.aim).inside
        outcome = search(worth, ALL, worth.aim, avoid=first)
        assert worth.fine(outcome.inside[None]).all()
        assert not worth.fine(without_each(outcome.inside)).any()
        added = {item for step in outcome.steps if step.action == "added" for item in step.items}
        assert not first[list(added)].any()
        dropped = np.concatenate([step.items for step in outcome.steps if step.action == "dropped"]).astype(int)
        # None of the avoided ones that could go by themselves is kept for one that need not be avoided.
        assert first[dropped[0]] or not worth.fine((ALL & ~np.eye(N_ITEMS, dtype=bool))[first]).any()
        n_shared.append((outcome.inside & first).sum() / first.sum())
    assert np.mean(n_shared) < 0.5


def test_what_comes_first_in_an_order_is_dropped_together_as_far_as_that_goes(tables: list[Table]) -> None:
    for number, worth in enumerate(tables):
        order = np.random.default_rng(number).permutation(N_ITEMS)
        outcome = search(worth, ALL, worth.aim, orders=[order, order[::-1]])
        singles = outcome.inside & ~np.eye(N_ITEMS, dtype=bool)[outcome.inside]
        assert worth.fine(outcome.inside[None])[0]
        assert outcome.minimal
        assert not worth.fine(singles).any()
        # How far each order goes is counted here one by one.
        orders = (order, order[::-1])
        prefixes = [np.isin(np.arange(N_ITEMS), by[:n], invert=True) for by in orders for n in range(1, 12)]
        goes = [prefix.sum() for prefix in prefixes if worth.fine(prefix[None])[0]]
        together = [step for step in outcome.steps if np.isnan(step.costs).all()]
        assert [step.left for step in together] == ([min(goes)] if goes else [])


def test_of_two_items_that_do_the_same_the_other_is_found() -> None:
    def worth(sets: Sets) -> Worth:
        return Worth(sets[:, :2].any(1) * 0.9 + 0.1 * sets[:, 2], np.zeros(len(sets), dtype=int))

    first = search(worth, np.ones(3, dtype=bool), Aim(0.85, 0)).inside
    other = search(worth, np.ones(3, dtype=bool), Aim(0.85, 0), avoid=first)
    assert first.sum() == other.inside.sum() == 1
    assert other.inside[:2].tolist() == (~first[:2]).tolist()


def test_a_start_that_does_not_meet_the_aim_is_refused() -> None:
    for aim in (Aim(1.5, 0), Aim(0.5, 8)):
        with pytest.raises(ValueError, match="does not meet its aim"):
            search(lambda sets: Worth(np.ones(len(sets)), np.full(len(sets), 7)), ALL, aim)


def test_what_comes_to_no_number_is_not_good_enough() -> None:
    def worth(sets: Sets) -> Worth:
        # Without the first item there is no number, and the others do nothing.
        return Worth(np.where(sets[:, 0], 1.0, np.nan), np.full(len(sets), 7))

    outcome = search(worth, ALL, Aim(0.85, 7))
    assert np.flatnonzero(outcome.inside).tolist() == [0]
    assert outcome.minimal


def test_where_everything_can_go_nothing_is_left() -> None:
    outcome = search(lambda sets: Worth(np.ones(len(sets)), np.full(len(sets), 7)), ALL, Aim(0.85, 7))
    assert not outcome.inside.any()
    assert outcome.minimal
    assert outcome.steps[-1].left == 0


def test_it_tells_how_far_it_is(tables: list[Table]) -> None:
    for worth in tables[:10]:
        told: list[tuple[int, float, float, float]] = []
        search(worth, ALL, worth.aim, watch=lambda *values, told=told: told.append(values))
        done = [values[2] for values in told]
        assert told[0][0] == N_ITEMS
        assert done == sorted(done)
        assert all(values[3] > values[2] for values in told)
