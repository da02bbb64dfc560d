"""Circuits within the model as values: what they can be, their text, and what is made of them."""

import json
import time
from itertools import compress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from small_models import random_model
from vitro.circuits import (
    CONSTANTS,
    INPUT,
    LOGITS,
    MOST_BOXES,
    Circuit,
    CircuitError,
    Constant,
    Edge,
    Graph,
    boxes_and_arrows,
    from_mib,
    node,
    recast,
    to_mib,
)

GRAPHS = {name: Graph.of(random_model(name)) for name in ("gpt2", "neox-parallel", "llama-gqa-3")}
WITHIN = "absent: counterfactual\ninput -> a0.h1<v>\na0.h1 -> m0\ninput, m0 -> a1.h2<k>\na1.h2 -> logits"


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=30)
@given(data=st.data())
def test_any_edges_go_through_text_and_files_and_back(name: str, data: st.DataObject) -> None:
    graph = GRAPHS[name]
    seed, share = data.draw(st.integers(0, 2**16)), data.draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
    mask = np.random.default_rng(seed).random(len(graph)) < share
    kind: Constant = data.draw(st.sampled_from(CONSTANTS))
    circuit = Circuit.of(graph, mask, kind)
    assert circuit.edges == set(compress(graph.edges, mask))
    assert (graph.mask(circuit.edges) == mask).all()
    assert str(circuit).startswith(f"absent: {kind}")
    again = Circuit.wire(str(circuit))
    assert again == circuit
    assert again.absent == kind
    if (pruned := graph.pruned(mask)).any():
        file = json.loads(json.dumps(to_mib(circuit, random_model(name))))
        assert from_mib(file, absent=kind) == Circuit.of(graph, pruned, kind)


def test_a_circuit_of_all_of_gpt2_smalls_edges_is_made_printed_and_read_at_once() -> None:
    graph = Graph(12, 12, parallel=False)
    masks = [np.ones(len(graph), bool), np.random.default_rng(0).random(len(graph)) < 0.5]
    start = time.perf_counter()
    for mask in masks:
        circuit = Circuit.of(graph, mask, "counterfactual")
        assert Circuit.wire(str(circuit)) == circuit
        assert len(circuit.order) == 158
    # Seconds on an idle machine: 0.3. Sorting the edges pair by pair, or ordering them as in vitro, takes minutes.
    assert time.perf_counter() - start < 20


def test_the_text_says_what_absent_edges_carry_in_its_first_line() -> None:
    circuit = Circuit.wire(WITHIN)
    assert str(circuit) == WITHIN
    assert circuit.absent == "counterfactual"
    assert Circuit.wire(WITHIN.partition("\n")[2] + "; absent: counterfactual") == circuit
    assert circuit != Circuit.wire(WITHIN.replace("counterfactual", "mean"))
    assert Circuit.wire("input -> logits").absent is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("absent: nothing; input -> logits", "line 1: 'nothing' is no kind of constant"),
        ("absent: mean; absent: zero; input -> logits", "line 2: what absent edges carry is said already: mean"),
        ("absent: mean; input -> a1.h1[2]; a1.h1 -> logits", r"a1.h1 is pinned \(2\), .*; what works: edges alone"),
        ("absent: mean; zero: m0; m0 -> logits", r"m0 is at a constant \(zero\), .* what works"),
        ("absent: mean; resid_post1 -> logits", "resid_post1 is no node of the model's graph"),
        ("absent: mean; b0, input -> logits", "b0 is no node of the model's graph"),
        ("absent: mean; a1.h0 -> m0; m0 -> logits", "a1.h0->m0: in the model m0 does not come after a1.h0"),
        ("absent: mean; a1.h0 -> a1.h1", "a1.h0->a1.h1<.>: in the model"),
        ("absent: mean; m1 -> a1.h1", "m1->a1.h1<.>: in the model"),
        ("absent: mean; m0 -> m0", "m0->m0: in the model"),
        ("absent: mean; m0 -> input", "m0->input: in the model"),
        ("absent: mean; logits -> m0", "logits->m0: in the model"),
    ],
)
def test_what_is_no_set_of_a_models_edges_is_told_in_a_line(text: str, words: str) -> None:
    with pytest.raises(CircuitError, match=words) as told:
        Circuit.wire(text)
    assert "\n" not in str(told.value)


def test_an_unknown_ablation_is_refused() -> None:
    with pytest.raises(CircuitError, match="cannot carry 'median'; there are zero"):
        Circuit(frozenset(), absent="median")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("absent: mean; a0.h0 -> m0", "neox-parallel", "no a0.h0->m0 in this model: m0 is computed beside a0.h0"),
        ("absent: mean; input -> a3.h0", "gpt2", "there is no a3.h0"),
        ("absent: mean; input -> a0.h4", "gpt2", "there is no a0.h4"),
    ],
)
def test_a_model_refuses_edges_that_it_has_not(text: str, name: str, words: str) -> None:
    with pytest.raises(CircuitError, match=words):
        Circuit.wire(text).check(random_model(name))


def test_no_edge_at_all_is_a_circuit_too_and_has_input_and_logits() -> None:
    empty = Circuit(frozenset(), absent="mean")
    assert str(empty) == "absent: mean"
    assert Circuit.wire("absent: mean") == empty
    assert empty.order == (INPUT, LOGITS)


def test_a_node_left_out_takes_its_own_edges_alone() -> None:
    circuit = Circuit.wire(WITHIN)
    left = circuit.without(node("a0.h1"))
    assert left.edges == {edge for edge in circuit.edges if node("a0.h1") not in (edge.source, edge.reader)}
    assert left.absent == circuit.absent
    assert circuit.without(*circuit.order).edges == frozenset()


def test_the_components_of_a_set_of_nodes_are_its_heads_and_mlps() -> None:
    graph = GRAPHS["gpt2"]
    nodes = [INPUT, node("a0.h1"), node("m1"), node("a2.h3")]
    circuit = Circuit.of(graph, graph.among(nodes), "resample")
    assert circuit.components(graph.n_heads) == tuple(nodes[1:])
    assert (circuit.kept(graph.n_heads), circuit.until) == ((), -1)


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel"])
def test_a_circuit_recast_has_as_many_edges_of_the_model_and_other_heads_of_the_same_layers(name: str) -> None:
    model, graph = random_model(name), GRAPHS[name]
    circuit = Circuit.of(graph, np.random.default_rng(1).random(len(graph)) < 0.1, "mean")
    drawn = [recast(model, circuit, np.random.default_rng(seed)) for seed in range(5)]
    assert len(set(drawn)) > 1
    for other in drawn:
        other.check(model)
        assert (len(other.edges), other.absent) == (len(circuit.edges), "mean")
        assert [edge.reader.layer for edge in sorted(other.edges)].count(0) == sum(
            edge.reader.layer == 0 for edge in circuit.edges
        )


def test_up_to_sixty_components_are_drawn() -> None:
    boxes, arrows = boxes_and_arrows(Circuit.wire(WITHIN))
    assert boxes["name"].to_list() == ["input", "a0.h1", "m0", "a1.h2", "logits"]
    assert ("m0", "a1.h2", "k") in arrows.rows()
    large = Graph(12, 12, parallel=False)
    with pytest.raises(CircuitError, match=f"158 components, and in a drawing of more than {MOST_BOXES}"):
        boxes_and_arrows(Circuit.of(large, large.among(large.nodes), "mean"))


def test_one_edge_is_a_circuit_within_the_model() -> None:
    assert Circuit(frozenset({Edge(INPUT, LOGITS)}), absent="zero") == Circuit.wire("absent: zero; input -> logits")
