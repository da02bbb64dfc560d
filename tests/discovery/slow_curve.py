"""MIB's curve in plain loops, written from docs/method.md, section 10: edges as a list, circuits as sets."""

from collections.abc import Callable, Sequence

from torch import Tensor

from circuits.slow_within import SlowWithin, slow_pruned
from vitro.circuits import Constants, Edge, Graph
from vitro.circuits.nodes import LOGITS
from vitro.models import Model

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


def slow_top(edges: Sequence[Edge], scores: Sequence[float], n: int) -> set[Edge]:
    """The n best; of equal ones the first."""
    left = list(range(len(edges)))
    taken = set()
    for _ in range(n):
        best = left[0]
        for number in left:
            if scores[number] > scores[best]:
                best = number
        left.remove(best)
        taken.add(edges[best])
    return taken


def slow_greedy(edges: Sequence[Edge], scores: Sequence[float], n: int) -> set[Edge]:
    """n times the best edge whose reader is in; its source joins."""
    taken: set[Edge] = set()
    joined = {LOGITS}
    for _ in range(n):
        best = None
        for number, edge in enumerate(edges):
            if edge.reader in joined and edge not in taken and (best is None or scores[number] > scores[best]):
                best = number
        assert best is not None
        taken.add(edges[best])
        joined.add(edges[best].source)
    return taken


def slow_curve(
    model: Model,
    prompts: Sequence[Sequence[int]],
    absent: Constants,
    metric: Callable[[Tensor, int], float],
    scores: Sequence[float],
    take: Callable[[Sequence[Edge], Sequence[float], int], set[Edge]],
) -> tuple[list[int], list[float], float, float]:
    """The edges left and f at each share, CPR and CMD. metric: of a prompt's logits and its number."""
    edges = Graph.of(model).edges

    def mean_metric(circuit: set[Edge]) -> float:
        total = 0.0
        for number, prompt in enumerate(prompts):
            total += metric(SlowWithin(model, prompt, number, circuit, absent).logits(), number)
        return total / len(prompts)

    everything, nothing = mean_metric(set(edges)), mean_metric(set())
    left, f = [], []
    for share in SHARES:
        circuit = slow_pruned(take(edges, scores, int(share * len(edges))))
        left.append(len(circuit))
        f.append((mean_metric(circuit) - nothing) / (everything - nothing))
    cpr = cmd = 0.0
    for i in range(len(SHARES) - 1):
        width = SHARES[i + 1] - SHARES[i]
        cpr += width * (f[i] + f[i + 1]) / 2
        cmd += width * (abs(1 - f[i]) + abs(1 - f[i + 1])) / 2
    return left, f, cpr, cmd
