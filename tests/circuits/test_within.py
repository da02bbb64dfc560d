"""Circuits within the model equal transformers' own modules, node by node; what has no effect changes nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.slow_within import SlowWithin
from slow import slow_logits
from small_models import random_model
from vitro.circuits import Constants, Graph, counterfactual, node, resampled, run_within
from vitro.engine import Edit, Finals, mean_activations, mlp_out, sweep, z
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 3, 7, 8, 11], [0, 6, 2], [0, 5, 9, 4, 7]]
PARTNERS = [[0, 5, 10, 3, 7, 8], [0, 5, 10, 12, 7, 8, 11], [0, 6, 4], [0, 5, 10, 4, 1]]
ALIKE = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 5, 9, 6, 7]]
SENTENCES = [[0, 5, 9, word, 7] for word in (3, 8, 11, 30)]
FAMILIES = [
    "gpt2",
    "neox-parallel",
    "neox-sequential-full-rotation",
    "llama-gqa-3",
    "mistral-window",
    "qwen2",
]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def zero(model: Model) -> Constants:
    shape = model.shape
    return Constants(
        torch.zeros(1, 1, shape.d_model),
        torch.zeros(shape.n_layers, 1, 1, shape.n_heads, shape.d_head),
        torch.zeros(shape.n_layers, 1, 1, shape.d_model),
    )


def random_masks(graph: Graph, n: int, seed: int = 0) -> np.ndarray:
    """Circuits of every density, most with heads that lack queries or keys."""
    draw = np.random.default_rng(seed)
    masks = draw.random((n, len(graph))) < np.geomspace(0.03, 1.0, n)[:, None]
    for mask in masks[::3]:
        nodes = draw.choice(np.arange(1, len(graph.nodes) - 1), size=4)
        mask[np.isin(graph.reader_of, nodes) & (graph.input_of == draw.integers(2))] = False
    return masks


def slow(model: Model, prompts: list[list[int]], mask: np.ndarray, absent: Constants) -> Tensor:
    edges = [Graph.of(model).edges[number] for number in np.flatnonzero(mask)]
    return torch.stack([SlowWithin(model, prompt, i, edges, absent).logits() for i, prompt in enumerate(prompts)])


@pytest.mark.parametrize("name", FAMILIES)
def test_thirty_random_circuits_equal_plain_modules_with_hooks(name: str) -> None:
    model = random_model(name)
    masks = random_masks(Graph.of(model), 30)
    absent = counterfactual(model, PROMPTS, PARTNERS)
    logits = run_within(model, PROMPTS, masks, absent, final_logits)["logits"]
    moved = []
    clean = slow_logits(model, PROMPTS, [()])[0]
    for number, mask in enumerate(masks):
        expected = slow(model, PROMPTS, mask, absent)
        torch.testing.assert_close(logits[number].double(), expected, atol=1e-4, rtol=0)
        moved.append(float((expected - clean).abs().max()))
    assert sum(change > 0.01 for change in moved) > 25
    assert len({round(change, 4) for change in moved}) > 20


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel", "llama-gqa-3", "gpt2-untied-one-head"])
@pytest.mark.parametrize("kind", ["resampled", "mean", "zero"])
def test_every_ablation_equals_plain_modules_with_hooks(name: str, kind: str) -> None:
    model = random_model(name)
    absent = {
        "resampled": lambda: resampled(model, ALIKE, seed=1),
        "mean": lambda: Constants.of(mean_activations(model, SENTENCES), since=3),
        "zero": lambda: zero(model),
    }[kind]()
    masks = random_masks(Graph.of(model), 6, seed=1)
    logits = run_within(model, ALIKE, masks, absent, final_logits)["logits"]
    for number, mask in enumerate(masks):
        torch.testing.assert_close(logits[number].double(), slow(model, ALIKE, mask, absent), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_edges_are_the_model_and_none_are_the_ablated_run(name: str) -> None:
    model = random_model(name)
    graph = Graph.of(model)
    masks = np.stack([graph.among(graph.nodes), graph.mask([])])
    absent = counterfactual(model, PROMPTS, PARTNERS)
    everything, nothing = run_within(model, PROMPTS, masks, absent, final_logits)["logits"]
    plain, partners = (slow_logits(model, prompts, [()])[0] for prompts in (PROMPTS, PARTNERS))
    torch.testing.assert_close(everything, plain, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(nothing, partners, atol=1e-5, rtol=1e-6)
    assert (plain - partners).abs().amax(-1).min() > 0.1


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["counterfactual", "zero"])
def test_a_set_of_nodes_is_the_model_with_the_outputs_of_all_others_edited(name: str, kind: str) -> None:
    model = random_model(name)
    graph, shape = Graph.of(model), model.shape
    absent = zero(model) if kind == "zero" else counterfactual(model, PROMPTS, PARTNERS)
    # The input is a node too, and stays; the first MLP reads it and is read by all, so nothing is pruned.
    names = ["a0.h1", "m0", "a1.h0", "a1.h2", "m1", "a2.h1", "a2.h3"]
    mask = graph.among([graph.sources[0], *map(node, names)])
    others = [source for source in graph.sources[1:] if str(source) not in names]
    variant = tuple(
        Edit(mlp_out(source.layer), absent.mlp_out[source.layer])
        if source.head < 0
        else Edit(z(source.layer, source.head), absent.z[source.layer, :, :, source.head])
        for source in others
    )
    assert len(others) + len(names) == shape.n_layers * (shape.n_heads + 1)
    within = run_within(model, PROMPTS, mask[None], absent, final_logits)["logits"]
    edited = sweep(model, PROMPTS, [variant, ()], final_logits)["logits"]
    torch.testing.assert_close(within[0], edited[0], atol=1e-5, rtol=1e-6)
    assert (edited[0] - edited[1]).abs().max() > 0.1
