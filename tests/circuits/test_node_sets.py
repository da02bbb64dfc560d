"""Sets of nodes with all edges among them: run layer by layer, they are what plain modules and sets of edges give."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.slow_node_sets import slow_node_sets, slow_outputs
from small_models import hf_model, random_model
from vitro.circuits import CircuitError, Constants, Graph, InModel, counterfactual, run_node_sets, run_within
from vitro.engine import Finals, MemoryBudgetError, NotFiniteError
from vitro.models import Model
from vitro.models.load import family_of

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 3, 7, 8, 11], [0, 6, 2], [0, 5, 9, 4, 7]]
PARTNERS = [[0, 5, 10, 3, 7, 8], [0, 5, 10, 12, 7, 8, 11], [0, 6, 4], [0, 5, 10, 4, 1]]
ALIKE, ALIKE_PARTNERS = (
    [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 1, 9, 6, 7]],
    [[0, 5, 2, 3, 7], [0, 8, 9, 4, 2], [0, 5, 9, 6, 7]],
)
FAMILIES = ["gpt2", "neox-parallel", "neox-sequential-full-rotation", "llama-gqa-3", "mistral-window", "qwen2"]
# Heads normed together, queries and keys normed, sinks, biases of positions and a limit.
FAMILIES += ["gemma2", "olmo2", "qwen3", "cohere", "gpt_oss", "mpt-cut-off"]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def random_sets(graph: Graph, n: int = 24, seed: int = 0) -> np.ndarray:
    """Of every density; some without the input, the first empty, the last full, and one twice."""
    draw = np.random.default_rng(seed)
    sets = draw.random((n, len(graph.sources))) < np.linspace(0, 1, n)[:, None]
    sets[n // 3 :, 0] = True
    sets[-1], sets[1] = True, sets[n // 2]
    return sets


def by_edges(model: Model, sets: np.ndarray, absent: Constants, prompts: Sequence[Sequence[int]] = PROMPTS) -> Tensor:
    """The same sets as sets of edges."""
    graph = Graph.of(model)
    masks = [
        graph.among([*(source for source, chosen in zip(graph.sources, row, strict=True) if chosen), graph.nodes[-1]])
        for row in sets
    ]
    return run_within(model, prompts, np.stack(masks), absent, final_logits)["logits"]


@pytest.mark.parametrize("name", FAMILIES)
def test_on_ragged_prompts_they_are_the_sets_of_all_edges_among_them(name: str) -> None:
    model = random_model(name)
    absent, sets = counterfactual(model, PROMPTS, PARTNERS), random_sets(Graph.of(model))
    logits = run_node_sets(InModel.of(model, PROMPTS, absent), sets, final_logits)["logits"]
    torch.testing.assert_close(logits, by_edges(model, sets, absent), atol=2e-5, rtol=1e-5)
    assert logits.unique(dim=0).shape[0] > len(sets) - 6


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel", "llama-gqa-3"])
def test_they_are_what_plain_hooks_that_replace_outputs_give(name: str) -> None:
    model = random_model(name)
    sets = random_sets(Graph.of(model))
    absent = counterfactual(model, ALIKE, ALIKE_PARTNERS)
    logits = run_node_sets(InModel.of(model, ALIKE, absent), sets, final_logits)["logits"]
    plain = slow_node_sets(model, ALIKE, torch.from_numpy(sets), slow_outputs(model, ALIKE_PARTNERS))
    torch.testing.assert_close(logits, plain, atol=2e-5, rtol=1e-5)


def test_a_model_of_one_layer_and_one_head() -> None:
    model = family_of("gpt2").of(hf_model("gpt2", n_layer=1, n_head=1), None)
    absent = counterfactual(model, PROMPTS, PARTNERS)
    sets = np.array([[number >> place & 1 for place in range(3)] for number in range(8)], dtype=bool)
    logits = run_node_sets(InModel.of(model, PROMPTS, absent), sets, final_logits)["logits"]
    torch.testing.assert_close(logits, by_edges(model, sets, absent), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-3"])
def test_they_do_not_depend_on_the_memory_budget_that_cuts_them_into_parts(name: str) -> None:
    model = random_model(name)
    absent, sets = counterfactual(model, PROMPTS, PARTNERS), random_sets(Graph.of(model))
    default = run_node_sets(InModel.of(model, PROMPTS, absent), sets, final_logits)["logits"]
    told: list[int] = []

    def count(done: int, total: int) -> None:
        told.append(done)

    def run(memory: int) -> int:
        told.clear()
        tight = run_node_sets(InModel.of(model, PROMPTS, absent, memory), sets, final_logits, count)["logits"]
        torch.testing.assert_close(tight, default, atol=2e-5, rtol=1e-5)
        return len(told)

    least = 10**5
    while True:
        try:
            run(least)
            break
        except MemoryBudgetError:
            least = least * 5 // 4
    n_batches = [run(least), run(4 * least), run(400 * least)]
    assert n_batches[0] > len(PROMPTS)
    assert n_batches == sorted(n_batches, reverse=True)
    assert n_batches[-1] == 1


def test_what_is_ready_is_run_again_to_the_same_bits() -> None:
    model = random_model("gpt2")
    inside = InModel.of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))
    sets = random_sets(Graph.of(model))
    first, again = (run_node_sets(inside, sets, final_logits)["logits"] for _ in range(2))
    assert torch.equal(first, again)


def test_a_set_that_comes_to_infinity_is_named_with_its_prompt_and_layer() -> None:
    model = random_model("gpt2")
    absent = counterfactual(model, PROMPTS, PARTNERS)
    broken = absent.mlp_out.clone()
    broken[1, 2] = torch.inf
    inside = InModel.of(model, PROMPTS, replace(absent, mlp_out=broken))
    sets = np.ones((3, len(Graph.of(model).sources)), dtype=bool)
    sets[1, 10] = False
    with pytest.raises(NotFiniteError, match=r"circuit \d, prompt 2: NaN or infinity from layer 1 on"):
        run_node_sets(inside, sets, final_logits)


def test_sets_of_another_graph_are_refused_and_no_sets_give_nothing() -> None:
    model = random_model("gpt2")
    inside = InModel.of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))
    n = len(Graph.of(model).sources)
    for sets in (np.ones((2, n + 1), dtype=bool), np.ones(n, dtype=bool), np.ones((2, n))):
        with pytest.raises((CircuitError, TypeError)):
            run_node_sets(inside, sets, final_logits)
    assert run_node_sets(inside, np.ones((0, n), dtype=bool), final_logits) == {}
