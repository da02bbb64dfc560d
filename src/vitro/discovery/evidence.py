"""What speaks for a circuit: each condition of the verdict, measured."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from vitro.circuits import Kind
from vitro.discovery.case import Case
from vitro.discovery.chance import chance_of
from vitro.discovery.find import Finder, Found
from vitro.discovery.intervals import FEWEST_GROUPS, faithfulness_interval
from vitro.discovery.search import Outcome, OutOfTimeError, Sets
from vitro.discovery.trial import Edges, Ends, Measured, Trials
from vitro.discovery.verdict import (
    Condition,
    Verdict,
    beats_random,
    does_task,
    fails_without,
    holds_out,
    is_alone,
    is_faithful,
    is_minimal,
    is_stable,
    not_measured,
    transfer,
)
from vitro.tasks import Questions

REPEATS = 4
"""Searches on resampled prompts: each takes about as long as the search itself."""
TIME_UP = "the time was up"

Measure = Callable[[Sets], Measured]
"""What sets of nodes give, prompt by prompt; may raise `OutOfTimeError`."""
Prepare = Callable[[], Case]
"""Makes a case: the means of its ablation take seconds."""
Search = Callable[[Int[np.ndarray, " drawn"] | None, Bool[np.ndarray, " node"] | None], Outcome]
"""The smallest circuit on some of the prompts (None: all) that avoids some nodes; as `Finder.nodes`."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A circuit, the model and the wholly ablated run on prompts.

    circuit: measured, and nothing else. guessing: how often a prompt is answered right by it. kinds: of prompts; empty
    where all are of one kind.
    """

    ends: Ends
    circuit: Measured
    guessing: float
    kinds: tuple[str, ...] = ()

    @property
    def f(self) -> float | None:
        """The circuit's faithfulness; None where the model's metric is not above the wholly ablated run's."""
        has_span = self.ends.model.mean() > self.ends.empty.mean()
        return float(self.ends.worth(self.circuit).f[0]) if has_span else None

    @property
    def n_prompts(self) -> int:
        """How many prompts there are."""
        return len(self.ends.model)

    @property
    def can_tell(self) -> bool:
        """Whether the model itself does the task on these prompts: else nothing can be faithful to it there."""
        return bool(task_of(self.ends, self.guessing, 0.0).holds)


def run_asked(found: Found, case: Case, finder: Finder, name: str) -> Asked:
    """A circuit on other prompts, each with its own ablated run. name: what results are kept under.

    >>> finder = Finder(case, 0.8)
    >>> found = finder.find("node")
    >>> abs(run_asked(found, case, finder, "again").f - found.f) < 1e-5
    True
    """
    # Over all edges, so that what is kept is kept under the circuit itself.
    trials = Trials(Edges(case, np.arange(len(case.graph))), name, finder.keep, finder.until)
    circuit = trials(found.mask[None])
    return Asked(Ends.of(case), circuit, by_guessing(case.questions), case.questions.groups)


def by_guessing(questions: Questions) -> float:
    """How often a prompt is answered right by guessing: right tokens as a share of those that they are ranked among.

    The mean over prompts. With it, a binomial test is too careful rather than too bold (Hoeffding 1956, "On the
    distribution of the number of successes in independent trials").

    >>> round(1 / by_guessing(case.questions))
    7
    """
    if questions.among:
        shares = [len({*right} & {*questions.among}) / len(questions.among) for right in questions.right]
    else:
        shares = [
            len(right) / (len(right) + len(wrong))
            for right, wrong in zip(questions.right, questions.wrong, strict=True)
        ]
    return float(np.mean(shares))


