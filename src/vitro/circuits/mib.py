"""Graphs as files of EAP-IG and the Mechanistic Interpretability Benchmark (MIB), read: scores of edges, and circuits.

A file lists the whole graph of a model, as JSON
{"cfg": {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}, "nodes": {"m0": {"in_graph", "score"}},
"edges": {"m0->a9.h1<q>": {"score", "in_graph"}}} (https://github.com/hannamw/EAP-IG, `Graph.to_json`), or as tensors
with a row for each node that writes and a column for each input that reads (`Graph.to_pt`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits.file_bytes import LARGEST, parsed
from vitro.circuits.graph import Graph, Mask
from vitro.circuits.nodes import INPUTS, LOGITS, CircuitError
from vitro.files import FileError, read_bytes

MOST_EDGES = 20_000_000
"""A file that claims a larger graph is not believed; one of 32 layers with 32 heads each has 1.6 million."""
SMALL = 100_000
"""Up to so many edges a graph is listed at once; the edges of a larger one are believed where the file lists them."""
_KEYS = ("cfg", "nodes", "edges")
_TENSOR_KEYS = ("cfg", "src_nodes", "dst_nodes", "edges_in_graph")
"""What a file of tensors must have; scores are another matter."""


@dataclass(frozen=True, eq=False)
class MibFile:
    """What a file says of a model's graph.

    name: the file's. d_model: None in older files. mask: the edges of its circuit. scores: of the edges, in the graph's
    order, NaN where it has none. node_scores: of the nodes that write, in the graph's order, NaN where it has none.
    """

    name: str
    graph: Graph
    d_model: int | None
    mask: Mask
    scores: Float[np.ndarray, " edge"]
    node_scores: Float[np.ndarray, " source"]

    def ranking(self) -> Float[np.ndarray, " edge"]:
        """A score for every edge. Where only nodes are scored, an edge has its source's.

        CircuitError where an edge has none, where one is infinite, and where all are the same.

        >>> from vitro.circuits import to_importances
        >>> graph = Graph.of(model)
        >>> read_mib(to_importances(graph, np.arange(len(graph)), 64)).ranking()[:3]
        array([0., 1., 2.])
        """
        scores = self.scores
        if len(set(scores[~np.isnan(scores)])) < 2 and not np.isnan(self.node_scores).all():
            scores = self.node_scores[self.graph.source_of]
        if np.isnan(scores).all():
            raise CircuitError(
                f"{self.name}: it holds no scores; what works: a file whose edges have them, as importances.json"
            )
        if not (finite := np.isfinite(scores)).all():
            edge, score = self.graph.edges[int(finite.argmin())], scores[finite.argmin()]
            says = f"the score of {edge} is {score}" if np.isinf(score) else f"it has no score, or NaN, of {edge}"
            raise CircuitError(f"{self.name}: {says}; a ranking needs a number for every edge")
        if scores.min() == scores.max():
            raise CircuitError(f"{self.name}: all its scores are {scores[0]:g}, which ranks nothing")
        return scores


def read_mib(
    file: str | PathLike[str] | Mapping[str, Any], graph: Graph | None = None, d_model: int | None = None
) -> MibFile:
    """A file of EAP-IG or MIB: JSON, or tensors (.pt), told apart by what is in it. Nothing in it is executed.

    file: a path, or the JSON read from it. graph, d_model: the model's, which the file has to fit; None: any.
    CircuitError, in one line, for what cannot be read, is no such file, or is a file of another model.

    >>> cfg = {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False}
    >>> len(read_mib({"cfg": cfg, "nodes": {}, "edges": {"input->m0": {"in_graph": True}}}).graph)
    8
    """
    name = "the graph" if isinstance(file, Mapping) else str(file)
    try:
        content = file if isinstance(file, Mapping) else parsed(read_bytes(Path(file), LARGEST))
        if isinstance(content, Mapping) and set(_TENSOR_KEYS) <= set(content):
            return _of_tensors(name, content, *_graph(content["cfg"], graph, d_model))
        if not (isinstance(content, Mapping) and all(isinstance(content.get(key), Mapping) for key in _KEYS)):
            raise CircuitError("a circuit of EAP-IG or MIB has cfg, nodes and edges, each a JSON object")
        return _of_json(name, content, *_graph(content["cfg"], graph, d_model))
    except (CircuitError, FileError) as error:
        raise CircuitError(f"{name}: {error}") from None


def _graph(cfg: Any, fits: Graph | None, d_model: int | None) -> tuple[Graph, int | None]:
    """The graph that a file is of, and its width. CircuitError where it is not the one that it has to fit."""
    layers, heads, parallel, width = (
        cfg.get(key) if isinstance(cfg, Mapping) else None
        for key in ("n_layers", "n_heads", "parallel_attn_mlp", "d_model")
    )
    # JSON's true is one of Python's integers.
    if type(layers) is not int or type(heads) is not int or not isinstance(parallel, bool):
        raise CircuitError("cfg should give n_layers and n_heads, whole numbers, and parallel_attn_mlp, true or false")
    if width is not None and type(width) is not int:
        raise CircuitError("cfg should give d_model as a whole number")
    if fits is not None:
        here, there = (layers, heads, parallel, width), (fits.n_layers, fits.n_heads, fits.parallel, d_model)
        if any(None not in pair and pair[0] != pair[1] for pair in zip(here, there, strict=True)):
            raise CircuitError(f"it is of another model, of {_sizes(*here)}; this one has {_sizes(*there)}")
    if layers < 1 or heads < 1 or _about(layers, heads) > MOST_EDGES:
        raise CircuitError(f"cfg says {layers} layers of {heads} heads, and no model has these")
    return Graph(layers, heads, parallel), width


def _about(layers: int, heads: int) -> int:
    """About as many edges as a graph has."""
    return 3 * (layers * (heads + 1)) ** 2 // 2


def _sizes(layers: int, heads: int, parallel: bool, width: int | None) -> str:
    mlps = "MLPs beside" if parallel else "MLPs after"
    return f"{layers} layers of {heads} heads, {mlps} the heads" + (f", width {width}" if width is not None else "")


def _of_json(file: str, content: Mapping[str, Any], graph: Graph, d_model: int | None) -> MibFile:
    sizes = f"a model with {graph.n_layers} layers of {graph.n_heads} heads"
    if len(content["edges"]) < (due := _about(graph.n_layers, graph.n_heads)) / 2 and due > SMALL:
        raise CircuitError(
            f"its cfg is of {sizes}, about {due:,} edges, and it lists {len(content['edges']):,} of them"
        )
    places = {str(node): place for place, node in enumerate(graph.nodes)}
    node_scores = np.full(len(places), np.nan)
    for name, entry in content["nodes"].items():
        if name not in places:
            raise CircuitError(f"{name!r} is no node of {sizes}")
        neurons = entry.get("neurons") if isinstance(entry, Mapping) else None
        if not isinstance(neurons, list | None):
            raise CircuitError(f"{name}: its neurons should be a list of true and false")
        if _in_graph(name, entry) and not all(neurons or ()):
            raise CircuitError(f"only some of {name}'s neurons are in the graph; Vitro's components are whole")
        node_scores[places[name]] = _score(name, entry)
    numbers = {str(edge): number for number, edge in enumerate(graph.edges)}
    mask, scores = np.zeros(len(graph), dtype=bool), np.full(len(graph), np.nan)
    for name, entry in content["edges"].items():
        if name not in numbers:
            raise CircuitError(f"{name!r} is no edge of {sizes}, as m0->a9.h1<q> or a9.h1->m9 can be")
        mask[numbers[name]] = _in_graph(name, entry)
        scores[numbers[name]] = _score(name, entry)
    return MibFile(file, graph, d_model, mask, scores, node_scores[:-1])


def _in_graph(name: str, entry: Any) -> bool:
    """Whether a node or edge is in the circuit; in older files a node's entry is true or false itself."""
    value = entry.get("in_graph") if isinstance(entry, Mapping) else entry
    if not isinstance(value, bool):
        raise CircuitError(f'{name}: its entry should hold "in_graph": true or false')
    return value


