"""Files of EAP-IG and MIB: scores and circuits, as JSON and as tensors; what is none is told in one line."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.mib_files import WIDTH, saved, tensors
from conventions.make_eap_ig import OUT
from vitro.circuits import Circuit, CircuitError, Graph, from_mib, read_mib, to_circuit_file, to_importances
from vitro.circuits.file_bytes import LARGEST

GRAPHS = {"sequential": Graph(3, 4, parallel=False), "parallel": Graph(2, 3, parallel=True)}
GRAPH = GRAPHS["sequential"]


def drawn(graph: Graph, seed: int = 0, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """A mask and scores, at random; scores in float32, as in EAP-IG."""
    random = np.random.default_rng(seed)
    return random.random(len(graph)) < share, random.standard_normal(len(graph)).astype(np.float32)


@pytest.mark.parametrize("name", GRAPHS)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**16), share=st.sampled_from([0.0, 0.1, 0.6, 1.0]))
def test_a_file_of_tensors_as_eap_ig_writes_it_is_read_edge_by_edge(
    name: str, seed: int, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = GRAPHS[name]
    mask, scores = drawn(graph, seed, share)
    path = saved(tmp_path_factory.mktemp("pt") / "graph.pt", tensors(graph, mask, scores))
    file = read_mib(path, graph, WIDTH)
    assert (file.mask == mask).all()
    assert (file.ranking() == scores).all()


@pytest.mark.parametrize("name", GRAPHS)
def test_scores_go_through_json_and_back(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]
    _, scores = drawn(graph)
    path = tmp_path / "importances.json"
    path.write_text(json.dumps(to_importances(graph, scores, WIDTH)))
    file = read_mib(path, graph, WIDTH)
    assert (file.ranking() == scores).all()
    assert not file.mask.any()


def test_a_file_of_scores_has_the_form_of_eap_igs_own() -> None:
    content = to_importances(GRAPH, np.arange(len(GRAPH)) / 8, WIDTH)
    sizes = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": False, "d_model": WIDTH}
    assert list(content) == ["cfg", "nodes", "edges"]
    assert content["cfg"] == sizes
    assert list(content["edges"]) == [str(edge) for edge in GRAPH.edges]
    assert content["edges"]["input->a0.h0<k>"] == {"score": 0.125, "in_graph": False}
    # In EAP-IG these two are never pruned.
    assert {name for name, entry in content["nodes"].items() if entry["in_graph"]} == {"input", "logits"}


@pytest.mark.parametrize("kind", ["edges", "circuit"])
def test_files_that_eap_igs_own_code_wrote_say_the_same_as_json_and_as_tensors(kind: str) -> None:
    text, tensors = (read_mib(OUT / f"{kind}.{form}", GRAPH, WIDTH) for form in ("json", "pt"))
    entries = json.loads((OUT / f"{kind}.json").read_text("utf-8"))["edges"]
    assert list(entries) == [str(edge) for edge in GRAPH.edges]
    for file in (text, tensors):
        assert file.mask.tolist() == [entry["in_graph"] for entry in entries.values()]
        assert file.ranking().tolist() == [entry["score"] for entry in entries.values()]


def test_what_eap_ig_writes_of_scores_is_what_is_written_here() -> None:
    content = json.loads((OUT / "edges.json").read_text("utf-8"))
    written = to_importances(GRAPH, read_mib(content, GRAPH).ranking(), WIDTH)
    for entry in (*content["nodes"].values(), *content["edges"].values()):
        entry["in_graph"] = False
    for name in ("input", "logits"):
        content["nodes"][name]["in_graph"] = True
    # As text, so that the order counts.
    assert json.dumps(written) == json.dumps(content)


def test_single_neurons_are_refused() -> None:
    with pytest.raises(CircuitError, match=r"neurons.pt: only some neurons of its nodes are in the graph"):
        read_mib(OUT / "neurons.pt", GRAPH)


EXAMPLE = "circuits/ioi-eap-ig.json"


def test_the_benchmarks_own_example_is_read_and_written_as_it_is() -> None:
    if not (folder := os.environ.get("VITRO_MIB")):
        pytest.skip("VITRO_MIB names no checkout of the benchmark's repository")
    text = (Path(folder) / EXAMPLE).read_text("utf-8")
    file, graph = read_mib(json.loads(text)), Graph(12, 12, parallel=False)
    assert (file.graph, file.d_model, int(file.mask.sum())) == (graph, 768, 756)
    content = to_importances(graph, file.ranking(), 768)
    expected = json.loads(text)
    assert [(name, entry["score"]) for name, entry in expected["edges"].items()] == [
        (name, entry["score"]) for name, entry in content["edges"].items()
    ]
    assert list(content["nodes"]) == list(expected["nodes"])
    assert content["cfg"] == expected["cfg"]
    circuit = from_mib(json.loads(text), absent="counterfactual")
    again = to_circuit_file(graph, graph.mask(circuit.edges), 768)
    assert {name: entry["in_graph"] for name, entry in again["edges"].items()} == {
        name: entry["in_graph"] for name, entry in expected["edges"].items()
    }


def test_a_circuits_file_is_pruned_and_read_as_a_circuit_within_the_model() -> None:
    mask, _ = drawn(GRAPH)
    content = to_circuit_file(GRAPH, mask, WIDTH)
    circuit = from_mib(content, absent="counterfactual")
    assert (GRAPH.mask(circuit.edges) == GRAPH.pruned(mask)).all()
    assert circuit.absent == "counterfactual"


def test_heads_without_queries_or_keys_are_read_within_the_model_alone(tmp_path: Path) -> None:
    circuit = Circuit.wire("absent: mean; input -> a0.h1<v>; a0.h1 -> logits")
    content = to_circuit_file(GRAPH, GRAPH.mask(circuit.edges), WIDTH)
    path = saved(tmp_path / "graph.pt", tensors(GRAPH, GRAPH.mask(circuit.edges), np.zeros(len(GRAPH))))
    for file in (content, path):
        assert from_mib(file, absent="mean") == circuit
        with pytest.raises(CircuitError, match=r"a0.h1 reads nothing by q, k; .* within the model"):
            from_mib(file)


def importances(change: Callable[[dict[str, Any]], object] = lambda content: None) -> dict[str, Any]:
    """A file of scores, changed."""
    content: dict[str, Any] = json.loads(json.dumps(to_importances(GRAPH, drawn(GRAPH)[1], WIDTH)))
    change(content)
    return content


def test_scores_of_circuits_may_be_missing_or_null() -> None:
    content = to_circuit_file(GRAPH, np.ones(len(GRAPH), bool), WIDTH)
    for number, entry in enumerate(content["edges"].values()):
        entry.pop("score") if number % 2 else entry.update(score=None)
    assert read_mib(content, GRAPH).mask.all()
    with pytest.raises(CircuitError, match="it holds no scores"):
        read_mib(content, GRAPH).ranking()


def test_scores_that_a_gradient_was_asked_of_are_read(tmp_path: Path) -> None:
    content = tensors(GRAPH, *drawn(GRAPH))
    content["edges_scores"].requires_grad_()
    assert (read_mib(saved(tmp_path / "graph.pt", content), GRAPH).ranking() == drawn(GRAPH)[1]).all()


def test_tensors_of_a_circuit_need_no_scores(tmp_path: Path) -> None:
    mask, scores = drawn(GRAPH)
    content = tensors(GRAPH, mask, scores)
    path = saved(
        tmp_path / "graph.pt", {key: content[key] for key in ("cfg", "src_nodes", "dst_nodes", "edges_in_graph")}
    )
    assert (read_mib(path, GRAPH).mask == mask).all()
    with pytest.raises(CircuitError, match=r"graph.pt: it holds no scores"):
        read_mib(path, GRAPH).ranking()


def node_scores(content: dict[str, Any]) -> None:
    for entry in content["edges"].values():
        entry["score"] = 0.0
    for number, (name, entry) in enumerate(content["nodes"].items()):
        if name != "logits":
            entry["score"] = float(number)


def test_a_nodes_score_stands_for_all_edges_that_leave_it_where_only_nodes_are_scored(tmp_path: Path) -> None:
    assert (read_mib(importances(node_scores), GRAPH).ranking() == GRAPH.source_of).all()
    nodes = torch.arange(len(GRAPH.sources), dtype=torch.float32)
    content = tensors(GRAPH, np.zeros(len(GRAPH), bool), np.zeros(len(GRAPH)), nodes)
    assert (read_mib(saved(tmp_path / "nodes.pt", content), GRAPH).ranking() == GRAPH.source_of).all()


def edge(name: str, **entry: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["edges"][name].update(entry)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content["edges"].pop("input->m0"), "no score, or NaN, of input->m0"),
        (edge("input->m0", score=float("nan")), "no score, or NaN, of input->m0"),
        (edge("input->m0", score=None), "no score, or NaN, of input->m0"),
        (edge("m0->logits", score=float("-inf")), "the score of m0->logits is -inf"),
        (edge("m0->logits", score=10**400), "the score of m0->logits is inf"),
        (edge("m0->logits", score="high"), "m0->logits: its score is 'high', which is no number"),
        (edge("m0->logits", score=True), "m0->logits: its score is 'True'"),
        (lambda content: [entry.update(score=2.5) for entry in content["edges"].values()], "all its scores are 2.5"),
        (lambda content: content["edges"].update({"m2->m0": {"in_graph": False}}), "'m2->m0' is no edge of a model"),
        (lambda content: content["nodes"].update({"m3": {"in_graph": False}}), "'m3' is no node of a model"),
        (lambda content: content["cfg"].update(n_heads=5), "another model, of 3 layers of 5 heads, .* width 32; this"),
        (lambda content: content["cfg"].update(d_model=64), "width 64; this one has 3 layers of 4 heads, .* width 32"),
        (lambda content: content["cfg"].update(parallel_attn_mlp=True), "MLPs beside the heads"),
        (lambda content: content["cfg"].update(n_layers=10**9), "another model"),
        (lambda content: content["cfg"].update(d_model="wide"), "d_model as a whole number"),
    ],
)
def test_what_ranks_no_edges_of_this_model_is_told_in_a_line(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(CircuitError, match=words) as told:
        read_mib(importances(change), GRAPH, WIDTH).ranking()
    assert "\n" not in str(told.value)


def test_a_graph_too_large_for_any_model_is_not_made() -> None:
    with pytest.raises(CircuitError, match="cfg says 1000000 layers of 4 heads, and no model has these"):
        from_mib(importances(lambda content: content["cfg"].update(n_layers=10**6)))


def test_two_files_of_different_graphs_do_not_fit_one_model() -> None:
    first, second = (to_importances(graph, drawn(graph)[1], WIDTH) for graph in GRAPHS.values())
    assert read_mib(first, GRAPH).graph == GRAPH
    with pytest.raises(CircuitError, match="another model, of 2 layers of 3 heads, MLPs beside the heads"):
        read_mib(second, GRAPH)


def tensor_file(**changed: Any) -> dict[str, Any]:
    return {**tensors(GRAPH, *drawn(GRAPH)), **changed}


ROWS, COLUMNS = len(GRAPH.sources), 3 * 13 + 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"edges_scores": torch.zeros(2, 2)}, rf"edges_scores should be a tensor of shape \[{ROWS}, {COLUMNS}\]"),
        ({"edges_in_graph": torch.zeros(ROWS, COLUMNS)}, "edges_in_graph should hold true and false"),
        ({"edges_scores": [1.0]}, "edges_scores should be a tensor"),
        ({"edges_scores": torch.zeros(ROWS, COLUMNS).to_sparse()}, "edges_scores should be a tensor"),
        ({"edges_scores": torch.zeros(ROWS, COLUMNS, dtype=torch.complex64)}, "edges_scores should be a tensor"),
        ({"edges_scores": torch.zeros(ROWS, COLUMNS, device="meta")}, "edges_scores should be a tensor"),
        ({"src_nodes": torch.zeros(ROWS)}, "its src_nodes and dst_nodes are not those of its cfg"),
        ({"dst_nodes": [torch.zeros(3)] * COLUMNS}, "its src_nodes and dst_nodes are not those of its cfg"),
        ({"nodes_scores": torch.zeros(3)}, rf"nodes_scores should be a tensor of shape \[{ROWS}\]"),
        ({"src_nodes": ["input"]}, "its src_nodes and dst_nodes are not those of its cfg"),
        ({"dst_nodes": None}, "its src_nodes and dst_nodes are not those of its cfg"),
        ({"cfg": {"n_layers": 3}}, "cfg should give"),
        ({"cfg": None}, "cfg should give"),
        ({"neurons_in_graph": torch.zeros(ROWS, WIDTH)}, "only some neurons"),
        ({"edges_scores": torch.full((ROWS, COLUMNS), torch.inf)}, "the score of input->a0.h0<q> is inf"),
        ({"edges_scores": torch.zeros(ROWS, COLUMNS)}, "all its scores are 0"),
    ],
)
def test_tensors_that_are_no_graph_are_told_in_a_line(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = saved(tmp_path / "graph.pt", tensor_file(**changed))
    with pytest.raises(CircuitError, match=rf"graph\.pt: {words}") as told:
        read_mib(path, GRAPH, WIDTH).ranking()
    assert "\n" not in str(told.value)


class Payload:
    """A pickle that, read by Python's own loader, would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("form", ["zip", "legacy", "bare", "bare today"])
