"""Edges cut one at a time equal plain Hugging Face passes in which one reader is given another input by hooks."""

import pytest
import torch
from torch import Tensor

from circuits.slow_edges import slow_cut, slow_z
from slow import slow_logits, slow_run
from small_models import random_model
from vitro.circuits import Constants, Edge, Graph, cut_edges, node, resampled
from vitro.engine import Budget, Edit, Finals, mean_activations, z

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 5, 9, 6, 7]]
SENTENCES = [[0, 5, 9, word, 7] for word in (3, 8, 11, 30)]
SINCE = 3
FAMILIES = ["gpt2", "llama-gqa-3", "neox-parallel", "neox-sequential-full-rotation", "mistral-window"]
# Heads normed together, queries and keys normed, sinks.
FAMILIES += ["gemma2", "olmo2", "gpt_oss"]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["mean", "resample"])
def test_every_edge_equals_plain_passes_with_hooks(name: str, kind: str) -> None:
    model = random_model(name)
    shape = model.shape
    constants = resampled(model, PROMPTS, seed=1)
    if kind == "mean":
        constants = Constants.of(mean_activations(model, SENTENCES), since=SINCE)
    draw = torch.Generator().manual_seed(2)
    moved = 0.0
    clean = slow_logits(model, PROMPTS, [()])[0]
    for layer in range(shape.n_layers + 1):
        edges = Graph.of(model).edges_into(layer)
        logits = cut_edges(model, PROMPTS, layer, constants, final_logits)["logits"]
        assert len(logits) == len(edges)
        for number in torch.randperm(len(edges), generator=draw)[:5].tolist():
            prompt = number % len(PROMPTS)
            expected = slow_cut(model, PROMPTS[prompt], prompt, edges[number], constants, SINCE)
            difference = (logits[number, prompt] - expected).abs().max()
            assert difference <= 1e-4, f"{edges[number]}: {difference:.1e}"
            moved = max(moved, float((expected - clean[prompt]).abs().max()))
    assert moved > 0.1


def test_zero_cuts_reach_every_position() -> None:
    model = random_model("gpt2")
    shape = model.shape
    zero = Constants(
        torch.zeros(1, 1, shape.d_model),
        torch.zeros(shape.n_layers, 1, 1, shape.n_heads, shape.d_head),
        torch.zeros(shape.n_layers, 1, 1, shape.d_model),
    )
    edges = Graph.of(model).edges_into(1)
    logits = cut_edges(model, PROMPTS, 1, zero, final_logits)["logits"]
    number = edges.index(Edge(node("input"), node("a1.h2"), "v"))
    stream = slow_run(model, PROMPTS[0])
    new = stream.resid_pre[1].float() - stream.resid_pre[0].float()
    edit = Edit(z(1, 2), slow_z(model, edges[number], new, PROMPTS[0]))
    torch.testing.assert_close(logits[number, 0], slow_logits(model, PROMPTS[:1], [(edit,)])[0, 0], atol=1e-4, rtol=0)


def test_gpt2_small_has_32491_edges() -> None:
    assert len(Graph(n_layers=12, n_heads=12, parallel=False)) == 32491


def test_edges_do_not_depend_on_the_memory_budget() -> None:
    model = random_model("gpt2")
    constants = resampled(model, PROMPTS, seed=1)
    smallest = Budget.of(model, 10**9).need(len(PROMPTS[0]), 1)
    tight, ample = (
        cut_edges(model, PROMPTS, 2, constants, final_logits, memory=memory)["logits"] for memory in (smallest, 10**9)
    )
    torch.testing.assert_close(tight, ample, atol=1e-5, rtol=0)
