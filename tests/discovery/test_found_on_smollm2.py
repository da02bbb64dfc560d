"""The circuits that a search finds on a real model, checked again by transformers' own modules and plain hooks.

A search takes a minute; so what it found lies in `circuits/`, with the command that found it in the first line.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Bool
from torch import Tensor

from circuits.slow_edge_sets import SlowEdgeSets
from circuits.slow_node_sets import slow_answers, slow_mean, slow_node_sets
from circuits.slow_within import slow_pruned
from vitro.circuits import Circuit, Graph, read_circuit
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS
from vitro.tasks import Task, named

FOLDER = Path(__file__).parent / "circuits"
FAITHFUL = 0.8
MOST_NODES = {"days": 25}
"""Of each task's circuit."""
AT_ONCE = 8
"""Sets of nodes in a pass."""


class Searched:
    """A task as it was searched."""

    def __init__(self, model: Model, task: Task) -> None:
        self.model, self.name, self.graph = model, task.name, Graph.of(model)
        self.questions = task.questions(model.tokenizer, None)
        sentences = task.sentences(self.questions, model.tokenizer, DEFAULT_OPTIONS.samples, DEFAULT_OPTIONS.seed)
        self.absent = slow_mean(model, sentences["mean"].tolist())
        self.empty, self.all = (self.nodes(np.full((1, len(self.graph.sources)), inside)) for inside in (False, True))

    def circuit(self, file: str) -> Circuit:
        circuit = read_circuit(FOLDER / f"smollm2-{self.name}{file}.txt")
        assert circuit.absent == "mean"
        assert len(circuit.components(self.model.shape.n_heads)) <= MOST_NODES[self.name]
        return circuit

    def nodes(self, inside: Bool[np.ndarray, "set source"]) -> Tensor:
        """Final logits of sets of nodes."""
        sets = torch.from_numpy(inside).split(AT_ONCE)
        return torch.cat([slow_node_sets(self.model, self.questions.tokens, some, self.absent) for some in sets])

    def do(self, logits: Tensor) -> Tensor:
        """Which sets are faithful and answer as large a share right of what the model does."""
        (empty,), _ = slow_answers(self.questions, self.empty)
        (full,), (right_full,) = slow_answers(self.questions, self.all)
        values, right = slow_answers(self.questions, logits)
        does: Tensor = ((values - empty) / (full - empty) >= FAITHFUL) & (right >= FAITHFUL * right_full)
        return does


@pytest.fixture(scope="module", params=MOST_NODES)
def searched(request: pytest.FixtureRequest, smollm2: Model) -> Searched:
    return Searched(smollm2, named(request.param))


def test_the_nodes_that_were_found_do_the_task_and_without_any_of_them_do_not(searched: Searched) -> None:
    circuit, sources = searched.circuit("-nodes"), searched.graph.sources
    assert (searched.graph.mask(circuit.edges) == searched.graph.among(circuit.order)).all()
    nodes = circuit.components(searched.model.shape.n_heads)
    inside = np.array([[source in circuit.order and source != left for source in sources] for left in (None, *nodes)])
    whole, *without = searched.do(searched.nodes(inside))
    assert whole
    assert [str(node) for node, does in zip(nodes, without, strict=True) if does] == []


def test_the_edges_that_were_found_do_the_task_and_without_any_of_them_or_any_node_do_not(searched: Searched) -> None:
    circuit = searched.circuit("")
    slow = SlowEdgeSets(searched.model, searched.questions.tokens, searched.absent)
    nodes = circuit.components(searched.model.shape.n_heads)
    parts = {str(edge): {edge} for edge in circuit.edges} | {
        str(node): {edge for edge in circuit.edges if node in (edge.source, edge.reader)} for node in nodes
    }
    sets = [circuit.edges, *(slow_pruned(circuit.edges - part) for part in parts.values())]
    whole, *without = searched.do(torch.stack([slow.logits(edges) for edges in sets]))
    assert whole
    assert [name for name, does in zip(parts, without, strict=True) if does] == []
