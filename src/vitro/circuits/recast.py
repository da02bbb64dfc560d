"""Circuits of the same wiring with other components: what a circuit's success is compared with."""

import numpy as np

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import CircuitError, Edge, head, mlp
from vitro.models import Model

DRAWS = 1000
"""Tried before it is given up."""


def recast(model: Model, circuit: Circuit, random: np.random.Generator) -> Circuit:
    """The same wiring with every head in the place of one drawn at random, and every MLP likewise.

    CircuitError where no draw fits, as when a circuit leaves no other head to choose.
    """
    shape = model.shape
    heads = [head(layer, number) for layer in range(shape.n_layers) for number in range(shape.n_heads)]
    mlps = [mlp(layer) for layer in range(shape.n_layers)]
    for _ in range(DRAWS):
        stands_for = {
            one: other
            for kind in (heads, mlps)
            for one, other in zip(kind, (kind[number] for number in random.permutation(len(kind))), strict=True)
        }
        try:
            return Circuit(
                frozenset(
                    Edge(stands_for.get(edge.source, edge.source), stands_for.get(edge.reader, edge.reader), edge.input)
                    for edge in circuit.edges
                ),
                frozenset((stands_for[one], pin) for one, pin in circuit.pins),
                frozenset((stands_for[one], value) for one, value in circuit.constants),
            )
        except CircuitError:
            # A head that reads the stream after layer 8 cannot stand for one below; another draw will do.
            continue
    raise CircuitError("no random circuit of this kind was found in this model")
