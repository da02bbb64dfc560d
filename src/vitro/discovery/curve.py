"""MIB's curve: how much of the model's answer its best edges carry, from a thousandth of them to all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.circuits import Graph, run_masks
from vitro.discovery.case import Case
from vitro.engine import Finals
from vitro.errors import NoValueError
from vitro.metrics import Metric

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The shares of all edges at which the curve is measured."""

Ranking = Literal["signed", "absolute"]
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
"""Which edges come first: those that help most (CPR is theirs), or those that matter most either way (CMD is)."""
Selection = Literal["top", "greedy"]
SELECTIONS: tuple[Selection, ...] = get_args(Selection)
"""How edges are taken: the best of all, or from the logits down, the best into what is in already."""

ROUNDING = 1e-6
"""Differences of the metric below this share of it are rounding."""


class CurveError(NoValueError):
    """A curve that cannot be had: of scores that rank nothing, or of a metric that the ablation does not change."""


@dataclass(frozen=True, eq=False)
class Nested:
    """Circuits within a model, one for each size; not pruned.

    sizes: shares of all edges.
    """

    sizes: tuple[float, ...]
    masks: Bool[np.ndarray, "size edge"]


def select(
    graph: Graph,
    scores: Float[np.ndarray, " edge"],
    ranking: Ranking,
    selection: Selection,
    numbers: Sequence[int] | None = None,
) -> Nested:
    """The best edges by their scores, at MIB's ten sizes (docs/method.md, section 10.4).

    scores: positive where the edge helps. numbers: of edges, where others than MIB's are due. CurveError where the
    scores are of another graph, or NaN.

    >>> graph = Graph.of(model)
    >>> select(graph, np.arange(len(graph)), "signed", "top").masks.sum(1).tolist()
    [0, 0, 1, 2, 5, 13, 26, 52, 131, 262]
    """
    if len(scores) != len(graph):
        raise CurveError(f"there are {len(scores)} scores, and the model's graph has {len(graph)} edges")
    if np.isnan(scores).any():
        raise CurveError(f"the score of {graph.edges[int(np.isnan(scores).argmax())]} is NaN, which ranks nowhere")
    ranked = scores if ranking == "signed" else np.abs(scores)
    take = graph.top if selection == "top" else graph.greedy
    if numbers is None:
        # The product is rounded down as MIB rounds it: in floating point.
        return Nested(SIZES, np.stack([take(ranked, int(size * len(graph))) for size in SIZES]))
    return Nested(tuple(n / len(graph) for n in numbers), np.stack([take(ranked, n) for n in numbers]))


def has_span(model: Float[np.ndarray, " prompt"], empty: Float[np.ndarray, " prompt"]) -> bool:
    """Whether the mean metric of the model and of the empty circuit differ by more than rounding: else f is undefined.

    >>> has_span(np.array([1.0, 2.0]), np.array([2.0, 1.0]))
    False
    """
    of_model, of_empty = float(model.mean()), float(empty.mean())
    return abs(of_model - of_empty) > ROUNDING * max(abs(of_model), abs(of_empty))


def faithfulness(
    values: Float[np.ndarray, "size *draw"], model: Float[np.ndarray, "*draw"], empty: Float[np.ndarray, "*draw"]
) -> Float[np.ndarray, "size *draw"]:
    """f = (m(circuit) - m(empty)) / (m(all) - m(empty)), m the mean metric over prompts.

    >>> faithfulness(np.array([0.0, 1.0, 2.0, 4.0]), np.float64(2), np.float64(1)).tolist()
    [-1.0, 0.0, 1.0, 3.0]
    """
    return np.asarray((values - empty) / (model - empty))


def cpr(sizes: Sequence[float], f: Float[np.ndarray, "size *draw"]) -> Float[np.ndarray, "*draw"]:
    """The area under f over the sizes, by trapezoids; nothing is added below the first size.

    >>> float(cpr(SIZES, np.ones(10)).round(6))
    0.999
    """
    return np.asarray(np.tensordot(np.diff(sizes), (f[1:] + f[:-1]) / 2, axes=1))


def cmd(sizes: Sequence[float], f: Float[np.ndarray, "size *draw"]) -> Float[np.ndarray, "*draw"]:
    """The area of |1 - f| over the sizes, by trapezoids.

    >>> float(cmd([0.0, 0.5, 1.0], np.array([0.0, 2.0, 1.0])))
    0.75
    """
    return cpr(sizes, np.abs(1 - f))


@dataclass(frozen=True, eq=False)
class Curve:
    """What circuits of growing size make of a metric, and what the model and an empty circuit do.

    sizes: shares of all edges. n: how many edges were taken. edges: how many of these pruning left.
    """

    sizes: tuple[float, ...]
    n: Int[np.ndarray, " size"]
    edges: Int[np.ndarray, " size"]
    values: Float[np.ndarray, "size prompt"]
    model: Float[np.ndarray, " prompt"]
    empty: Float[np.ndarray, " prompt"]

    @property
    def has_span(self) -> bool:
        """Whether the model's mean metric and the empty circuit's differ by more than rounding: else f is undefined."""
        return has_span(self.model, self.empty)

    @property
    def faithfulness(self) -> Float[np.ndarray, " size"]:
        """f at each size: a ratio of means over prompts. CurveError where there is nothing to explain."""
        if not self.has_span:
            raise CurveError(
                f"there is nothing to explain: the metric is {self.model.mean():.4g} in the model and in the empty "
                "circuit alike; what works: another ablation or metric"
            )
        return faithfulness(self.values.mean(1), self.model.mean(), self.empty.mean())

    @property
    def cpr(self) -> float:
        """The area under f, the circuit performance ratio: the higher the better."""
        return float(cpr(self.sizes, self.faithfulness))

    @property
    def cmd(self) -> float:
        """The area of |1 - f|, the circuit-model distance: 0 at best."""
        return float(cmd(self.sizes, self.faithfulness))


def run_curves(
    case: Case,
    circuits: Sequence[Nested],
    metrics: Sequence[Metric],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[Curve]]:
    """The curves of several rankings at once: for each metric, by its name, one for each of `circuits`.

    All are run together; those that are equal once pruned are run once. The metric of the case itself plays no part.

    >>> ranked = select(case.graph, np.arange(len(case.graph)), "signed", "top")
    >>> (curve,) = run_curves(case, [ranked], [case.metric])["logit_diff"]
    >>> curve.edges.tolist(), float(curve.faithfulness[-1])
    ([0, 0, 0, 0, 0, 0, 1, 3, 3, 262], 1.0)
    """
    graph = case.graph
    pruned = [graph.pruned(nested.masks) for nested in circuits]
    ends = np.array([np.zeros(len(graph), dtype=bool), np.ones(len(graph), dtype=bool)])

    def read(finals: Finals) -> dict[str, Tensor]:
        answers = case.asked[finals.prompts].of_logits(finals)
        return {metric.name: metric.of(answers) for metric in metrics}

    results = run_masks(case.within, np.concatenate([ends, *pruned]), read, progress)
    firsts = np.cumsum([len(ends), *map(len, pruned)])
    curves = {}
    for metric in metrics:
        values = results[metric.name].double().numpy()
        curves[metric.name] = [
            Curve(
                nested.sizes, nested.masks.sum(1), mask.sum(1), values[first : first + len(mask)], values[1], values[0]
            )
            for nested, mask, first in zip(circuits, pruned, firsts, strict=False)
        ]
    return curves
