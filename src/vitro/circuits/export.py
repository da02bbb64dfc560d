"""Circuits as files that EAP-IG and the Mechanistic Interpretability Benchmark read and write.

The format lists the whole graph of a model and says of each node and edge whether it is in the circuit:
{"cfg": {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}, "nodes": {"m0": {"in_graph", "score"}},
"edges": {"m0->a9.h1<q>": {"score", "in_graph"}}} (https://github.com/hannamw/EAP-IG, `Graph.to_json`).

It holds only the wiring, not what takes the place of an edge that is left out. In Vitro nothing does. EAP-IG runs the
whole model and puts another run's activation there (or a mean, or zero), and every reader still reads what is no
node of its graph: the attention's output biases, and position embeddings. So the two give different numbers for the
same file.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import compress
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from vitro.circuits.circuit import Circuit
from vitro.circuits.graph import Graph
from vitro.circuits.nodes import (
    INPUT,
    INPUTS,
    LOGITS,
    CircuitError,
    Edge,
    Input,
    Kind,
    Node,
)
from vitro.circuits.nodes import node as parse_node
from vitro.models import Model

_KINDS = (Kind.input, Kind.head, Kind.mlp, Kind.logits)
"""The kinds of node that the format has."""


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
    kept = set(compress(graph.edges, mask))
    nodes = {INPUT, LOGITS} | {edge.source for edge in kept}
    return {
        "cfg": {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "parallel_attn_mlp": graph.parallel,
            "d_model": model.shape.d_model,
        },
        "nodes": {str(node): {"in_graph": node in nodes} for node in graph.nodes},
        "edges": {str(edge): {"score": float(edge in kept), "in_graph": edge in kept} for edge in graph.edges},
    }


def from_mib(
    file: str | PathLike[str] | Mapping[str, Any], output_bias: Literal["excluded", "included"] = "excluded"
) -> Circuit:
    """The circuit in a file of EAP-IG or MIB: the edges that are in the graph.

    file: a path, or the JSON read from it. As in EAP-IG, the edges decide, and what is on no path from the input to the
    logits is left out. output_bias: whether every component also reads the attention biases below it (`b0`, `b1`,
    ...), which EAP-IG leaves in.
    CircuitError, in one line, for a file that is no such graph, holds single neurons, or has no edge in the graph; and
    where a head reads nothing by its queries, keys or values, because in Vitro nothing would take their place.

    >>> print(from_mib(to_mib(Circuit.wire("input -> m0; m0 -> logits"), model)))
    input -> m0
    m0 -> logits
    """
    name = "the graph" if isinstance(file, Mapping) else str(file)
    try:
        return _circuit(file if isinstance(file, Mapping) else _read(Path(file)), output_bias)
    except CircuitError as error:
        raise CircuitError(f"{name}: {error}") from None


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


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CircuitError(f"cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CircuitError("this is not JSON; a circuit of EAP-IG or MIB, saved as .json, is") from None


def _circuit(content: Any, output_bias: Literal["excluded", "included"]) -> Circuit:
    cfg, nodes, edges = (
        content.get(key) if isinstance(content, Mapping) else None for key in ("cfg", "nodes", "edges")
    )
    if not (isinstance(cfg, Mapping) and isinstance(nodes, Mapping) and isinstance(edges, Mapping)):
        raise CircuitError("a circuit of EAP-IG or MIB has cfg, nodes and edges, each a JSON object")
    graph = _graph(cfg)
    known = {name: _node(name, entry, graph) for name, entry in nodes.items()}
    listed = {_edge(name, known, graph): _in_graph(name, entry) for name, entry in edges.items()}
    in_circuit = {edge for edge, in_graph in listed.items() if in_graph}
    if not in_circuit:
        raise CircuitError(
            "no edge is in the graph; if the file holds scores, choose edges by them first (EAP-IG: apply_topn)"
        )
    kept = set(compress(graph.edges, graph.pruned(graph.mask(in_circuit))))
    if not kept:
        raise CircuitError("none of the edges in the graph is on a way from the input to the logits")
    if output_bias == "included":
        kept |= {Edge(bias, edge.reader, name) for edge in kept for bias, name in _biases(edge.reader, graph)}
    inputs = {(edge.reader, edge.input) for edge in kept}
    for reader in sorted({edge.reader for edge in kept if edge.input}):
        if missing := [name for name in INPUTS if (reader, name) not in inputs]:
            raise CircuitError(
                f"{reader} reads nothing by {', '.join(missing)}; EAP-IG puts another run's activations there, and "
                "here nothing would take their place"
                + (
                    ""
                    if reader.layer == 0 or output_bias == "included"
                    else "; with output_bias='included' the biases do"
                )
            )
    return Circuit(frozenset(kept))


def _graph(cfg: Mapping[str, Any]) -> Graph:
    layers, heads, parallel = (cfg.get(key) for key in ("n_layers", "n_heads", "parallel_attn_mlp"))
    # JSON's true is one of Python's integers.
    if type(layers) is not int or type(heads) is not int or not isinstance(parallel, bool):
        raise CircuitError("cfg should give n_layers and n_heads, whole numbers, and parallel_attn_mlp, true or false")
    return Graph(layers, heads, parallel)


def _node(name: str, entry: Any, graph: Graph) -> Node:
    try:
        node = parse_node(name)
    except CircuitError:
        node = None
    if node is None or str(node) != name or node.kind not in _KINDS or not graph.has(node):
        raise CircuitError(f"{name!r} is no node of a model with {graph.n_layers} layers of {graph.n_heads} heads")
    if _in_graph(name, entry) and isinstance(entry, Mapping) and not all(entry.get("neurons") or ()):
        raise CircuitError(f"only some of {name}'s neurons are in the graph; Vitro's components are whole")
    return node


def _edge(name: str, known: Mapping[str, Node], graph: Graph) -> Edge:
    source, _, rest = name.partition("->")
    reader, _, letter = rest.removesuffix(">").partition("<")
    if source in known and reader in known:
        edge = Edge(known[source], known[reader], next((qkv for qkv in INPUTS if qkv == letter), None))
        by_input = edge.reader.kind is Kind.head
        if str(edge) == name and (edge.input is not None) == by_input and graph.allows(edge.source, edge.reader):
            return edge
    raise CircuitError(f"{name!r} is no edge of the model between nodes of the file, as m0->a9.h1<q> or a9.h1->m9 are")


def _in_graph(name: str, entry: Any) -> bool:
    """Whether a node or edge is in the circuit; in older files a node's entry is true or false itself."""
    value = entry.get("in_graph") if isinstance(entry, Mapping) else entry
    if not isinstance(value, bool):
        raise CircuitError(f'{name}: its entry should hold "in_graph": true or false')
    return value


def _biases(reader: Node, graph: Graph) -> Iterable[tuple[Node, Input | None]]:
    """The biases that a component reads in the model, by each of its inputs."""
    after_heads = reader.kind is Kind.mlp and not graph.parallel
    for layer in range(min(reader.layer + after_heads, graph.n_layers)):
        for name in INPUTS if reader.kind is Kind.head else (None,):
            yield Node(layer, Kind.bias), name
