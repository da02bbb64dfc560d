"""What circuits are worth: each is measured once, and what an earlier run kept is not measured again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from discovery.cases import case_of
from small_models import random_model
from vitro.circuits import counterfactual
from vitro.discovery.search import OutOfTimeError, Sets
from vitro.discovery.trial import TOGETHER, Edges, Ends, Nodes, Trials

N_ITEMS, N_PROMPTS = 9, 4
PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 3, 7, 8, 11], [0, 6, 2], [0, 5, 9, 4, 7]]
PARTNERS = [[0, 5, 10, 3, 7, 8], [0, 5, 10, 12, 7, 8, 11], [0, 6, 4], [0, 5, 10, 4, 1]]


@dataclass
class Sums:
    """Items that add to the metric of each prompt; the sets that were run, in turn."""

    ran: list[Sets] = field(default_factory=list)
    names: tuple[str, ...] = tuple("abcdefghi")
    case: Any = field(default_factory=lambda: SimpleNamespace(questions=SimpleNamespace(lengths=[5] * N_PROMPTS)))

    def run(self, sets: Sets) -> Mapping[str, Tensor]:
        self.ran.append(sets)
        metric = torch.from_numpy(sums(sets))
        return {"metric": metric.float(), "right": metric > 3}


def sums(sets: Sets) -> np.ndarray:
    return sets @ np.random.default_rng(0).random((N_ITEMS, N_PROMPTS))


@dataclass
class Kept:
    """Keeps tables by name."""

    tables: dict[str, Mapping[str, pl.DataFrame]] = field(default_factory=dict)

    def __call__(self, name: str, make: Callable[[], Mapping[str, pl.DataFrame]]) -> Mapping[str, pl.DataFrame]:
        if name not in self.tables:
            self.tables[name] = make()
        return self.tables[name]


def some_sets(n: int, seed: int = 0) -> Sets:
    numbers = np.random.default_rng(seed).permutation(2**N_ITEMS)[:n]
    return (numbers[:, None] >> np.arange(N_ITEMS) & 1).astype(bool)


def test_each_set_is_measured_once_and_answered_in_its_place() -> None:
    items, sets = Sums(), some_sets(200)
    trials = Trials(items)
    twice = np.concatenate([sets[:20], sets[10:30], sets[:1]])
    for asked in (twice, sets, sets[::-1], twice):
        measured = trials(asked)
        np.testing.assert_allclose(measured.metric, sums(asked), rtol=1e-6)
        np.testing.assert_array_equal(measured.right, sums(asked) > 3)
    ran = np.concatenate(items.ran)
    assert len(ran) == len(np.unique(ran, axis=0)) == len(sets)
    assert max(map(len, items.ran)) <= TOGETHER


def test_what_was_kept_is_not_measured_again_and_is_the_same() -> None:
    keep, first, again, other = Kept(), Sums(), Sums(), Sums()
    calls = [some_sets(100), some_sets(50, seed=1), some_sets(100)]
    before = [Trials(first, "nodes", keep)(sets) for sets in calls[:1]]
    trials = Trials(again, "nodes", keep)
    after = [trials(sets) for sets in calls]
    assert after[0].metric.tobytes() == before[0].metric.tobytes()
    # The new ones of the second call alone.
    known = {row.tobytes() for row in calls[0]}
    assert sum(map(len, again.ran)) == sum(row.tobytes() not in known for row in calls[1])
    Trials(other, "edges", keep)(calls[0])
    assert sum(map(len, other.ran)) == len(calls[0])


def test_when_time_is_up_only_what_is_known_is_answered() -> None:
    keep = Kept()
    trials = Trials(Sums(), "nodes", keep)
    sets = some_sets(100)
    trials(sets)
    trials.until = 0.0
    assert trials(sets).metric.shape == (100, N_PROMPTS)
    assert Trials(Sums(), "nodes", keep, until=0.0)(sets).metric.shape == (100, N_PROMPTS)
    with pytest.raises(OutOfTimeError):
        trials(some_sets(200))


def test_what_was_measured_before_time_was_up_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    items, now = Sums(), iter(range(100))
    monkeypatch.setattr("vitro.discovery.trial.time", SimpleNamespace(monotonic=lambda: next(now)))
    trials = Trials(items, until=2)
    with pytest.raises(OutOfTimeError):
        trials(some_sets(500))
    assert len(trials.known) == sum(map(len, items.ran)) == 2 * TOGETHER


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel", "llama-gqa-3"])
def test_nodes_are_their_edges_and_the_ends_are_everything_and_nothing(name: str) -> None:
    model = random_model(name)
    case = case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))
    graph = case.graph
    nodes, edges = Nodes(case), Edges(case, np.arange(len(graph)))
    assert nodes.names == tuple(map(str, graph.sources[1:]))
    assert edges.names == tuple(map(str, graph.edges))
    sets = np.random.default_rng(0).random((12, len(graph.sources) - 1)) < 0.6
    sets[0] = True
    masks = [
        graph.among([graph.nodes[0], *(graph.sources[1 + i] for i in np.flatnonzero(row)), graph.nodes[-1]])
        for row in sets
    ]
    by_node, by_edge = Trials(nodes)(sets), Trials(edges)(np.stack(masks))
    np.testing.assert_allclose(by_node.metric, by_edge.metric, atol=2e-5)
    np.testing.assert_array_equal(by_node.right, by_edge.right)
    ends = Ends.of(case)
    np.testing.assert_allclose(by_node.metric[0], ends.model, atol=2e-5)
    empty = Trials(edges)(np.zeros((1, len(graph)), dtype=bool))
    np.testing.assert_allclose(empty.metric[0], ends.empty, atol=2e-5)
    worth = ends.worth(by_node)
    assert worth.f[0] == pytest.approx(1, abs=1e-4)
    assert ends.worth(empty).f[0] == pytest.approx(0, abs=1e-4)
    # Prompts count as often as they are named.
    drawn = np.array([3, 0, 3])
    expected = (by_node.metric[:, drawn].mean(1) - ends.empty[drawn].mean()) / (ends.model - ends.empty)[drawn].mean()
    np.testing.assert_allclose(ends.worth(by_node, drawn).f, expected)
    np.testing.assert_array_equal(ends.worth(by_node, drawn).right, by_node.right[:, [3, 0, 3]].sum(1))


def test_a_prompt_is_right_where_its_answer_stands_above_all_wrong_ones() -> None:
    model = random_model("gpt2")
    case = case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))
    ends = Ends.of(case)
    # The metric is the difference of the two logits.
    np.testing.assert_array_equal(ends.right, ends.model > 0)


def test_ends_that_differ_by_rounding_do_not_differ() -> None:
    model = np.array([1.0, 2.0])
    assert Ends(model, model - 0.1, model > 0).differ
    assert not Ends(model, model * (1 + 1e-8), model > 0).differ
    assert not Ends(0 * model, 0 * model, model > 0).differ
