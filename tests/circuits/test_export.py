"""Circuits that are subgraphs of a model go to EAP-IG's format and back; others say why they cannot."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from small_models import random_model
from vitro.circuits import Circuit, CircuitError, Constants, from_mib, run_circuits, to_mib
from vitro.engine import Finals
from vitro.models import Model
from vitro.models.load import family_of

SMALL = "input -> m0; input, m0 -> a1.h1<q>, a1.h1<k>; m0 -> a1.h1<v>; a1.h1 -> m2; a1.h1, m2 -> logits"
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3"]


@cache
def model(name: str = "gpt2") -> Model:
    return random_model(name)


def gpt2_small_sized() -> Model:
    config = GPT2Config(n_layer=12, n_head=12, n_embd=12, n_positions=8, vocab_size=10)
    return family_of("gpt2").of(GPT2LMHeadModel(config).eval(), tokenizer=None)


def listed_by_hand(n_layers: int, n_heads: int, parallel: bool) -> set[str]:
    """Every edge of a model's graph, from what each component reads: all that was written before it."""

    def written(layer: int, with_heads: bool) -> list[str]:
        heads = [f"a{at}.h{number}" for at in range(layer + with_heads) for number in range(n_heads)]
        return ["input", *heads, *(f"m{at}" for at in range(layer))]

    to_heads = {
        f"{source}->a{layer}.h{number}<{letter}>"
        for layer in range(n_layers)
        for number in range(n_heads)
        for source in written(layer, with_heads=False)
        for letter in "qkv"
    }
    to_mlps = {f"{source}->m{layer}" for layer in range(n_layers) for source in written(layer, with_heads=not parallel)}
    return to_heads | to_mlps | {f"{source}->logits" for source in written(n_layers, with_heads=False)}


