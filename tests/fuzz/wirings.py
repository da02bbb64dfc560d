"""Random circuits: pins, inputs by q, k and v, constants, bias nodes and streams, freely mixed."""

from collections.abc import Mapping

from fuzz.draw import Draw
from vitro.circuits import INPUT, LOGITS, Circuit, Constant, Edge, Kind, Node, Pin
from vitro.circuits.nodes import INPUTS
from vitro.models import Shape


def draw_circuits(draw: Draw, shape: Shape, number: int, shortest: int, constants: list[Constant]) -> list[Circuit]:
    """Circuits of one run, some of which share much: what several ask for is computed once."""
    circuits: list[Circuit] = []
    while len(circuits) < number:
        if circuits and draw.chance(0.4):
            circuits.append(_varied(draw, draw.one_of(circuits), shortest))
        else:
            circuits.append(draw_circuit(draw, shape, shortest, constants))
    return draw.shuffled(circuits)


def draw_circuit(draw: Draw, shape: Shape, shortest: int, constants: list[Constant]) -> Circuit:
    """A wiring in a random order, which need not be the model's: an MLP may read a later head.

    shortest: of the prompts, which bounds the pins. constants: the kinds that there are values of.
    """
    until = draw.integer(0, shape.n_layers - 1) if draw.chance(0.35) else -1
    components = [Node(layer, Kind.head, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    components += [Node(layer, Kind.mlp) for layer in range(shape.n_layers)]
    at_constants = {node: draw.one_of(constants) for node in components if draw.chance(0.25)}
    outside = [node for node in components if node.layer > until and node not in at_constants]
    live = draw.sample(outside, at_least=min(1, len(outside)), at_most=6)
    used = [node for node in at_constants if draw.chance(0.5)]
    ready = [
        INPUT,
        *used,
        *(Node(layer, Kind.bias) for layer in range(shape.n_layers) if draw.chance(0.4)),
        *(Node(layer, Kind.stream) for layer in range(until + 1) if layer == until or draw.chance(0.3)),
    ]
    edges: set[Edge] = set()
    pinned: dict[Node, Pin] = {}
    for node in live:
        if node.kind is Kind.head:
            same = draw.sample(ready, at_most=4) if draw.chance(0.6) else None
            edges |= {Edge(source, node, name) for name in INPUTS for source in same or draw.sample(ready, at_most=4)}
            if draw.chance(0.45):
                pinned[node] = draw_pin(draw, shortest)
        else:
            edges |= {Edge(source, node) for source in draw.sample(ready, at_most=4)}
        ready.append(node)
    read = {edge.source for edge in edges}
    # What nobody reads goes to the logits, now and then but for one.
    last = [node for node in live if node not in read and draw.chance(0.9)]
    edges |= {Edge(source, LOGITS) for source in (*last, *draw.sample(ready, at_most=3))}
    return _values_alone(draw, _circuit_of(edges, pinned, at_constants, until))


def draw_pin(draw: Draw, shortest: int) -> Pin:
    pin: Pin = draw.one_of([*range(shortest), "subject"])
    return pin


def _varied(draw: Draw, circuit: Circuit, shortest: int) -> Circuit:
    """The same wiring with other pins, and without some of its edges to the logits."""
    pinned = {node: draw_pin(draw, shortest) for node in circuit.heads if draw.chance(0.5)}
    to_logits = [edge for edge in circuit.edges if edge.reader == LOGITS]
    kept = set(draw.sample(sorted(to_logits)))
    edges = {edge for edge in circuit.edges if edge.reader != LOGITS or edge in kept}
    # Heads that were pinned and read by v alone read by q and k as well.
    for node in circuit.heads:
        values = {edge.source for edge in edges if (edge.reader, edge.input) == (node, "v")}
        for name in ("q", "k"):
            if not any((edge.reader, edge.input) == (node, name) for edge in edges):
                edges |= {Edge(source, node, name) for source in values}
    return _circuit_of(edges, pinned, circuit.constant_of, circuit.until)


def _circuit_of(
    edges: set[Edge], pinned: dict[Node, Pin], at_constants: Mapping[Node, Constant], until: int
) -> Circuit:
    used = {edge.source for edge in edges}
    inside = max((node.layer for node in used if node.kind is Kind.stream), default=-1)
    constants = {(node, kind) for node, kind in at_constants.items() if node in used or node.layer <= inside}
    assert inside <= until
    return Circuit(frozenset(edges), frozenset(pinned.items()), frozenset(constants))


def _values_alone(draw: Draw, circuit: Circuit) -> Circuit:
    """Some pinned heads that are read at the final stream alone do without queries and keys."""
    edges = circuit.edges
    for node in circuit.pin_of:
        if _at_final_alone(circuit, node) and draw.chance(0.5):
            edges = frozenset(edge for edge in edges if edge.reader != node or edge.input == "v")
    # What only they read may now be read by nobody, which is allowed, but for constants.
    return _circuit_of(set(edges), dict(circuit.pin_of), circuit.constant_of, circuit.until)


def _at_final_alone(circuit: Circuit, node: Node) -> bool:
    """Whether all that depends on a node reads it at the final stream: heads do at others too."""
    readers = {edge.reader for edge in circuit.edges if edge.source == node}
    return all(reader == LOGITS or (reader.kind is Kind.mlp and _at_final_alone(circuit, reader)) for reader in readers)
