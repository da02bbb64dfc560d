"""Circuits and scores as files that EAP-IG and the Mechanistic Interpretability Benchmark (MIB) read and write.

The format (`mib.py`) holds only the wiring, not what takes the place of an edge that is left out. In vitro nothing
does. EAP-IG runs the whole model and puts another run's activation there (or a mean, or zero), and every reader still
reads what is no node of its graph: that is a circuit within the model (docs/method.md, section 10.1).
"""

from collections.abc import Iterable, Mapping
from itertools import compress
from os import PathLike
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from vitro.circuits.circuit import Circuit
from vitro.circuits.graph import Graph, Mask
from vitro.circuits.mib import MibFile, read_mib
from vitro.circuits.nodes import INPUTS, LOGITS, CircuitError, Constant, Edge, Input, Kind, Node
from vitro.models import Model


def to_mib(circuit: Circuit, model: Model) -> dict[str, Any]:
    """The circuit as a graph of EAP-IG and MIB: `json.dumps` of it is such a file.

    An edge's `score` is 1 in the circuit and 0 elsewhere, so that a choice by score finds the circuit again. Nodes have
    no score: EAP-IG cannot save a graph that it read with some, because the logits have no place for theirs. The
    stream `resid_post8` is written as the edges that it stands for. Components at a constant are not in the graph, and
    `b9` is left out: there are no such nodes. As in EAP-IG, what is on no path to the logits is left out.
    CircuitError, with the reason, for a circuit that is no subgraph of the model: heads that are pinned, components
    that read what comes after them in the model or read a source twice, and those that read only constants or biases.

    >>> graph = to_mib(Circuit.wire("input -> m0; m0 -> logits"), model)
    >>> [name for name, edge in graph["edges"].items() if edge["in_graph"]]
    ['input->m0', 'm0->logits']
    """
    circuit.check(model)
    graph = Graph.of(model)
    if circuit.pins:
        head, pin = min(circuit.pins, key=str)
        raise CircuitError(
            f"{head}[{pin}] is pinned, so this is no subgraph of the model: in an EAP-IG file every head attends by "
            "itself; without the pins it can be exported"
        )
    mask = graph.pruned(graph.mask(_expanded(circuit, graph)))
    return _content(graph, mask, mask.astype(float), model.shape.d_model)


def to_importances(graph: Graph, scores: Float[np.ndarray, " edge"], d_model: int) -> dict[str, Any]:
    """Scores of all edges as MIB's `importances.json`: `json.dumps` of it is such a file, with no edge in a circuit.

    d_model: the width of the model's stream, which the file names. CircuitError for a score that is not finite.

    >>> graph = Graph.of(model)
    >>> to_importances(graph, np.arange(len(graph)), 64)["edges"]["input->a0.h0<v>"]
    {'score': 2.0, 'in_graph': False}
    """
    if not (finite := np.isfinite(scores)).all():
        first = int(finite.argmin())
        raise CircuitError(f"the score of {graph.edges[first]} is {scores[first]}, and a ranking needs numbers")
    return _content(graph, np.zeros(len(graph), dtype=bool), scores, d_model)


def to_circuit_file(graph: Graph, mask: Mask, d_model: int) -> dict[str, Any]:
    """Some edges of a model as a circuit's file of MIB; what is on no path from the input to the logits is left out.

    >>> graph = Graph.of(model)
    >>> to_circuit_file(graph, graph.mask(graph.edges), 64)["edges"]["input->logits"]
    {'score': 1.0, 'in_graph': True}
    """
    mask = graph.pruned(mask)
    return _content(graph, mask, mask.astype(float), d_model)


def _content(graph: Graph, mask: Mask, scores: Float[np.ndarray, " edge"], d_model: int) -> dict[str, Any]:
    places = {0, len(graph.nodes) - 1, *graph.source_of[mask].tolist()}
    sizes = {"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel_attn_mlp": graph.parallel}
    return {
        "cfg": {**sizes, "d_model": d_model},
        "nodes": {str(node): {"in_graph": place in places} for place, node in enumerate(graph.nodes)},
        "edges": {
            str(edge): {"score": score, "in_graph": in_graph}
            for edge, score, in_graph in zip(
                graph.edges, np.asarray(scores, float).tolist(), mask.tolist(), strict=True
            )
        },
    }