def held_out(asked: Sequence[Asked], tau: float) -> Condition:
    """Faithfulness on prompts that the search has not seen, of one case or of several, with its interval.

    Of several cases those count on which the model itself does the task. Prompts of one kind of one case are a group.
    Of fewer groups than FEWEST_GROUPS, each prompt is taken by itself, and the reading says so.
    """
    telling = [part for part in asked if part.can_tell]
    many = len(asked) > 1
    if not telling:
        where = f"any of {len(asked)} other wordings" if many else f"the {asked[0].n_prompts} held-out prompts"
        return not_measured("held_out", tau, f"on {where} the model itself does not do the task")
    circuit, model, empty = (
        np.concatenate(parts)
        for parts in zip(*((part.circuit.metric[0], part.ends.model, part.ends.empty) for part in telling), strict=True)
    )
    kinds = [f"{number} {kind}" for number, part in enumerate(telling) for kind in part.kinds or [""] * part.n_prompts]
    names, group = np.unique(kinds, return_inverse=True)
    where = f"{len(model)} held-out prompts"
    if many:
        where += f" of {len(telling)} wordings"
        if len(telling) < len(asked):
            where += f" (of {len(asked)}, those in which the model does the task)"
    elif len(names) > 1:
        where += f" of {len(names)} kinds"
    if 1 < len(names) < FEWEST_GROUPS:
        where += ", each taken by itself,"
    low, high = faithfulness_interval(circuit, model, empty, group if len(names) >= FEWEST_GROUPS else None)
    f = (circuit.mean() - empty.mean()) / (model.mean() - empty.mean())
    return holds_out(float(f), float(low), float(high), tau, where)


def complement(measure: Measure, ends: Ends, inside: Bool[np.ndarray, " node"], tau: float) -> Condition:
    """The model with the circuit's nodes ablated, all others in place."""
    return fails_without(float(ends.worth(measure(~inside[None])).f[0]), tau)


def random(
    measure: Measure,
    ends: Ends,
    inside: Bool[np.ndarray, " node"],
    kind: Int[np.ndarray, " node"],
    f: float,
    searched: int,
    tau: float,
    seed: int,
) -> Condition:
    """Random sets of as many nodes of each kind beside a circuit; see `chance_of`."""
    chance = chance_of(lambda sets: ends.worth(measure(sets)).f, inside, kind, f, searched, seed)
    return beats_random(chance, searched, tau)


@dataclass(frozen=True, eq=False)
class Repeat:
    """A search on resampled prompts. overlap: |both| / |either| with the circuit. f: on the prompts left out."""

    inside: Bool[np.ndarray, " node"]
    overlap: float
    f: float


def repeats(search: Search, measure: Measure, ends: Ends, inside: Bool[np.ndarray, " node"], seed: int) -> list[Repeat]:
    """Searches on REPEATS bootstrap samples of the prompts; fewer where time is up, or a sample has nothing to explain.

    A bootstrap sample has as many prompts as were searched, so that circuits differ as those of other prompts would.
    """
    n, done = len(ends.model), list[Repeat]()
    draws = np.random.default_rng(seed).integers(n, size=(REPEATS, n))
    for prompts in draws:
        if not ends.model[prompts].mean() > ends.empty[prompts].mean():
            continue
        try:
            outcome = search(prompts, None)
        except OutOfTimeError:
            break
        if not outcome.minimal:
            break
        left_out = np.setdiff1d(np.arange(n), prompts)
        f = float(ends.worth(measure(outcome.inside[None]), left_out).f[0]) if len(left_out) else np.nan
        done.append(Repeat(outcome.inside, overlap(inside, outcome.inside), f))
    return done


def overlap(first: Bool[np.ndarray, " node"], second: Bool[np.ndarray, " node"]) -> float:
    """Nodes in both, as a share of those in either (Jaccard).

    >>> overlap(np.array([True, True, False]), np.array([True, False, False]))
    0.5
    """
    return float((first & second).sum() / max(1, (first | second).sum()))


def stability(done: Sequence[Repeat], tau: float) -> Condition:
    """The overlap of circuits searched on resampled prompts; not measured where there are none."""
    if not done:
        return not_measured("stability", tau, TIME_UP)
    return is_stable([repeat.overlap for repeat in done], [repeat.f for repeat in done if np.isfinite(repeat.f)], tau)


