"""Circuits of the same wiring with other components: what a circuit's success is compared with."""

import numpy as np

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import Edge, Node, head, mlp
from vitro.models import Model


def recast(model: Model, circuit: Circuit, random: np.random.Generator) -> Circuit:
    """The same wiring with every head replaced by a head drawn at random, and every MLP likewise.

    Components within a stream (`resid_post8`) are replaced from within it, and those above from above. So as many heads
    and MLPs are live, and as many are at a constant, as in the circuit. Within the model a head is replaced by one of
    its own layer and MLPs stay, so that every edge is one of the model.

    >>> drawn = recast(model, Circuit.wire("input -> a1.h1; a1.h1 -> logits"), np.random.default_rng(0))
    >>> len(drawn.heads)
    1
    """
    shape = model.shape
    stands_for: dict[Node, Node] = {}
    together = [range(circuit.until + 1), range(circuit.until + 1, shape.n_layers)]
    if circuit.absent is not None:
        together = [range(layer, layer + 1) for layer in range(shape.n_layers)]
    for layers in together:
        heads = [head(layer, number) for layer in layers for number in range(shape.n_heads)]
        for kind in (heads, [mlp(layer) for layer in layers]):
            stands_for |= {node: kind[number] for node, number in zip(kind, random.permutation(len(kind)), strict=True)}
    return Circuit(
        frozenset(
            Edge(stands_for.get(edge.source, edge.source), stands_for.get(edge.reader, edge.reader), edge.input)
            for edge in circuit.edges
        ),
        frozenset((stands_for[node], pin) for node, pin in circuit.pins),
        frozenset((stands_for[node], value) for node, value in circuit.constants),
        circuit.absent,
    )