def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path, form: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / "graph.pt"
    content = tensor_file(cfg=Payload(trap))
    if form.startswith("bare"):
        path.write_bytes(pickle.dumps(Payload(trap), protocol=2 if form == "bare" else 5))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CircuitError, match=r"graph.pt: it is ") as told:
        read_mib(path)
    assert "\n" not in str(told.value)
    assert not trap.exists()
    # The trap is a real one.
    torch.load(path, weights_only=False) if not form.startswith("bare") else pickle.loads(path.read_bytes())
    assert trap.exists()


def test_the_largest_numbers_rank_without_a_warning() -> None:
    scores = np.linspace(-1, 1, len(GRAPH)) * np.finfo(float).max
    np.testing.assert_array_equal(read_mib(to_importances(GRAPH, scores, WIDTH)).ranking(), scores)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_file_cut_short_is_told_in_a_line(tmp_path: Path, keep: float) -> None:
    whole = saved(tmp_path / "whole.pt", tensor_file()).read_bytes()
    path = tmp_path / "graph.pt"
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(CircuitError, match=r"graph.pt: it is damaged") as told:
        read_mib(path)
    assert "\n" not in str(told.value)
    text = tmp_path / "graph.json"
    written = json.dumps(to_importances(GRAPH, drawn(GRAPH)[1], WIDTH))
    text.write_text(written[: int(len(written) * keep)])
    with pytest.raises(CircuitError, match=r"graph.json: it is not valid JSON"):
        read_mib(text)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"cfg": {}}, "text"])