def second(search: Search, inside: Bool[np.ndarray, " node"], tau: float) -> Condition:
    """What a search finds that first drops the circuit's nodes, where it can."""
    outcome = search(None, inside)
    condition = is_alone(
        int(inside.sum()), tau, int(outcome.inside.sum()), int((outcome.inside & inside).sum()), outcome.f
    )
    if outcome.minimal or not condition.holds:
        return condition
    # What it has so far is no second circuit, but it might have become one.
    return not_measured("second", tau, TIME_UP)


def carried(task: str, asked: Asked) -> Condition:
    """What the circuit does on another task."""
    return transfer(task, asked.f, int(asked.circuit.right.sum()), int(asked.ends.right.sum()), asked.n_prompts)


def of_task(finder: Finder) -> Condition:
    """Whether the model does the task at all, which is known before a search.

    >>> of_task(Finder(case, 0.8)).condition
    'task'
    """
    return task_of(finder.ends, by_guessing(finder.case.questions), finder.tau)


def task_of(ends: Ends, guessing: float, tau: float) -> Condition:
    """Whether the model does the task on some prompts. guessing: how often a prompt is answered right by it.

    >>> task_of(Ends.of(case), 1 / 7, 0.8).condition
    'task'
    """
    model, empty = float(ends.model.mean()), float(ends.empty.mean())
    # What differs by rounding alone does not differ.
    model = model if ends.differ else empty
    return does_task(int(ends.right.sum()), len(ends.right), guessing, model, empty, tau)


def judged(
    finder: Finder,
    found: Found,
    held: Sequence[Prepare],
    others: Mapping[str, Prepare],
    seed: int,
) -> Verdict:
    """All conditions of a circuit, those that take longest last; those that time does not suffice for fail.

    held: prompts that the search has not seen. others: other tasks, by their names. Each is prepared when its turn
    comes, or raises `OutOfTimeError`.

    >>> finder = Finder(case, 0.8)
    >>> verdict = judged(finder, finder.find("node"), [lambda: case], {}, seed=0)
    >>> [condition.condition for condition in verdict.conditions][:4]
    ['task', 'minimal', 'faithful', 'held_out']
    """
    ends, tau, measure, graph = found.ends, found.aim.tau, finder.node_trials, finder.case.graph
    inside = np.array([node in found.nodes for node in graph.sources[1:]])
    kind = np.array([node.kind is Kind.mlp for node in graph.sources[1:]], dtype=int)

    def rivalled() -> float:
        """Rivals have all edges among their nodes; so do these nodes, where the circuit itself has gained by fewer."""
        return min(found.f, float(ends.worth(measure(inside[None])).f[0]))

    def timely(condition: str, make: Callable[[], Condition]) -> Condition:
        try:
            return make()
        except OutOfTimeError:
            return not_measured(condition, tau, TIME_UP)

    def on(prepare: Prepare, name: str) -> Asked:
        return run_asked(found, prepare(), finder, name)

    def on_held_out() -> Condition:
        if not held:
            return not_measured("held_out", tau, "there are no other prompts")
        return held_out([on(prepare, f"held-{number}") for number, prepare in enumerate(held)], tau)

    conditions = [
        of_task(finder),
        is_minimal(found.minimal, tau),
        is_faithful(found.f, tau),
        timely("held_out", on_held_out),
        timely("complement", lambda: complement(measure, ends, inside, tau)),
    ]
    reported = []
    # What is only reported may be missing.
    with suppress(OutOfTimeError):
        for name, prepare in others.items():
            reported.append(carried(name, on(prepare, f"transfer-{name}")))
    conditions += [
        timely("random", lambda: random(measure, ends, inside, kind, rivalled(), found.measured, tau, seed)),
        timely("second", lambda: second(finder.nodes, inside, tau)),
        timely("stability", lambda: stability(repeats(finder.nodes, measure, ends, inside, seed), tau)),
    ]
    return Verdict((*conditions, *reported))
