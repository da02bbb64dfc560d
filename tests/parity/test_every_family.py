"""In every family, edits, edges and circuits within the model are what hooks on transformers' own modules give."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import families_gpt
import families_llama
import small_models
from circuits import wirings
from circuits.slow_circuits import slow_logits as slow_circuit
from circuits.slow_edges import slow_cut
from circuits.slow_within import SlowWithin
from edits import PROMPTS, every_kind
from slow import slow_logits, slow_one, slow_run
from vitro.circuits import (
    Circuit,
    Constant,
    Constants,
    Graph,
    InModel,
    cut_edges,
    resampled,
    run_circuits,
    run_node_sets,
    run_within,
)
from vitro.engine import Finals, Variant, activations, mean_activations, sweep
from vitro.models import FAMILIES, Model

MAKERS: dict[str, Callable[[], Any]] = families_gpt.MAKERS | families_llama.MAKERS | small_models.MAKERS
NEW = [name for name in MAKERS if name not in small_models.MAKERS]
"""Configurations of families whose edits are not in `test_edits`."""
TYPES = [name for name in NEW if "-" not in name]
"""One of each model type."""
WIRED = [
    *["gpt2", "llama-gqa-3", "mistral-window", "qwen2", "neox-parallel", "neox-sequential-full-rotation"],
    *["gpt_bigcode-a-key-for-each-head", "phi-normed-grouped", "mpt-cut-off", "stablelm-normed-parallel"],
    *["falcon-new-two-norms", "falcon-alibi-groups", "falcon-alibi-sequential"],
    *["olmoe-all-chosen", "cohere2-untied", "gpt_oss-cut-off"],
    *TYPES,
]
"""Configurations whose edges and circuits are run: one of each type, and some that are wired otherwise."""
ALIKE = [[0, 5, 9, 3, 7, 2], [0, 5, 9, 4, 7, 2], [0, 6, 2, 3, 1, 8]]


@cache
def model_of(name: str) -> Model:
    return small_models.random_model(name)


def test_every_model_type_that_is_read_has_a_configuration_here() -> None:
    here = {model_of(name).hf.config.model_type for name in WIRED}
    assert here == {model_type for family in FAMILIES for model_type in family.model_types}


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def differ(name: str, kinds: dict[Any, Variant], on: Callable[[int], Iterable[int]]) -> None:
    """Every edit is what hooks give, within 1e-4, on some of the prompts, and changes something."""
    model = model_of(name)
    clean, *edited = sweep(model, PROMPTS, [(), *kinds.values()], final_logits)["logits"]
    for number, prompt in enumerate(PROMPTS):
        apart = (clean[number] - slow_one(model, prompt, number, ())).abs().max()
        assert apart <= 1e-4, f"without an edit, prompt {number}: {apart:.1e}"
    for row, (kind, variant) in enumerate(kinds.items()):
        assert (edited[row] - clean).abs().max() > 1e-3, f"{kind} changes nothing, so the test shows nothing"
        for number in on(row):
            apart = (edited[row][number] - slow_one(model, PROMPTS[number], number, variant)).abs().max()
            assert apart <= 1e-4, f"{kind}, prompt {number}: {apart:.1e}"


@pytest.mark.parametrize("name", TYPES)
def test_every_kind_of_edit_in_first_middle_and_last_layer(name: str) -> None:
    model = model_of(name)
    last = model.shape.n_layers - 1
    layers = sorted({0, last // 2, last})
    kinds = {(layer, kind): edit for layer in layers for kind, edit in every_kind(model, layer).items()}
    differ(name, kinds, lambda row: range(len(PROMPTS)))


@pytest.mark.parametrize("name", WIRED)
def test_what_is_read_at_every_place(name: str) -> None:
    model, prompts = model_of(name), PROMPTS[2:]
    places = ["resid_pre", "attn_out", "mlp_out", "resid_post", "z", "pattern"]
    given = activations(model, prompts, places)
    for number, prompt in enumerate(prompts):
        seen = slow_run(model, prompt)
        for layer in range(model.shape.n_layers):
            expected = {
                "hook_resid_pre": seen.resid_pre[layer],
                "hook_attn_out": seen.resid_mid[layer] - seen.resid_pre[layer],
                "attn.hook_z": seen.z[layer],
                "attn.hook_pattern": seen.attention[layer],
                "hook_mlp_out": seen.mlp_out[layer],
                "hook_resid_post": seen.resid_post[layer],
            }
            for place, value in expected.items():
                apart = (given.of(f"blocks.{layer}.{place}", number) - value).abs().max()
                assert apart <= 1e-4, f"blocks.{layer}.{place}, prompt {number}: {apart:.1e}"


@pytest.mark.parametrize("name", [name for name in NEW if name not in TYPES])
def test_an_edit_of_each_kind_of_site_in_every_configuration(name: str) -> None:
    model = model_of(name)
    kinds: dict[Any, Variant] = {}
    for number, (kind, variant) in enumerate(every_kind(model, 0).items()):
        if variant[0].site.hook not in kinds:
            kinds[variant[0].site.hook] = every_kind(model, number % model.shape.n_layers)[kind]
    differ(name, kinds, lambda row: [row % len(PROMPTS)])


@pytest.mark.parametrize("name", WIRED)
def test_twenty_edges_cut_alone(name: str) -> None:
    model, draw = model_of(name), np.random.default_rng(1)
    constants, n_layers = resampled(model, ALIKE, seed=1), model.shape.n_layers
    moved, clean = [], slow_logits(model, ALIKE, [()])[0]
    for layer in range(n_layers + 1):
        edges = Graph.of(model).edges_into(layer)
        chosen = np.sort(draw.choice(len(edges), size=min(len(edges), -(-20 // (n_layers + 1))), replace=False))
        logits = cut_edges(model, ALIKE, layer, constants, final_logits, only=chosen.tolist())["logits"]
        for row, number in enumerate(chosen.tolist()):
            prompt = row % len(ALIKE)
            expected = slow_cut(model, ALIKE[prompt], prompt, edges[number], constants, since=0)
            difference = (logits[row, prompt] - expected).abs().max()
            assert difference <= 1e-4, f"{edges[number]}: {difference:.1e}"
            moved.append(float((expected - clean[prompt]).abs().max()))
    assert max(moved) > 0.01


@pytest.mark.parametrize("name", WIRED)
def test_ten_circuits_within_the_model_by_edges_and_by_nodes(name: str) -> None:
    model, draw = model_of(name), np.random.default_rng(2)
    graph, absent = Graph.of(model), resampled(model, ALIKE, seed=1)
    masks = draw.random((10, len(graph))) < np.linspace(0.3, 0.95, 10)[:, None]
    sets = draw.random((10, len(graph.sources))) < np.linspace(0.5, 0.95, 10)[:, None]
    sets[:, 0] = True
    by_nodes = [
        graph.among([*(node for node, chosen in zip(graph.sources, row, strict=True) if chosen), graph.nodes[-1]])
        for row in sets
    ]
    logits = {
        "edges": run_within(model, ALIKE, masks, absent, final_logits)["logits"],
        "nodes": run_node_sets(InModel.of(model, ALIKE, absent), sets, final_logits)["logits"],
    }
    moved, clean = [], slow_logits(model, ALIKE, [()])[0]
    for kind, circuits in {"edges": masks, "nodes": np.stack(by_nodes)}.items():
        for number, mask in enumerate(circuits):
            prompt = number % len(ALIKE)
            edges = [graph.edges[at] for at in np.flatnonzero(mask)]
            expected = SlowWithin(model, ALIKE[prompt], prompt, edges, absent).logits()
            difference = (logits[kind][number, prompt] - expected).abs().max()
            assert difference <= 1e-4, f"{kind} {number}: {difference:.1e}"
            moved.append(float((expected - clean[prompt]).abs().max()))
    assert sum(change > 0.01 for change in moved) > 10


@pytest.mark.parametrize("name", WIRED)
def test_every_wiring_in_vitro(name: str) -> None:
    model, prompts = model_of(name), wirings.PROMPTS[:2]
    shape = model.shape
    value_bias = torch.stack([model.folded_value_bias(layer) for layer in range(shape.n_layers)])[:, None, None]
    constants: dict[Constant, Constants] = {
        "zero": Constants(
            torch.zeros(1, 1, shape.d_model), value_bias, torch.zeros(shape.n_layers, 1, 1, shape.d_model)
        ),
        "mean": Constants.of(mean_activations(model, wirings.SENTENCES)),
        "resample": resampled(model, prompts, seed=3),
    }
    circuits = [Circuit.wire(text) for text in wirings.WIRINGS.values()]
    marks = {"subject": (wirings.SUBJECT,) * len(prompts)}
    logits = run_circuits(model, prompts, circuits, final_logits, marks=marks, constants=constants)["logits"]
    for ours, circuit in zip(logits, circuits, strict=True):
        apart = (ours - slow_circuit(model, prompts, circuit, wirings.SUBJECT, constants)).abs().max()
        assert apart <= 1e-4, f"{circuit}: {apart:.1e}"
    assert len(logits.unique(dim=0)) == len(circuits)