def _score(name: str, entry: Any) -> float:
    """The score of a node or edge; NaN where it has none."""
    value = entry.get("score") if isinstance(entry, Mapping) else None
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CircuitError(f"{name}: its score is {str(value)[:40]!r}, which is no number")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _of_tensors(file: str, content: Mapping[str, Any], graph: Graph, d_model: int | None) -> MibFile:
    rows = [str(node) for node in graph.sources]
    columns = [name for layer in range(graph.n_layers) for name in _readers(graph, layer)] + [str(LOGITS)]
    if _names(content["src_nodes"]) != rows or _names(content["dst_nodes"]) != columns:
        raise CircuitError("its src_nodes and dst_nodes are not those of its cfg, in the order of EAP-IG")
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("edges_scores", "edges_in_graph"), (len(rows), len(columns))),
        **dict.fromkeys(("nodes_in_graph", "nodes_scores"), (len(rows),)),
    }
    for name, shape in shapes.items():
        tensor = content.get(name)
        if tensor is None and name not in _TENSOR_KEYS:
            continue
        if not _is_plain(tensor) or tuple(tensor.shape) != shape:
            raise CircuitError(f"{name} should be a tensor of shape {list(shape)}")
        if name.endswith("in_graph") and tensor.dtype != torch.bool:
            raise CircuitError(f"{name} should hold true and false")
    neurons, nodes = content.get("neurons_in_graph"), content.get("nodes_in_graph")
    if neurons is not None and not (
        _is_plain(neurons)
        and neurons.ndim == 2
        and len(neurons) == len(rows)
        and (neurons if nodes is None else neurons[nodes]).all()
    ):
        raise CircuitError("only some neurons of its nodes are in the graph; Vitro's components are whole")
    edge_scores, node_scores = (
        torch.full(shapes[name], torch.nan) if content.get(name) is None else content[name]
        for name in ("edges_scores", "nodes_scores")
    )
    index = graph.source_of, _column_of(graph)
    return MibFile(
        file,
        graph,
        d_model,
        content["edges_in_graph"].numpy()[index],
        edge_scores.detach().double().numpy()[index],
        node_scores.detach().double().numpy(),
    )


def _names(value: Any) -> list[str | None]:
    return [name if isinstance(name, str) else None for name in value] if isinstance(value, list) else []


def _is_plain(value: Any) -> TypeGuard[Tensor]:
    """Whether this is a tensor of real numbers, or of true and false, that has all its values."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_complex() or value.is_quantized)
    )


def _readers(graph: Graph, layer: int) -> list[str]:
    """The inputs of a layer in the order of `Graph.to_pt`: all queries, all keys, all values, the MLP."""
    return [*(f"a{layer}.h{head}<{name}>" for name in INPUTS for head in range(graph.n_heads)), f"m{layer}"]


def _column_of(graph: Graph) -> Int[np.ndarray, " edge"]:
    """Of each edge, the column of its reader's input."""
    layer, place = np.divmod(graph.reader_of - 1, graph.n_heads + 1)
    is_mlp = place == graph.n_heads
    within = np.where(is_mlp, 3 * graph.n_heads, graph.input_of * graph.n_heads + place)
    return layer * (3 * graph.n_heads + 1) + within
