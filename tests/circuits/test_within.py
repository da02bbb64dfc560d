"""Circuits within the model equal transformers' own modules, node by node; what has no effect changes nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.slow_within import SlowWithin, slow_pruned
from slow import slow_logits
from small_models import hf_model, random_model
from vitro.circuits import CircuitError, Constants, Edge, Graph, counterfactual, node, resampled, run_within
from vitro.circuits.distinct import Distinct
from vitro.engine import Budget, Edit, Finals, MemoryBudgetError, NotFiniteError, mean_activations, mlp_out, sweep, z
from vitro.models import Model
from vitro.models.load import family_of

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
    # Heads normed together, queries and keys normed, sinks, a factor, biases of positions and a limit.
    "gemma2",
    "olmo2",
    "qwen3",
    "cohere",
    "gpt_oss",
    "granite",
    "mpt-cut-off",
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


def slow(
    model: Model, prompts: list[list[int]], mask: np.ndarray, absent: Constants, which: Sequence[int] | None = None
) -> Tensor:
    """Final logits of one circuit on each of some prompts; None: all."""
    edges = [Graph.of(model).edges[number] for number in np.flatnonzero(mask)]
    numbers = range(len(prompts)) if which is None else which
    return torch.stack([SlowWithin(model, prompts[i], i, edges, absent).logits() for i in numbers])


@pytest.mark.parametrize("name", FAMILIES)
def test_thirty_random_circuits_equal_plain_modules_with_hooks(name: str) -> None:
    model = random_model(name)
    masks = random_masks(Graph.of(model), 30)
    absent = counterfactual(model, PROMPTS, PARTNERS)
    logits = run_within(model, PROMPTS, masks, absent, final_logits)["logits"]
    moved = []
    clean = slow_logits(model, PROMPTS, [()])[0]
    for number, mask in enumerate(masks):
        prompt = number % len(PROMPTS)
        expected = slow(model, PROMPTS, mask, absent, [prompt])[0]
        torch.testing.assert_close(logits[number, prompt].double(), expected, atol=1e-4, rtol=0)
        moved.append(float((expected - clean[prompt]).abs().max()))
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


@pytest.mark.parametrize("parallel", [False, True])
def test_pruned_circuits_have_the_edges_on_a_way_from_the_input_to_the_logits(parallel: bool) -> None:
    graph = Graph(n_layers=3, n_heads=2, parallel=parallel)
    masks = random_masks(graph, 40)
    pruned = graph.pruned(masks)
    n_dropped = 0
    for mask, kept in zip(masks, pruned, strict=True):
        expected = slow_pruned([graph.edges[number] for number in np.flatnonzero(mask)])
        assert {graph.edges[number] for number in np.flatnonzero(kept)} == expected
        assert np.array_equal(graph.pruned(mask), kept)
        n_dropped += 0 < kept.sum() < mask.sum()
    assert n_dropped > 10


def test_an_edge_without_effect_changes_nothing_bit_for_bit() -> None:
    model = random_model("gpt2")
    graph = Graph.of(model)
    absent = Constants.of(mean_activations(model, SENTENCES), since=3)
    chain = ["input->a0.h1<v", "a0.h1->m1", "m1->logits"]
    # Into a node that leads nowhere, and out of one that nothing leads into.
    more = [*chain, "input->a1.h0<q", "a2.h2->logits"]
    masks = np.stack([graph.mask(map(edge, chain)), graph.mask(map(edge, more))])
    alone = run_within(model, ALIKE, masks[:1], absent, final_logits)["logits"]
    for given in (masks, masks[1:], masks[[1, 0, 1]]):
        logits = run_within(model, ALIKE, given, absent, final_logits)["logits"]
        assert torch.equal(logits, alone.expand_as(logits))


def edge(text: str) -> Edge:
    reader, _, by = text.split("->")[1].partition("<")
    name = {"q": "q", "k": "k", "v": "v", "": None}[by]
    return Edge(node(text.split("->")[0]), node(reader), name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel"])
def test_circuits_that_differ_in_one_edge_part_only_where_it_leads(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    model = random_model(name)
    graph, n_layers = Graph.of(model), model.shape.n_layers
    absent = counterfactual(model, PROMPTS, PARTNERS)
    worked: dict[int, int] = {}
    mlp = type(model).mlp_out

    def counted(self: Model, layer: int, resid: Tensor) -> Tensor:
        worked[layer] = worked.get(layer, 0) + resid.shape[:-1].numel()
        return mlp(self, layer, resid)

    def streams(lacking: list[str]) -> list[int]:
        """Through the MLP of each layer, for circuits that each lack an edge, and the one that lacks none."""
        masks = np.stack([graph.among(graph.nodes)] * (len(lacking) + 1))
        for mask, text in zip(masks, lacking, strict=False):
            mask[graph.number[edge(text)]] = False
        worked.clear()
        run_within(model, PROMPTS, masks, absent, final_logits)
        return [worked[layer] for layer in range(n_layers)]

    monkeypatch.setattr(type(model), "mlp_out", counted)
    base = streams([])
    # One node that three prompts share, and those from there on, each prompt's own; the last layer, where it is read.
    changing, finals = 11, len(PROMPTS)
    assert worked_more(base, streams(["input->m1"])) == [0, changing, finals]
    sequential = 2 * changing * (not model.parallel)
    assert worked_more(base, streams(["input->a1.h2<q", "m0->a1.h3<v"])) == [0, sequential, 2 * finals]
    assert worked_more(base, streams(["m1->logits", "input->logits"])) == [0, 0, 0]
    assert worked_more(base, streams(["input->m2", "m1->m2", "m1->m2"])) == [0, 0, 2 * finals]


def worked_more(base: list[int], streams: list[int]) -> list[int]:
    return [more - less for more, less in zip(streams, base, strict=True)]


def test_readers_of_one_layer_that_read_the_same_have_one_sum() -> None:
    graph = Graph.of(random_model("gpt2"))
    distinct = Distinct.of(graph, graph.among(graph.nodes)[None])
    assert len(np.unique(distinct.sums[distinct.sums >= 0])) == 2 * graph.n_layers + 1
    assert len(np.unique(distinct.outputs)) == len(graph.sources)


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-3"])
def test_circuits_do_not_depend_on_the_memory_budget(name: str) -> None:
    model = random_model(name)
    masks = random_masks(Graph.of(model), 12)
    absent = counterfactual(model, PROMPTS, PARTNERS)
    default = run_within(model, PROMPTS, masks, absent, final_logits)["logits"]
    least = next(memory for memory in range(10**5, 10**8, 10**5) if fits(model, masks, absent, memory))
    n_batches: list[int] = []

    def counted(done: int, total: int) -> None:
        n_batches[-1] += 1

    for memory in (least, 2 * least, 100 * least):
        n_batches.append(0)
        tight = run_within(model, PROMPTS, masks, absent, final_logits, memory=memory, progress=counted)["logits"]
        torch.testing.assert_close(tight, default, atol=1e-5, rtol=1e-6)
    assert n_batches[0] > len(PROMPTS)
    assert n_batches[-1] == 1
    assert least < 20 * Budget.of(model, 10**9).need(max(map(len, PROMPTS)), 1)


def fits(model: Model, masks: np.ndarray, absent: Constants, memory: int) -> bool:
    try:
        run_within(model, PROMPTS, masks[:1], absent, final_logits, memory=memory)
    except MemoryBudgetError:
        return False
    return True


def test_models_of_one_layer_and_one_head_and_prompts_that_nothing_changes_in() -> None:
    hf = hf_model("gpt2", n_layer=1, n_head=1)
    model = family_of("gpt2").of(hf, None)
    # The last prompt is its own counterfactual.
    prompts, partners = [*PROMPTS, [0, 4, 4]], [*PARTNERS, [0, 4, 4]]
    absent = counterfactual(model, prompts, partners)
    masks = np.concatenate([random_masks(Graph.of(model), 8), np.eye(len(Graph.of(model)), dtype=bool)])
    logits = run_within(model, prompts, masks, absent, final_logits)["logits"]
    for number, mask in enumerate(masks):
        torch.testing.assert_close(logits[number].double(), slow(model, prompts, mask, absent), atol=1e-4, rtol=0)
    still = counterfactual(model, prompts, prompts)
    logits = run_within(model, prompts, masks, still, final_logits)["logits"]
    torch.testing.assert_close(logits[3], slow_logits(model, prompts, [()])[0], atol=1e-5, rtol=0)


def test_masks_of_another_graph_are_refused_and_no_circuits_give_nothing() -> None:
    model = random_model("gpt2")
    absent, graph = zero(model), Graph.of(model)
    for masks in (np.ones((2, 5), dtype=bool), np.ones(len(graph), dtype=bool), np.ones((2, len(graph)))):
        with pytest.raises(CircuitError, match="each of the model's 262 edges"):
            run_within(model, ALIKE, masks, absent, final_logits)
    assert run_within(model, ALIKE, np.ones((0, len(graph)), dtype=bool), absent, final_logits) == {}


def test_a_circuit_that_comes_to_infinity_is_named_with_its_prompt_and_layer() -> None:
    model = random_model("gpt2")
    graph = Graph.of(model)
    absent = resampled(model, ALIKE, seed=1)
    broken = absent.mlp_out.clone()
    broken[1, 2] = torch.inf
    absent = replace(absent, mlp_out=broken)
    masks = np.stack([graph.among(graph.nodes), graph.mask([])])
    with pytest.raises(NotFiniteError, match=r"circuit \d, prompt 2: NaN or infinity from layer 1 on"):
        run_within(model, ALIKE, masks, absent, final_logits)
