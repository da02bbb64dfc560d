"""Edges and circuits of models that norm what heads write, or their queries and keys, are transformers' own modules."""

from functools import cache

import numpy as np
import pytest
import torch

import families_gpt
import families_llama
from plain_blocks import PlainWithin
from small_models import filled_model
from vitro.circuits import Circuit, Constants, Graph, counterfactual, cut_edges, run_circuits, run_within
from vitro.circuits.in_model import InModel
from vitro.circuits.node_sets import run_node_sets
from vitro.engine import Finals, mean_activations, sweep, z
from vitro.models import Model

# Of three lengths; partners differ from position 2 and 1 on.
PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4], [0, 6, 2, 4, 7, 7, 1]]
PARTNERS = [[0, 5, 10, 3, 7, 8], [0, 6, 9, 4], [0, 6, 2, 11, 7, 7, 5]]
MAKERS = {**families_llama.MAKERS, **families_gpt.MAKERS}
FAMILIES = ["gemma2", "gemma3_text", "olmo2", "olmo2-biases-tied", "qwen3", "mpt-cut-off", "bloom"]
of_each_family = pytest.mark.parametrize("name", FAMILIES)


@cache
def exact(name: str) -> Model:
    """In float64."""
    model = filled_model(MAKERS[name]())
    model.hf.double()
    return model


@cache
def absent(name: str) -> Constants:
    return counterfactual(exact(name), PROMPTS, PARTNERS)


def logits(finals: Finals) -> dict[str, torch.Tensor]:
    return {"logits": finals.logits}


def random_masks(graph: Graph) -> np.ndarray:
    """Circuits of every density; in some, heads lack queries or keys."""
    draw = np.random.default_rng(0)
    masks = draw.random((3, len(graph))) < np.array([0.3, 0.7, 0.95])[:, None]
    masks[0, graph.input_of == 0] = False
    return masks


@of_each_family
def test_a_circuit_within_the_model_adds_up_heads_before_their_norm(name: str) -> None:
    model, graph = exact(name), Graph.of(exact(name))
    masks = random_masks(graph)
    ours = run_within(model, PROMPTS, masks, absent(name), logits)["logits"]
    for circuit, mask in enumerate(graph.pruned(masks)):
        edges = [edge for edge, has in zip(graph.edges, mask, strict=True) if has]
        with torch.no_grad():
            slow = PlainWithin(model, PROMPTS[circuit], circuit, edges, absent(name)).logits()
        torch.testing.assert_close(ours[circuit, circuit].double(), slow, atol=2e-5, rtol=0)
    assert (ours[:-1] - ours[1:]).abs().amax(-1).min() > 1e-3


@of_each_family
def test_a_set_of_nodes_is_all_edges_among_them(name: str) -> None:
    model, graph = exact(name), Graph.of(exact(name))
    sets = np.random.default_rng(1).random((9, len(graph.sources))) < np.linspace(0.1, 0.95, 9)[:, None]
    masks = [graph.among([node for node, has in zip(graph.sources, row, strict=True) if has]) for row in sets]
    ours = run_node_sets(InModel.of(model, PROMPTS, absent(name)), sets, logits)["logits"]
    edges = run_within(model, PROMPTS, np.stack(masks), absent(name), logits)["logits"]
    torch.testing.assert_close(ours, edges, atol=2e-5, rtol=0)
    assert (ours[-1] - ours[0]).abs().amax(-1).min() > 1e-3


@of_each_family
def test_a_cut_edge_is_the_circuit_of_all_others(name: str) -> None:
    model, graph = exact(name), Graph.of(exact(name))
    for layer in (1, model.shape.n_layers):
        edges = graph.edges_into(layer)
        only = list(range(0, len(edges), 5))
        masks = np.ones((len(only), len(graph)), dtype=bool)
        masks[np.arange(len(only)), [graph.number[edges[number]] for number in only]] = False
        cut = cut_edges(model, PROMPTS, layer, absent(name), logits, only=only)["logits"]
        circuits = run_within(model, PROMPTS, masks, absent(name), logits)["logits"]
        torch.testing.assert_close(cut, circuits, atol=2e-5, rtol=0)
        assert cut.std(0).max() > 1e-3


@of_each_family
def test_the_models_own_stream_in_vitro_has_its_heads_normed_together(name: str) -> None:
    model = exact(name)
    last = model.shape.n_layers - 1
    means = mean_activations(model, [prompt[:4] for prompt in PROMPTS])
    at_means = {"mean": Constants.of(means)}
    prompts, heads = [prompt[:4] for prompt in PROMPTS], [(0, 1), (last, 0)]
    circuit = Circuit.wire(
        f"mean: {', '.join(f'a{layer}.h{head}' for layer, head in heads)}\nresid_post{last} -> logits"
    )
    ours = run_circuits(model, prompts, [circuit], logits, constants=at_means)["logits"][0]
    edits = tuple(edit for at in heads for edit in at_means["mean"].in_place_of(z(*at), 4))
    torch.testing.assert_close(ours, sweep(model, prompts, [edits], logits)["logits"][0], atol=2e-5, rtol=0)


@pytest.mark.parametrize("value_bias", ["excluded", "included"])
@pytest.mark.parametrize("name", ["gemma2", "olmo2-biases-tied"])
def test_wired_heads_with_their_biases_write_what_the_model_does_of_the_same_stream(name: str, value_bias: str) -> None:
    model = exact(name)
    heads = [f"a0.h{head}" for head in range(model.shape.n_heads)]
    wired = Circuit.wire(
        f"input -> {', '.join(heads)}\ninput, {', '.join(heads)}, b0 -> m0\ninput, {', '.join(heads)}, b0, m0 -> logits"
    )
    own = Circuit.wire("resid_post0 -> logits")
    ours = run_circuits(model, PROMPTS, [wired, own], logits, value_bias=value_bias)["logits"]
    torch.testing.assert_close(ours[0], ours[1], atol=2e-5, rtol=0)
