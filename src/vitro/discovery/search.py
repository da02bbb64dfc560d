"""The search for a small circuit: drop what costs least, take one back that helps most, until neither makes it smaller.

It knows nothing of models: a circuit is a set of items (nodes or edges), and a trial says what sets are worth.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

Sets = Bool[np.ndarray, "set item"]
Action = Literal["dropped", "added"]
SHARE = 0.5
"""The most of a circuit that is dropped in one round: what items cost alone says little about many of them."""
SIZES = 12
"""How many numbers of items are tried in a round, from one to that share."""
FINE = 0.01
"""How exactly the number of items is found that can go together in an order: to a share of them."""
TAKEN_BACK = 4
"""How many items are tried to take back, the most helpful first, before a circuit is said to be the smallest."""


class OutOfTimeError(Exception):
    """Raised by a trial when time is up."""


@dataclass(frozen=True, eq=False)
class Worth:
    """What sets are worth: faithfulness, and how many prompts are answered right."""

    f: Float[np.ndarray, " set"]
    right: Int[np.ndarray, " set"]


Watch = Callable[[int, float, float, float], None]
"""Told how many items are left, their faithfulness, and the work done and expected, in runs of whole circuits."""


def unwatched(left: int, f: float, done: float, expected: float) -> None:
    """Tells nobody."""


class Trial(Protocol):
    """Says what sets are worth, of equal sets always the same; may raise `OutOfTimeError`."""

    def __call__(self, sets: Sets) -> Worth:
        """Faithfulness and right answers of each set."""


@dataclass(frozen=True)
class Aim:
    """What a circuit must be worth. right: the least prompts that it answers right."""

    tau: float
    right: int

    def met(self, worth: Worth) -> Bool[np.ndarray, " set"]:
        """Which sets are good enough. NaN is not.

        >>> Aim(0.8, 5).met(Worth(np.array([0.9, 0.7, 0.9]), np.array([5, 7, 4]))).tolist()
        [True, False, False]
        """
        return np.asarray((worth.f >= self.tau) & (worth.right >= self.right))


@dataclass(frozen=True, eq=False)
class Step:
    """Items dropped or added together, and the circuit after that.

    costs: what each would have cost alone, NaN where that was not measured; of one that was added, what it gave.
    tried: sets that were tried by then.
    """

    action: Action
    items: tuple[int, ...]
    costs: tuple[float, ...]
    left: int
    f: float
    right: int
    tried: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """A circuit. minimal: whether each of its items was left out in turn, and each was needed.

    costs: of each item, the faithfulness that the circuit loses without it; NaN of items that are not in it, and of all
    where the search was stopped before they were measured.
    """

    inside: Bool[np.ndarray, " item"]
    f: float
    right: int
    costs: Float[np.ndarray, " item"]
    minimal: bool
    steps: tuple[Step, ...]


@dataclass(eq=False)
class _State:
    inside: Bool[np.ndarray, " item"]
    f: float
    right: int

    @property
    def rank(self) -> tuple[int, float]:
        """The lower the better: smaller circuits, then more faithful ones."""
        return int(self.inside.sum()), -self.f


@dataclass(eq=False)
class _Search:
    trial: Trial
    aim: Aim
    avoid: Bool[np.ndarray, " item"]
    watch: Watch
    orders: Sequence[Int[np.ndarray, " item"]] = ()
    work: float = 0.0
    tried: int = 0
    steps: list[Step] = field(default_factory=list)
    best: _State | None = None
    n_steps: int = 0
    """How many of the steps lead to the best."""
    proved: Float[np.ndarray, " item"] | None = None
    """What each item of the best costs; None until all are measured."""

    def run(self, start: Bool[np.ndarray, " item"]) -> None:
        """Make `best` as small as can be; on the way it is the smallest so far."""
        worth = self._worth(start[None])
        if not self.aim.met(worth)[0]:
            raise ValueError("the search starts from a circuit that does not meet its aim")
        state = _State(start, float(worth.f[0]), int(worth.right[0]))
        self._offer(state)
        if self.orders:
            state = self._in_order(state)
        if self.avoid.any():
            state = self._shrunk(state, self.avoid)
        state = self._shrunk(state, np.ones_like(start))
        while (smaller := self._refined(state)) is not None:
            state = smaller

    def _worth(self, sets: Sets, around: _State | None = None) -> Worth:
        """What sets are worth, with the work counted. around: the circuit as it stands, from which work is left."""
        if around is not None:
            left, n_items = int(around.inside.sum()), len(around.inside)
            self.watch(left, around.f, self.work, self.work + _work_left(left, n_items))
        if not len(sets):
            return Worth(np.empty(0), np.empty(0, dtype=int))
        worth = self.trial(sets)
        self.work += float(sets.mean(1).sum())
        self.tried += len(sets)
        return worth

    def _offer(self, state: _State, costs: Float[np.ndarray, " item"] | None = None) -> None:
        """Keep a circuit that is better than the best, or the best itself with its costs."""
        best = self.best
        proved = best is not None and costs is not None and np.array_equal(state.inside, best.inside)
        if best is None or proved or state.rank < best.rank:
            self.best, self.proved, self.n_steps = state, costs, len(self.steps)

    def _in_order(self, state: _State) -> _State:
        """Without the first items of one of the orders, as many as can go together."""
        afters = []
        for order in self.orders:
            after, low, high = state, 0, len(order)
            while high - low > max(1, FINE * len(order)):
                sizes = np.unique(np.linspace(low, high, SIZES + 2)[1:-1].round().astype(int))
                sizes = sizes[(low < sizes) & (sizes < high)]
                sets = np.repeat(state.inside[None], len(sizes), axis=0)
                for row, size in enumerate(sizes):
                    sets[row, order[:size]] = False
                worth = self._worth(sets, state)
                met = np.flatnonzero(self.aim.met(worth))
                if not len(met):
                    high = int(sizes[0])
                    continue
                row = int(met[-1])
                after = _State(sets[row], float(worth.f[row]), int(worth.right[row]))
                low, high = int(sizes[row]), int(sizes[row + 1]) if row + 1 < len(sizes) else high
            afters.append(after)
        best = min(afters, key=lambda after: after.rank)
        gone = np.flatnonzero(state.inside & ~best.inside)
        if len(gone):
            self._step("dropped", gone, np.full(len(gone), np.nan), best)
            self._offer(best)
        return best

    def _shrunk(self, state: _State, droppable: Bool[np.ndarray, " item"]) -> _State:
        """Drop items until none of the droppable ones can go alone."""
        while True:
            items = np.flatnonzero(state.inside & droppable)
            alone = self._worth(_without_each(state.inside, items), state)
            can_go = self.aim.met(alone)
            if not can_go.any():
                costs = np.full(len(state.inside), np.nan)
                costs[items] = state.f - alone.f
                self._offer(state, costs if len(items) == state.inside.sum() else None)
                return state
            # The least costly first, those that can go alone before the others.
            order = np.lexsort((-alone.f, ~can_go))
            state = self._dropped(state, items[order], state.f - alone.f[order], int(can_go.sum()))

    def _dropped(
        self, state: _State, items: Int[np.ndarray, " item"], costs: Float[np.ndarray, " item"], most: int
    ) -> _State:
        """Without as many of the first items as can go together. The first can go alone."""
        most = min(most, max(1, int(SHARE * state.inside.sum())))
        sizes = np.unique(np.geomspace(1, most, SIZES).round().astype(int))
        sets = np.repeat(state.inside[None], len(sizes), axis=0)
        for row, size in enumerate(sizes):
            sets[row, items[:size]] = False
        worth = self._worth(sets)
        row = int(np.flatnonzero(self.aim.met(worth))[-1])
        size = sizes[row]
        after = _State(sets[row], float(worth.f[row]), int(worth.right[row]))
        self._step("dropped", items[:size], costs[:size], after)
        self._offer(after)
        return after

    def _refined(self, state: _State) -> _State | None:
        """A circuit that is smaller, or as small and more faithful, with one item more and others less; None: none."""
        outside = np.flatnonzero(~state.inside & ~self.avoid)
        if not len(outside):
            return None
        sets = np.repeat(state.inside[None], len(outside), axis=0)
        sets[np.arange(len(outside)), outside] = True
        worth = self._worth(sets, state)
        for place in np.argsort(-worth.f, kind="stable")[:TAKEN_BACK]:
            if not worth.f[place] > state.f:
                break
            n_steps = len(self.steps)
            added = _State(sets[place], float(worth.f[place]), int(worth.right[place]))
            self._step("added", outside[[place]], np.array([worth.f[place] - state.f]), added)
            after = self._shrunk(added, added.inside)
            if after.rank < state.rank:
                return after
            # It led nowhere.
            del self.steps[n_steps:]
        return None

    def _step(
        self, action: Action, items: Int[np.ndarray, " item"], costs: Float[np.ndarray, " item"], after: _State
    ) -> None:
        left = int(after.inside.sum())
        self.steps.append(
            Step(action, tuple(items.tolist()), tuple(costs.tolist()), left, after.f, after.right, self.tried)
        )


def search(
    trial: Trial,
    start: Bool[np.ndarray, " item"],
    aim: Aim,
    avoid: Bool[np.ndarray, " item"] | None = None,
    watch: Watch = unwatched,
    orders: Sequence[Int[np.ndarray, " item"]] = (),
) -> Outcome:
    """The smallest circuit that meets the aim, from a start that meets it (docs/method.md, section 12.2).

    avoid: items that are dropped first, as many as can go, and never taken back. orders: of all items, those that may
    matter least first; before anything else, as many of the first of one of them are dropped as can go together. watch:
    is told how far it is, now and then. Where the trial raises `OutOfTimeError`, the smallest circuit so far. Equal
    trials give equal outcomes. ValueError where the start does not meet the aim.

    >>> def worth(sets):
    ...     return Worth(sets @ np.array([0.5, 0.4, 0.1, 0.0]), np.full(len(sets), 7))
    >>> found = search(worth, np.ones(4, dtype=bool), Aim(0.85, 7))
    >>> found.inside.tolist(), found.minimal, found.costs[:2].round(1).tolist()
    ([True, True, False, False], True, [0.5, 0.4])
    """
    running = _Search(trial, aim, np.zeros_like(start) if avoid is None else avoid, watch, orders)
    try:
        running.run(start)
    except OutOfTimeError:
        if running.best is None:
            raise
    best, costs = running.best, running.proved
    assert best is not None
    return Outcome(
        best.inside,
        best.f,
        best.right,
        np.full(len(start), np.nan) if costs is None else costs,
        costs is not None,
        tuple(running.steps[: running.n_steps]),
    )


def _without_each(inside: Bool[np.ndarray, " item"], items: Int[np.ndarray, " item"]) -> Sets:
    sets = np.repeat(inside[None], len(items), axis=0)
    sets[np.arange(len(items)), items] = False
    return sets


def _work_left(left: int, n_items: int) -> float:
    """About how many runs of the whole model are still to come, from a circuit of so many of its items.

    Each round leaves every item out once, and half of them, as a rule, for good; a small circuit is then tried with
    every other item and dropped again, about as often as the rounds before.
    """
    rounds, n = 0.0, float(left)
    while n > n_items / 16 + 1:
        rounds, n = rounds + n * n / n_items + SIZES * n / n_items, n / 2
    return rounds + 3 * (n_items * n / n_items + TAKEN_BACK * n * n / n_items)
