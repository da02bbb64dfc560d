"""Scores, circuits within the model, areas and files are those of EAP-IG's and MIB's own code (make_eap_ig.py)."""

import json
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conventions.make_eap_ig import COUNTERFACTUALS, IN_CIRCUIT, MODELS, OUT, PROMPTS, RIGHT, SIZES, WRONG
from small_models import random_model
from vitro.circuits import (
    Circuit,
    CircuitError,
    Constants,
    Edge,
    Graph,
    Kind,
    Mask,
    counterfactual,
    read_mib,
    run_within,
    to_mib,
)
from vitro.discovery import RANKINGS, SELECTIONS, Case, flow, run_curves, score_edges, select
from vitro.engine import Clean, Finals, mean_activations
from vitro.metrics import METRICS, Asked
from vitro.models import Model
from vitro.options import IgEndpoints, ScoreName
from vitro.tasks import Questions

SCORES: list[tuple[ScoreName, str]] = [
    ("eap", "EAP"),
    ("eap-ig", "EAP-IG-inputs 5"),
    ("eap-ig-activations", "EAP-IG-activations 5"),
]
CHOSEN = [(rule, n, kind) for rule in ("top", "greedy") for n in SIZES for kind in ("absolute", "signed")]

stored_model = cache(random_model)


@cache
def stored(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((OUT / f"{name}.json").read_text("utf-8"))
    return record


def questions(which: str) -> Questions:
    tokens = PROMPTS[which]
    names = tuple(f"{which} {row}" for row in range(len(tokens)))
    return Questions(
        tokens=tuple(map(tuple, tokens)),
        labels=names,
        right=tuple((token,) for token in RIGHT[: len(tokens)]),
        wrong=tuple((token,) for token in WRONG[: len(tokens)]),
        answers=names,
        others=names,
        marks={},
        partner=tuple(map(tuple, COUNTERFACTUALS[which])),
    )


def constants(model: Model, which: str, kind: str) -> Constants:
    """What EAP-IG's code calls an intervention."""
    prompts = PROMPTS[which]
    if kind == "patching":
        return counterfactual(model, prompts, COUNTERFACTUALS[which])
    if kind == "mean-positional":
        return Constants.of(mean_activations(model, prompts))
    shape = model.shape
    nothing = torch.zeros(shape.n_layers, 1, 1, shape.d_model)
    places = model.pos_embed(torch.arange(max(map(len, prompts))))
    z = torch.zeros(shape.n_layers, 1, 1, shape.n_heads, shape.d_head)
    return Constants(nothing[0] if places is None else places[None], z, nothing)


def case(name: str, which: str, kind: str = "patching", endpoints: IgEndpoints = "mib") -> Case:
    model = stored_model(name)
    return Case(model, questions(which), METRICS["logit_diff"], constants(model, which, kind), endpoints=endpoints)


def assert_same(scores: Tensor, theirs: Any) -> None:
    expected = torch.as_tensor(theirs)
    apart = (scores - expected).abs().max() / expected.abs().max()
    assert apart <= 1e-5, f"{apart:.1e} of the largest apart"


def edge(name: str) -> Edge:
    return next(edge for edge in Graph.of(stored_model("gpt2")).edges if str(edge) == name)


def mask(bits: str) -> Mask:
    row: Mask = np.array(list(bits)) == "1"
    return row


@pytest.mark.parametrize("name", MODELS)
def test_edges_stand_in_eap_igs_order(name: str) -> None:
    assert [str(edge) for edge in Graph.of(stored_model(name)).edges] == stored(name)["edges"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("which", PROMPTS)
@pytest.mark.parametrize(("score", "method"), SCORES)
def test_scores_of_edges_are_eap_igs(name: str, which: str, score: ScoreName, method: str) -> None:
    assert_same(score_edges(case(name, which), score).mean(1), stored(name)["scores"][f"{method} {which}"])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("score", "method"), SCORES[:2])
def test_the_scores_of_a_nodes_outgoing_edges_add_up_to_eap_igs_score_of_the_node(
    name: str, score: ScoreName, method: str
) -> None:
    # The code that scores nodes has the endpoints of the paper.
    asked = case(name, "equal", endpoints="paper")
    sums = torch.zeros(len(asked.graph.sources))
    sums.index_add_(0, torch.from_numpy(asked.graph.source_of), score_edges(asked, score).mean(1))
    # Of an MLP, EAP-IG's code multiplies the change of its output with the gradient at its input, which is no score.
    right = torch.tensor([node.kind is not Kind.mlp for node in asked.graph.sources])
    assert_same(sums[right], torch.tensor(stored(name)["node_scores"][f"{method} equal"])[right])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("which", PROMPTS)
def test_information_flow_routes_are_eap_igs(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = stored(name)["scores"][f"information-flow-routes {which}"]
    if name == "gpt2":
        # In its code `input` writes the token's embedding alone.
        monkeypatch.setattr(flow, "_written", token_embedded(flow._written))
    assert_same(score_edges(case(name, which), "flow").mean(1), expected)


def token_embedded(written: Callable[[Clean, Graph], Tensor]) -> Callable[[Clean, Graph], Tensor]:
    def of(clean: Clean, graph: Graph) -> Tensor:
        by_source = written(clean, graph)
        by_source[:, 0] = clean.model.token_embed(clean.there.tokens)
        return by_source

    return of


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["zero", "mean-positional"])
def test_scores_of_edges_at_zero_or_their_mean_are_eap_igs(name: str, kind: str) -> None:
    assert_same(score_edges(case(name, "equal", kind), "eap").mean(1), stored(name)["scores"][f"EAP equal {kind}"])


@pytest.mark.parametrize("name", MODELS)
def test_the_papers_endpoints_have_the_clean_run_in_place_of_the_ablated_one(name: str) -> None:
    clean, ablated, mean = (
        torch.tensor(stored(name)["scores"][f"{method} equal"]) for method in ("EAP", "EAP-IG-inputs 1", SCORES[1][1])
    )
    expected = mean + (clean - ablated) / 5
    assert (expected - mean).abs().max() > 1e-2 * mean.abs().max()
    assert_same(score_edges(case(name, "equal", endpoints="paper"), "eap-ig").mean(1), expected)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("rule", "n", "kind"), CHOSEN)