def test_tensors_that_are_something_else_are_told(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CircuitError, match="a circuit of EAP-IG or MIB has cfg, nodes and edges"):
        read_mib(saved(tmp_path / "other.pt", content))


def test_an_archive_that_unpacks_to_more_than_any_graph_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.circuits.file_bytes.LARGEST", 2**20)
    with ZipFile(tmp_path / "graph.pt", "w", ZIP_DEFLATED) as archive:
        archive.writestr("graph/data.pkl", bytes(2**21))
    with pytest.raises(CircuitError, match=r"graph.pt: it unpacks to 2 MB, and 1 MB at most are read"):
        read_mib(tmp_path / "graph.pt")


def test_scores_that_are_no_numbers_are_not_written() -> None:
    scores = np.zeros(len(GRAPH))
    scores[7] = np.nan
    with pytest.raises(CircuitError, match=f"the score of {GRAPH.edges[7]} is nan"):
        to_importances(GRAPH, scores, WIDTH)


def test_the_limit_of_a_file_leaves_room_for_the_largest_graph_that_is_believed() -> None:
    per_edge = len(json.dumps(to_importances(GRAPH, drawn(GRAPH)[1], WIDTH))) / len(GRAPH)
    # 32 layers of 32 heads: Llama 3's 8 billion.
    assert 1.5 * (32 * 33) ** 2 * (per_edge + 10) < LARGEST
