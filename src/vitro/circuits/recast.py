"""Circuits of the same wiring with other components: what a circuit's success is compared with."""

import numpy as np

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import Edge, Node, head, mlp
from vitro.models import Model


def recast(model: Model, circuit: Circuit, random: np.random.Generator) -> Circuit:
    """The same wiring with every head in the place of one drawn at random, and every MLP likewise.

    What lies within a stream (`resid_post8`) stands for its like within it, and what lies above for its like above: so
    as many heads and MLPs are live, and as many at a constant, as in the circuit.
    """
    shape = model.shape
    stands_for: dict[Node, Node] = {}
    for layers in (range(circuit.until + 1), range(circuit.until + 1, shape.n_layers)):
        heads = [head(layer, number) for layer in layers for number in range(shape.n_heads)]
        for kind in (heads, [mlp(layer) for layer in layers]):
            stands_for |= {one: kind[number] for one, number in zip(kind, random.permutation(len(kind)), strict=True)}
    return Circuit(
        frozenset(
            Edge(stands_for.get(edge.source, edge.source), stands_for.get(edge.reader, edge.reader), edge.input)
            for edge in circuit.edges
        ),
        frozenset((stands_for[one], pin) for one, pin in circuit.pins),
        frozenset((stands_for[one], value) for one, value in circuit.constants),
    )
