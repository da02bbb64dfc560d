"""Finding a circuit: nodes first, then the edges among those that are left (docs/method.md, section 12.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from vitro.circuits import Mask, Node
from vitro.discovery.case import Case
from vitro.discovery.scores import score_edges
from vitro.discovery.search import Aim, Outcome, OutOfTimeError, Step, Watch, Worth, search, unwatched
from vitro.discovery.trial import Edges, Ends, Items, Keep, Nodes, Trials, without_keeping
from vitro.metrics import DIFFERENTIABLE, METRICS
from vitro.options import Level

MANY = 1024
"""Edges, of which more are first dropped in the order of a score: each exact round leaves all of them out in turn."""


@dataclass(frozen=True, eq=False)
class Named:
    """A step of the search on a level. names: of the items that were dropped or added."""

    level: Level
    names: tuple[str, ...]
    step: Step


@dataclass(frozen=True, eq=False)
class Found:
    """A circuit within a model, and how it was found.

    mask: its edges. nodes: its heads and MLPs. node_costs, edge_costs: the faithfulness that it loses without each,
    by itself; edge_costs are NaN where edges were not searched. minimal: whether all of these were measured, and each
    of them is needed. measured: circuits that were run.
    """

    case: Case
    ends: Ends
    aim: Aim
    level: Level
    mask: Mask
    nodes: tuple[Node, ...]
    f: float
    right: int
    node_costs: Float[np.ndarray, " node"]
    edge_costs: Float[np.ndarray, " wired"]
    minimal: bool
    steps: tuple[Named, ...]
    measured: int


@dataclass(eq=False)
class Finder:
    """Searches a case. tau: the least faithfulness. until: when to stop, by `time.monotonic`. keep: see `Trials`.

    prompts: those that count, by their numbers, each as often as it is named; None: all. Searches on other prompts of
    the same finder measure nothing twice. right: the least number of prompts answered right is tau times what the model
    answers right, rounded up.
    """

    case: Case
    tau: float
    keep: Keep = without_keeping
    until: float = np.inf
    watch: Watch = unwatched

    def __post_init__(self) -> None:
        self.ends = Ends.of(self.case)
        self.node_trials = Trials(Nodes(self.case), "nodes", self.keep, self.until)

    def stop_at(self, until: float) -> None:
        """Stop earlier or later than was said at first."""
        self.until = self.node_trials.until = until

    def aim(self, prompts: Int[np.ndarray, " drawn"] | None = None) -> Aim:
        """What a circuit must be worth."""
        right = self.ends.right if prompts is None else self.ends.right[prompts]
        return Aim(self.tau, math.ceil(self.tau * int(right.sum())))

    def nodes(
        self, prompts: Int[np.ndarray, " drawn"] | None = None, avoid: Bool[np.ndarray, " node"] | None = None
    ) -> Outcome:
        """The smallest set of heads and MLPs, in the order of the graph's sources without the input.

        avoid: nodes that are dropped first, where they can be. OutOfTimeError where time is up before anything was
        measured.
        """
        start = np.ones(len(self.case.graph.sources) - 1, dtype=bool)
        return search(
            lambda sets: self._worth(self.node_trials, sets, prompts), start, self.aim(prompts), avoid, self.watch
        )

    def _worth(
        self, trials: Trials, sets: Bool[np.ndarray, "set item"], prompts: Int[np.ndarray, " drawn"] | None = None
    ) -> Worth:
        if not len(sets):
            # Where all that is to be avoided is gone already.
            return Worth(np.zeros(0), np.zeros(0, dtype=int))
        return self.ends.worth(trials(sets), prompts)

    def find(self, level: Level = "edge") -> Found:
        """The circuit, down to nodes or to edges.

        The model's mean metric must be above the wholly ablated run's: else nothing is faithful to it.

        >>> found = Finder(case, 0.8).find("node")
        >>> found.f >= 0.8, found.minimal
        (True, True)
        """
        graph, aim = self.case.graph, self.aim()
        outcome = self.nodes()
        nodes = tuple(node for node, inside in zip(graph.sources[1:], outcome.inside, strict=True) if inside)
        steps = _named("node", self.node_trials.items, outcome)
        mask = graph.among([graph.nodes[0], *nodes, graph.nodes[-1]])
        costs = outcome.costs[outcome.inside]
        found = Found(
            self.case, self.ends, aim, "node", mask, nodes, outcome.f, outcome.right, costs,
            np.full(int(mask.sum()), np.nan), outcome.minimal, steps, len(self.node_trials.known),
        )  # fmt: skip
        return self.edges(found) if level == "edge" and outcome.minimal else found

    def edges(self, found: Found) -> Found:
        """The same circuit with as few of its edges as can be; a node that then can go goes with all its edges."""
        graph = self.case.graph
        items = Edges(self.case, np.flatnonzero(found.mask))
        trials = Trials(items, "edges", self.keep, self.until)
        before, start = found.measured, np.ones(len(items.numbers), dtype=bool)
        orders = self._orders(items.numbers) if len(items.numbers) > MANY else ()
        try:
            while True:
                outcome = search(
                    lambda sets: self._worth(trials, sets), start, found.aim, watch=self.watch, orders=orders
                )
                orders = ()
                mask = graph.pruned(items.masks(outcome.inside[None])[0])
                wired = set(graph.source_of[mask]) | set(graph.reader_of[mask])
                nodes = [number for number in range(1, len(graph.sources)) if number in wired]
                found = replace(
                    found,
                    level="edge",
                    mask=mask,
                    nodes=tuple(graph.nodes[number] for number in nodes),
                    f=outcome.f,
                    right=outcome.right,
                    node_costs=np.full(len(nodes), np.nan),
                    edge_costs=outcome.costs[mask[items.numbers]],
                    minimal=False,
                    steps=(*found.steps, *_named("edge", items, outcome, before)),
                    measured=before + len(trials.known),
                )
                if not outcome.minimal:
                    return found
                reads = np.stack([graph.source_of[items.numbers], graph.reader_of[items.numbers]])
                without = outcome.inside & (reads != np.array(nodes, dtype=int)[:, None, None]).all(1)
                worth = self._worth(trials, without)
                can_go = found.aim.met(worth)
                found = replace(
                    found, node_costs=found.f - worth.f, minimal=not can_go.any(), measured=before + len(trials.known)
                )
                if found.minimal:
                    return found
                gone = int(np.where(can_go, worth.f, -np.inf).argmax())
                start = without[gone]
                cost, f, right = float(found.node_costs[gone]), float(worth.f[gone]), int(worth.right[gone])
                dropped = Step("dropped", (gone,), (cost,), len(nodes) - 1, f, right, found.measured)
                found = replace(found, steps=(*found.steps, Named("node", (str(found.nodes[gone]),), dropped)))
        except OutOfTimeError:
            return found

    def _orders(self, edges: Int[np.ndarray, " item"]) -> Sequence[Int[np.ndarray, " item"]]:
        """Edges by EAP-IG: those that help least first, and those that matter least either way.

        Of a metric without a useful gradient, by what they do to the right answer's logit.
        """
        metric = self.case.metric if self.case.metric.name in DIFFERENTIABLE else METRICS["answer_logit"]
        scores = score_edges(replace(self.case, metric=metric), "eap-ig").double().mean(1).numpy()[edges]
        return [np.argsort(by, kind="stable") for by in (scores, np.abs(scores))]


def _named(level: Level, items: Items, outcome: Outcome, before: int = 0) -> tuple[Named, ...]:
    """The steps with the names of their items. before: circuits that were tried before the search began."""
    names = items.names
    return tuple(
        Named(level, tuple(names[item] for item in step.items), replace(step, tried=before + step.tried))
        for step in outcome.steps
    )