def test_the_edges_chosen_by_scores_are_eap_igs(name: str, rule: str, n: int, kind: str) -> None:
    graph, record = Graph.of(stored_model(name)), stored(name)
    scores = np.array(record["scores"]["EAP-IG-inputs 5 equal"])
    choose = graph.top if rule == "top" else graph.greedy
    chosen = choose(np.abs(scores) if kind == "absolute" else scores, n)
    np.testing.assert_array_equal(chosen, mask(record["circuits"][f"{rule} {n} {kind}"]))


@pytest.mark.parametrize("name", MODELS)
def test_a_pruned_circuit_has_the_edges_that_eap_ig_leaves_in_it(name: str) -> None:
    graph, record = Graph.of(stored_model(name)), stored(name)
    for circuit, bits in record["circuits"].items():
        pruned = graph.pruned(mask(bits))
        np.testing.assert_array_equal(pruned, mask(record["pruned"][circuit]), err_msg=circuit)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("setting", ["equal patching", "equal zero", "equal mean-positional", "unequal patching"])
def test_a_circuit_within_the_model_has_the_metric_that_eap_ig_evaluates(name: str, setting: str) -> None:
    model, record, (which, kind) = stored_model(name), stored(name), setting.split()
    asked = Asked.of(questions(which), model.device)

    def read(finals: Finals) -> dict[str, Tensor]:
        return {"metric": METRICS["logit_diff"].of(asked[finals.prompts].of_logits(finals))}

    masks = np.stack([mask(bits) for bits in record["circuits"].values()])
    values = run_within(model, PROMPTS[which], masks, constants(model, which, kind), read)["metric"]
    expected = torch.tensor([record["metric"][setting][circuit] for circuit in record["circuits"]])
    torch.testing.assert_close(values, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["patching", "zero", "mean-positional"])
def test_the_curve_and_its_areas_are_those_of_mibs_code(name: str, kind: str) -> None:
    record, asked = stored(name), case(name, "equal", kind)
    scores = np.array(record["scores"]["EAP-IG-inputs 5 equal"])
    expected = {
        (ranking, selection): record["curves"][f"{selection} {ranking} {kind}"]
        for ranking, selection in product(RANKINGS, SELECTIONS)
    }
    circuits = [select(asked.graph, scores, *chosen) for chosen in expected]
    for curve, theirs in zip(run_curves(asked, circuits, [asked.metric])["logit_diff"], expected.values(), strict=True):
        assert curve.edges.tolist() == theirs["weighted_edge_counts"]
        np.testing.assert_allclose(curve.faithfulness, theirs["faithfulnesses"], atol=1e-4, rtol=2e-5)
        np.testing.assert_allclose(
            (curve.cpr, curve.cmd), (theirs["area_under"], theirs["area_from_1"]), atol=1e-4, rtol=2e-5
        )


def test_graphs_that_eap_ig_has_written_are_read() -> None:
    graph, record = Graph.of(stored_model("gpt2")), stored("gpt2")
    scores = np.array(record["scores"]["EAP-IG-inputs 5 equal"], dtype=np.float32)
    chosen = graph.pruned(graph.top(np.abs(scores), 60))
    for file in ("edges.json", "edges.pt", "nodes.pt"):
        content = read_mib(OUT / file, graph)
        np.testing.assert_array_equal(content.scores, scores, err_msg=file)
        np.testing.assert_array_equal(content.mask, chosen, err_msg=file)
    np.testing.assert_array_equal(
        read_mib(OUT / "nodes.pt").node_scores, np.array(record["node_scores"]["EAP-IG-inputs 5 equal"], np.float32)
    )
    for file in ("circuit.json", "circuit.pt"):
        np.testing.assert_array_equal(read_mib(OUT / file).mask, graph.mask(map(edge, IN_CIRCUIT)), err_msg=file)


def test_a_graph_of_eap_ig_without_all_neurons_of_a_node_is_refused() -> None:
    with pytest.raises(CircuitError, match="neuron"):
        read_mib(OUT / "neurons.pt")


def test_an_exported_circuit_is_the_file_that_eap_ig_writes() -> None:
    wiring = "; ".join(name.replace("->", " -> ") for name in IN_CIRCUIT)
    file = to_mib(Circuit.wire(wiring), stored_model("gpt2"))
    # As text, so that the order counts.
    assert json.dumps(file) == (OUT / "circuit.json").read_text("utf-8")