def from_mib(
    file: str | PathLike[str] | Mapping[str, Any],
    output_bias: Literal["excluded", "included"] = "excluded",
    absent: Constant | None = None,
) -> Circuit:
    """The circuit in a file of EAP-IG or MIB (.json or .pt): the edges that are in the graph.

    file: a path, or the JSON read from it. As in EAP-IG, the edges decide, and what is on no path from the input to the
    logits is left out. absent: what the other edges carry, within the model; None: nothing, in vitro. output_bias: in
    vitro, whether every component also reads the attention biases below it (`b0`, `b1`, ...), which EAP-IG leaves in.
    CircuitError, in one line, for a file that is no such graph, holds single neurons, or has no edge in the graph; and
    in vitro where a head reads nothing by its queries, keys or values, because nothing would take their place.

    >>> print(from_mib(to_mib(Circuit.wire("input -> m0; m0 -> logits"), model)))
    input -> m0
    m0 -> logits
    """
    content = read_mib(file)
    try:
        return _circuit(content, output_bias, absent)
    except CircuitError as error:
        raise CircuitError(f"{'the graph' if isinstance(file, Mapping) else file}: {error}") from None


def _circuit(content: MibFile, output_bias: Literal["excluded", "included"], absent: Constant | None) -> Circuit:
    graph = content.graph
    if not content.mask.any():
        raise CircuitError(
            "no edge is in the graph; if the file holds scores, choose edges by them first (EAP-IG: apply_topn)"
        )
    mask = graph.pruned(content.mask)
    if not mask.any():
        raise CircuitError("none of the edges in the graph is on a way from the input to the logits")
    if absent is not None:
        return Circuit.of(graph, mask, absent)
    kept = set(compress(graph.edges, mask))
    if output_bias == "included":
        kept |= {Edge(bias, edge.reader, name) for edge in kept for bias, name in _biases(edge.reader, graph)}
    inputs = {(edge.reader, edge.input) for edge in kept}
    for reader in sorted({edge.reader for edge in kept if edge.input}):
        if missing := [name for name in INPUTS if (reader, name) not in inputs]:
            biases = reader.layer > 0 and output_bias == "excluded"
            raise CircuitError(
                f"{reader} reads nothing by {', '.join(missing)}; EAP-IG puts another run's activations there, as "
                "absent='counterfactual' does within the model, and in vitro nothing would take their place"
                + ("; with output_bias='included' the biases do" if biases else "")
            )
    return Circuit(frozenset(kept))


def _expanded(circuit: Circuit, graph: Graph) -> set[Edge]:
    """The edges between live components, streams written out."""
    live = [node for node in graph.nodes if node not in circuit.constant_of and node != LOGITS]
    streams = {node for node in circuit.order if node.kind is Kind.stream}
    top = max((node.layer for node in streams), default=-1)
    within = {node for node in live if node.layer <= top}
    edges = {edge for edge in graph.edges if edge.source in within and edge.reader in within}
    for edge in sorted(circuit.edges):
        if edge.source.kind is Kind.bias or edge.source in circuit.constant_of:
            continue
        below = [node for node in live if node.layer <= edge.source.layer] if edge.source in streams else [edge.source]
        for source in below:
            copy = Edge(source, edge.reader, edge.input)
            if copy in edges:
                raise CircuitError(
                    f"{edge.reader} reads {source} more than once, as part of a stream, so this is no subgraph of the "
                    "model: an EAP-IG file has every edge once"
                )
            if not graph.allows(source, edge.reader):
                beside = "beside" if source.layer == edge.reader.layer else "before"
                raise CircuitError(
                    f"{copy}: in this model {edge.reader} is computed {beside} {source} and cannot read it, so this is "
                    "no subgraph of the model, and EAP-IG files hold nothing else"
                )
            edges.add(copy)
    readers = {edge.reader for edge in edges}
    if idle := sorted({edge.reader for edge in circuit.edges} - readers):
        raise CircuitError(
            f"{idle[0]} reads constants or biases alone, and EAP-IG has no nodes for those, so it would read nothing"
        )
    return edges


def _biases(reader: Node, graph: Graph) -> Iterable[tuple[Node, Input | None]]:
    """The biases that a component reads in the model, by each of its inputs."""
    after_heads = reader.kind is Kind.mlp and not graph.parallel
    for layer in range(min(reader.layer + after_heads, graph.n_layers)):
        for name in INPUTS if reader.kind is Kind.head else (None,):
            yield Node(layer, Kind.bias), name