def test_a_file_is_what_eap_ig_writes() -> None:
    graph = to_mib(Circuit.wire(SMALL), model())
    assert list(graph) == ["cfg", "nodes", "edges"]
    assert graph["cfg"] == {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 32}
    assert list(graph["nodes"])[:7] == ["input", "a0.h0", "a0.h1", "a0.h2", "a0.h3", "m0", "a1.h0"]
    assert list(graph["nodes"])[-1] == "logits"
    assert list(graph["edges"])[:4] == ["input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>", "input->a0.h1<q>"]
    for entry in graph["edges"].values():
        assert entry == {"score": float(entry["in_graph"]), "in_graph": entry["in_graph"]}
    # With a score on its nodes, EAP-IG cannot save the file again.
    assert all(list(entry) == ["in_graph"] for entry in graph["nodes"].values())
    assert {name for name, entry in graph["nodes"].items() if entry["in_graph"]} == {
        *("input", "m0", "a1.h1", "m2", "logits")
    }
    assert {name for name, entry in graph["edges"].items() if entry["in_graph"]} == {
        *("input->m0", "input->a1.h1<q>", "input->a1.h1<k>", "m0->a1.h1<q>", "m0->a1.h1<k>", "m0->a1.h1<v>"),
        *("a1.h1->m2", "a1.h1->logits", "m2->logits"),
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_all_edges_of_the_model_are_listed_and_no_others(name: str) -> None:
    shape = model(name).shape
    graph = to_mib(Circuit.wire("input -> logits"), model(name))
    assert set(graph["edges"]) == listed_by_hand(shape.n_layers, shape.n_heads, model(name).parallel)
    assert len(graph["nodes"]) == shape.n_layers * (shape.n_heads + 1) + 2


def test_gpt2_small_has_32491_edges_and_goes_round() -> None:
    big, circuit = gpt2_small_sized(), Circuit.wire("input -> m0; input, m0 -> a9.h1, a10.h3; a9.h1, a10.h3 -> logits")
    text = json.dumps(to_mib(circuit, big))
    assert from_mib(json.loads(text)) == circuit
    assert len(json.loads(text)["edges"]) == 32_491


def subgraphs(draw: Callable[[Any], Any], parallel: bool) -> Circuit:
    """Any circuit that is a part of a model with two layers of two heads, wherever its edges lead."""
    known, lines = ["input"], []
    for layer in range(2):
        heads = [f"a{layer}.h{number}" for number in range(2)]
        for name in [*heads, f"m{layer}", *(["logits"] if layer else [])]:
            earlier = [source for source in known if name not in heads or source not in heads]
            earlier = [source for source in earlier if not (parallel and name == f"m{layer}" and source in heads)]
            apart = draw(st.booleans()) and name in heads
            optional = 0 if name not in heads and name != "logits" else 1
            for letter in ("<q>", "<k>", "<v>") if apart else ("",):
                sources = draw(st.lists(st.sampled_from(earlier), min_size=optional, unique=True))
                if sources:
                    lines.append(f"{', '.join(sources)} -> {name}{letter}")
                    known += [] if name in known or name == "logits" else [name]
    return Circuit.wire("\n".join(lines))


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel"])
@given(data=st.data())
def test_any_subgraph_goes_round_but_for_what_leads_nowhere(name: str, data: st.DataObject) -> None:
    circuit = subgraphs(data.draw, model(name).parallel)
    again = from_mib(json.loads(json.dumps(to_mib(circuit, model(name)))))
    idle = {node for node in circuit.order if node not in again.order}
    assert again == circuit.without(*idle)
    reach = {edge.source for edge in again.edges}
    assert all(edge.reader in reach or str(edge.reader) == "logits" for edge in again.edges)
    assert not any(edge.reader in again.order for edge in circuit.edges - again.edges)


PROMPTS = [[1, 2, 10, 3], [1, 2, 11, 3]]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits, "clean": finals.clean.logits.expand_as(finals.logits)}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_whole_model_read_back_with_its_biases_is_the_model(name: str) -> None:
    shape = model(name).shape
    heads = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    graph = to_mib(Circuit.within(model(name), heads), model(name))
    assert all(entry["in_graph"] for entry in graph["edges"].values())
    logits = run_circuits(model(name), PROMPTS, [from_mib(graph, output_bias="included")], final_logits)
    torch.testing.assert_close(logits["logits"], logits["clean"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stream_is_written_as_the_edges_that_it_stands_for(name: str) -> None:
    small = model(name)
    zero = Constants(
        torch.zeros(1, 1, small.shape.d_model),
        torch.stack([small.folded_value_bias(layer) for layer in range(small.shape.n_layers)])[:, None, None],
        torch.zeros(small.shape.n_layers, 1, 1, small.shape.d_model),
    )
    inside = Circuit.within(small, ["1.1", "2.0", "2.3", "m2"], "zero", mlps="ablated", heads_of=range(1, 3))
    apart = Circuit.wire("zero: a0.h0-2; resid_post1 -> a2.h0, a2.h1; resid_post0, a2.h1 -> logits")
    again = [from_mib(to_mib(circuit, small), output_bias="included") for circuit in (inside, apart)]
    assert all(edge.source.kind.name != "stream" for circuit in again for edge in circuit.edges)
    logits = run_circuits(small, PROMPTS, [inside, again[0]], final_logits, constants={"zero": zero})["logits"]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-4, rtol=1e-4)
    assert {str(edge) for edge in again[1].edges if str(edge.reader) == "logits" and str(edge.source)[0] != "b"} == {
        *("input->logits", "m0->logits", "a2.h1->logits"),
        *(f"a0.h{head}->logits" for head in range(3, small.shape.n_heads)),
    }


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("input -> a1.h1[subject]; a1.h1 -> logits", "gpt2", r"a1.h1\[subject\] is pinned"),
        ("input -> a2.h0; a2.h0 -> m1; m1 -> logits", "gpt2", "a2.h0->m1: .* m1 is computed before a2.h0"),
        ("input -> a1.h0; a1.h0 -> m1; m1 -> logits", "neox-parallel", "a1.h0->m1: .* beside"),
        ("input -> a1.h0; a1.h0 -> a1.h1; a1.h1 -> logits", "gpt2", "a1.h0->a1.h1<k>: .* beside"),
        ("zero: m0; m0 -> m1; m1, input -> logits", "gpt2", "m1 reads constants or biases alone"),
        ("input -> m0; b0 -> m1; m0, m1 -> logits", "gpt2", "m1 reads constants or biases alone"),
        ("resid_post1, input -> logits", "gpt2", "logits reads input more than once"),
        ("resid_post0, resid_post1 -> logits", "gpt2", "more than once"),
        ("input -> a3.h0; a3.h0 -> logits", "gpt2", "no a3.h0 in this model"),
    ],
)
def test_what_is_no_subgraph_says_why(text: str, name: str, reason: str) -> None:
    with pytest.raises(CircuitError, match=reason):
        to_mib(Circuit.wire(text), model(name))


