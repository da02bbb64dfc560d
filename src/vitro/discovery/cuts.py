"""Circuits in vitro made of a circuit within the model: its upper nodes on the stream below, pinned, or by itself."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from vitro.circuits import INPUT, LOGITS, Circuit, CircuitError, Constant, Edge, Graph, Kind, Node, Pin
from vitro.circuits.nodes import INPUTS, head, mlp
from vitro.models import Model
from vitro.tasks import FINAL

FIRST_MLP = mlp(0)
Among = Literal["chained", "alone"]
"""Whether the upper nodes read each other, as in the circuit, or the last readers stand on the stream alone."""


def upper(circuit: Circuit, after: int, among: Among, below: Collection[Node]) -> Circuit | None:
    """The residual cut: the circuit's nodes after a layer read `below`, and only they write to the logits.

    after: the layer. among: `chained`, they read each other by the circuit's edges too; `alone`, only those that the
    logits read stay. below: the stream after that layer, or what takes its place. None where nothing would be left.

    >>> circuit = Circuit.wire("absent: zero; input -> a0.h1, a1.h1; a0.h1, a1.h1 -> m1; a1.h1, m1 -> logits")
    >>> print(upper(circuit, 0, "chained", [vitro.circuits.stream(0)]))
    resid_post0 -> a1.h1
    a1.h1, resid_post0 -> m1
    a1.h1, m1 -> logits
    """
    edges = {edge for edge in circuit.edges if edge.source.layer > after}
    if among == "alone":
        edges = {edge for edge in edges if edge.reader == LOGITS}
    while dangling := {edge.reader for edge in edges} - {edge.source for edge in edges} - {LOGITS}:
        edges = {edge for edge in edges if edge.reader not in dangling}
    if not edges:
        return None
    readers = {edge.source for edge in edges}
    edges |= {edge for source in below for reader in readers for edge in reads(source, reader)}
    if FIRST_MLP in below:
        edges.add(Edge(INPUT, FIRST_MLP))
    return Circuit(frozenset(edges))


def reads(source: Node, reader: Node) -> Iterable[Edge]:
    """The edges by which a reader reads a source, by all its inputs.

    >>> [str(edge) for edge in reads(INPUT, head(1, 1))]
    ['input->a1.h1<q>', 'input->a1.h1<k>', 'input->a1.h1<v>']
    """
    return (Edge(source, reader, name) for name in (INPUTS if reader.kind is Kind.head else (None,)))


def by_itself(model: Model, circuit: Circuit) -> Circuit | None:
    """The circuit's wiring in vitro: absent edges carry nothing. None where no edge leads from input to logits.

    A head that reads by only some of its inputs would have nothing to make the others of: it makes them of what it
    reads by these.

    >>> print(by_itself(model, Circuit.wire("absent: zero; input -> a1.h1<v>; a1.h1 -> logits")))
    input -> a1.h1
    a1.h1 -> logits
    """
    graph = Graph.of(model)
    pruned = Circuit.of(graph, graph.pruned(graph.mask(circuit.edges)), "zero")
    edges = set(pruned.edges)
    for node in pruned.heads:
        by_input = {name: pruned.sources.get((node, name), ()) for name in INPUTS}
        sources = {source for nodes in by_input.values() for source in nodes}
        edges |= {Edge(source, node, name) for name in INPUTS if not by_input[name] for source in sources}
    return Circuit(frozenset(edges)) if edges else None


def others_at(model: Model, circuit: Circuit, kept: Collection[Node], kind: Constant) -> Circuit:
    """The circuit with all components of its stream at a constant but those to keep.

    >>> circuit = Circuit.wire("resid_post0 -> a1.h1; a1.h1 -> logits")
    >>> print(others_at(model, circuit, [head(0, 2)], "zero"))
    zero: a0.h0-1, a0.h3, m0
    resid_post0 -> a1.h1
    a1.h1 -> logits
    """
    layers = range(circuit.until + 1)
    parts = {mlp(layer) for layer in layers}
    parts |= {head(layer, number) for layer in layers for number in range(model.shape.n_heads)}
    return replace(circuit, constants=frozenset((part, kind) for part in parts.difference(kept)))


def pin(circuit: Circuit, marks: Mapping[Node, Pin]) -> Circuit:
    """The circuit with those of these heads pinned that are read at the final stream, where pins say something.

    >>> circuit = Circuit.wire("input -> a0.h2; a0.h2, input -> a1.h1; a1.h1 -> logits")
    >>> [str(node) for node, _ in pin(circuit, {head(0, 2): "subject", head(1, 1): "subject"}).pins]
    ['a1.h1']
    """
    pinned = replace(circuit, pins=frozenset((node, mark) for node, mark in marks.items() if node in circuit.heads))
    at_the_end, _ = read_where(pinned)
    return replace(circuit, pins=frozenset((node, mark) for node, mark in pinned.pins if node in at_the_end))


def read_where(circuit: Circuit) -> tuple[frozenset[Node], frozenset[Node]]:
    """What is read at the final stream, and what is read at others: a node may be in both.

    There a pinned head reads at its pin alone, by v; beside the final stream its pin says nothing. An MLP works on each
    position for itself.

    >>> circuit = Circuit.wire("input -> m0; m0 -> a1.h1; a1.h1 -> m1; m1 -> logits")
    >>> [[str(node) for node in sorted(nodes)] for nodes in read_where(circuit)]
    [['a1.h1', 'm1'], ['input', 'm0']]
    """
    at_the_end, elsewhere = set[Node](), set[Node]()
    for reader in reversed(circuit.order):
        pinned = circuit.pin_of.get(reader)
        by = {name: circuit.sources.get((reader, name), ()) for name in (*INPUTS, None)}
        if reader == LOGITS or reader in at_the_end:
            if reader.kind is not Kind.head or pinned == FINAL:
                at_the_end |= {*(by[None] if pinned is None else by["v"])}
            else:
                elsewhere |= {*by["v"]} if pinned is not None else {*by["q"], *by["k"], *by["v"]}
        if reader in elsewhere:
            elsewhere |= {node for nodes in by.values() for node in nodes}
    return frozenset(at_the_end), frozenset(elsewhere)


def less(circuit: Circuit, *left_out: Node | Edge) -> Circuit | None:
    """The circuit without some of its nodes and edges; None where it could not be run.

    >>> less(Circuit.wire("input -> a1.h1; a1.h1 -> logits"), INPUT) is None
    True
    """
    try:
        smaller = circuit.without(*left_out)
    except CircuitError:
        return None
    # Beside the final stream a pinned head makes its own attention, of queries and keys.
    _, elsewhere = read_where(smaller)
    for node in elsewhere.intersection(smaller.pin_of):
        if any((node, name) not in smaller.sources for name in INPUTS):
            return None
    return smaller
