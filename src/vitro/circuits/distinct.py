"""What circuits within a model compute, each thing once however many circuits share it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from vitro.circuits.graph import Graph


@dataclass(frozen=True, eq=False)
class Distinct:
    """Which circuits read the same sums and compute the same outputs; -1 where they do not.

    A sum is the outputs that an input of a reader is made of; an output is a node with the sums that it reads. Two
    circuits share an output where all that leads to it is the same: they may differ in everything else. Outputs are
    numbered in the order of the graph's nodes.
    """

    graph: Graph
    masks: Bool[np.ndarray, "circuit edge"]
    """Pruned, and in an order in which neighbours share much."""
    sums: Int[np.ndarray, "circuit node input"]
    outputs: Int[np.ndarray, "circuit source"]

    @classmethod
    def of(cls, graph: Graph, masks: Bool[np.ndarray, "circuit edge"]) -> "Distinct":
        """masks: pruned, so that each node with an edge has a way in and out."""
        n_circuits, n_nodes = len(masks), len(graph.nodes)
        sums = np.full((n_circuits, n_nodes, 3), -1)
        outputs = np.full((n_circuits, n_nodes), -1)
        outputs[masks.any(1), 0] = 0
        n_outputs = 1
        known: dict[bytes, int] = {}
        for node in range(1, n_nodes):
            for number, edges in enumerate(graph.edges_read[node]):
                wired = masks[:, edges]
                read = np.where(wired, outputs[:, graph.source_of[edges]], -1)
                for circuit in np.flatnonzero(wired.any(1)):
                    sums[circuit, node, number] = known.setdefault(read[circuit].tobytes(), len(known))
            alive = (sums[:, node] >= 0).any(1)
            if alive.any():
                trios, which = np.unique(sums[alive, node], axis=0, return_inverse=True)
                outputs[alive, node] = n_outputs + which.reshape(-1)
                n_outputs += len(trios)
        return cls(graph, masks, sums, outputs[:, :-1])

    def reads(self, circuit: int, node: int, number: int) -> Bool[np.ndarray, " source"]:
        """Which sources a node reads by one of its inputs in a circuit."""
        edges = self.graph.edges_read[node][number]
        reads = np.zeros(len(self.graph.sources), dtype=bool)
        reads[self.graph.source_of[edges]] = self.masks[circuit, edges]
        return reads

    def batches(self, most: int) -> Iterator[range]:
        """Consecutive circuits that have together at most so many outputs and final streams, but at least one circuit.

        A single circuit may have more.
        """
        start, held = 0, set[int]()
        for circuit, outputs in enumerate(self.outputs):
            new = set(outputs[outputs >= 0].tolist())
            if circuit > start and len(held | new) + circuit - start + 1 > most:
                yield range(start, circuit)
                start, held = circuit, set()
            held |= new
        if len(self.outputs):
            yield range(start, len(self.outputs))