def test_biases_and_constants_have_no_node_and_are_left_out() -> None:
    with_them = Circuit.wire("mean: m1; input -> a0.h1; a0.h1, b0, m1 -> m2; m2, b0, b2 -> logits")
    assert from_mib(to_mib(with_them, model())) == Circuit.wire("input -> a0.h1; a0.h1 -> m2; m2 -> logits")


def graph(*in_graph: str, **changed: Any) -> dict[str, Any]:
    """A file with these edges in the graph, in parts changed."""
    file = to_mib(Circuit.wire("input -> logits"), model())
    for name, entry in file["edges"].items():
        entry["in_graph"] = name in in_graph
    return {**file, **changed}


def test_what_nothing_leads_to_and_what_leads_nowhere_is_left_out() -> None:
    edges = ["input->m0", "m0->logits", "m0->m2", "m1->m2", "m1->logits", "input->a1.h0<q>", "a1.h1->logits"]
    assert from_mib(graph(*edges)) == Circuit.wire("input -> m0; m0 -> logits")


def test_a_head_that_lacks_an_input_is_told_and_biases_fill_it() -> None:
    file = graph("input->a1.h0<v>", "a1.h0->logits")
    with pytest.raises(CircuitError, match=r"a1.h0 reads nothing by q, k; .* output_bias='included'"):
        from_mib(file)
    assert str(from_mib(file, output_bias="included")) == (
        "b0 -> a1.h0<q>, a1.h0<k>\ninput, b0 -> a1.h0<v>\na1.h0, b0, b1, b2 -> logits"
    )
    with pytest.raises(CircuitError, match=r"a0.h0 reads nothing by q, k; .* place$"):
        from_mib(graph("input->a0.h0<v>", "a0.h0->logits"), output_bias="included")


def test_older_files_that_give_nodes_true_or_false_and_no_width_are_read() -> None:
    file = graph("input->m0", "m0->logits")
    file["nodes"] = {name: entry["in_graph"] for name, entry in file["nodes"].items()}
    del file["cfg"]["d_model"]
    assert from_mib(file) == Circuit.wire("input -> m0; m0 -> logits")


def test_a_file_on_disk_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "circuit.json"
    path.write_text(json.dumps(to_mib(Circuit.wire(SMALL), model())))
    assert from_mib(path) == from_mib(str(path)) == Circuit.wire(SMALL)


@pytest.mark.parametrize("content", [b"a9.h1 -> logits", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "circuit.json"
    path.write_bytes(content)
    with pytest.raises(CircuitError, match=r"circuit.json: it(s JSON)? is n"):
        from_mib(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match=r"none.json: there is no such file"):
        from_mib(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cfg": None}, "cfg, nodes and edges"),
        ({"edges": []}, "cfg, nodes and edges"),
        ({"cfg": {}}, "n_layers and n_heads, whole numbers"),
        ({"cfg": {"n_layers": True, "n_heads": 4, "parallel_attn_mlp": False}}, "whole numbers"),
        ({"cfg": {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": "no"}}, "true or false"),
        ({"nodes": {"m3": {"in_graph": True}}}, "'m3' is no node of a model with 3 layers of 4 heads"),
        ({"nodes": {"a0.h4": {"in_graph": True}}}, "'a0.h4' is no node"),
        ({"nodes": {"m0.17": True}}, r"'m0.17' is no node"),
        ({"nodes": {"0.1": True}}, r"'0.1' is no node"),
        ({"nodes": {"b1": True}}, "'b1' is no node"),
        ({"nodes": {"m0": {"score": 1.0}}}, 'm0: its entry should hold "in_graph"'),
        ({"nodes": {"m0": {"in_graph": True, "neurons": [True, False]}}}, "only some of m0's neurons"),
        ({"edges": {"m1->m0": {"in_graph": True}}}, "'m1->m0' is no edge"),
        ({"edges": {"input->m0": {"in_graph": 1}}}, "input->m0: its entry"),
        ({"edges": {"input->m0<q>": {"in_graph": True}}}, "'input->m0<q>' is no edge"),
        ({"edges": {"input->a0.h0": {"in_graph": True}}}, "'input->a0.h0' is no edge"),
        ({"edges": {"logits->m0": {"in_graph": True}}}, "'logits->m0' is no edge"),
        ({"edges": {"input": {"in_graph": True}}}, "'input' is no edge"),
        ({}, "no edge is in the graph; .* scores"),
        ({"edges": {"input->m0": {"in_graph": True}}}, "on a way from the input to the logits"),
    ],
)
def test_a_file_that_is_no_circuit_is_told_with_the_reason(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(CircuitError, match=words):
        from_mib(graph(**changed))
