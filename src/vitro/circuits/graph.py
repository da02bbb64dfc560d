"""The graph of a model: every node, every edge, and circuits within it as rows of true and false."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from heapq import heappop, heappush

import numpy as np
from jaxtyping import Bool, Float, Int

from vitro.circuits.nodes import INPUT, INPUTS, LOGITS, CircuitError, Edge, Kind, Node, head, mlp
from vitro.models import Model

Mask = Bool[np.ndarray, " edge"]
"""Which edges of a graph, in its order, a circuit has."""


@dataclass(frozen=True)
class Graph:
    """All nodes and edges of a model, in the order of EAP-IG and MIB (docs/method.md, section 9.1).

    parallel: whether an MLP reads the same stream as the heads of its layer, not the stream after them (GPT-NeoX).

    >>> graph = Graph.of(model)
    >>> len(graph), str(graph.edges[0])
    (262, 'input->a0.h0<q>')
    """

    n_layers: int
    n_heads: int
    parallel: bool

    @classmethod
    def of(cls, model: Model) -> "Graph":
        """The graph of a model; of one size it is made once, since its edges take a while to list.

        >>> Graph.of(model).sources[0]
        Node(layer=-1, kind=<Kind.input: 0>, head=-1)
        """
        return _of_size(model.shape.n_layers, model.shape.n_heads, model.parallel)

    def __len__(self) -> int:
        """How many edges it has: 32,491 in GPT-2 small."""
        return len(self.edges)

    @cached_property
    def sources(self) -> tuple[Node, ...]:
        """The nodes that write, in the model's order: the input, and each layer's heads and MLP."""
        return self.sources_before(self.n_layers)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes: the sources and the logits."""
        return (*self.sources, LOGITS)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges: those into layer 0, into layer 1, ..., into the logits."""
        layers = range(self.n_layers + 1)
        return tuple(edge for layer in layers for edge in self.edges_into(layer))

    def sources_before(self, layer: int) -> tuple[Node, ...]:
        """What writes to the stream that enters a layer.

        >>> len(Graph.of(model).sources_before(1))
        6
        """
        heads_and_mlps = [source for below in range(layer) for source in (*self._heads(below), mlp(below))]
        return (INPUT, *heads_and_mlps)

    def edges_into(self, layer: int) -> tuple[Edge, ...]:
        """The edges into a layer's heads (by q, k and v) and MLP; layer n_layers: those into the logits.

        Every component reads all that was written before it. In a parallel block the MLP's edges stand with those of
        the heads, source by source.

        >>> [str(edge) for edge in Graph.of(model).edges_into(3)][:3]
        ['input->logits', 'a0.h0->logits', 'a0.h1->logits']
        """
        sources = self.sources_before(layer)
        if layer == self.n_layers:
            return tuple(Edge(source, LOGITS) for source in sources)
        heads = self._heads(layer)
        into_heads = [Edge(source, reader, name) for source in sources for reader in heads for name in INPUTS]
        into_mlp = [Edge(source, mlp(layer)) for source in (sources if self.parallel else [*sources, *heads])]
        # Sorting is stable: the readers of a source keep their order.
        return tuple(
            sorted(into_heads + into_mlp, key=lambda edge: edge.source) if self.parallel else into_heads + into_mlp
        )

    def _heads(self, layer: int) -> list[Node]:
        return [head(layer, number) for number in range(self.n_heads)]

    @cached_property
    def number(self) -> dict[Edge, int]:
        """The place of each edge in `edges`."""
        return {edge: number for number, edge in enumerate(self.edges)}

    @cached_property
    def source_of(self) -> Int[np.ndarray, " edge"]:
        """Each edge's source, as its place in `nodes`."""
        place = {node: number for number, node in enumerate(self.nodes)}
        return np.array([place[edge.source] for edge in self.edges])

    @cached_property
    def reader_of(self) -> Int[np.ndarray, " edge"]:
        """Each edge's reader, as its place in `nodes`."""
        place = {node: number for number, node in enumerate(self.nodes)}
        return np.array([place[edge.reader] for edge in self.edges])

    @cached_property
    def input_of(self) -> Int[np.ndarray, " edge"]:
        """By which input each edge is read: 0, 1, 2 for a head's q, k, v; 0 for other readers."""
        return np.array([INPUTS.index(edge.input) if edge.input else 0 for edge in self.edges])

    def has(self, node: Node) -> bool:
        """Whether the model has such a node."""
        return node in (INPUT, LOGITS) or (
            node.kind in (Kind.head, Kind.mlp)
            and 0 <= node.layer < self.n_layers
            and (node.kind is Kind.mlp or 0 <= node.head < self.n_heads)
        )

    def allows(self, source: Node, reader: Node) -> bool:
        """Whether the reader comes after the source in the model's own order."""
        if source.layer == reader.layer:
            return source.kind is Kind.head and reader.kind is Kind.mlp and not self.parallel
        return source.layer < reader.layer

    def mask(self, edges: Iterable[Edge]) -> Mask:
        """These edges. CircuitError for one that the model has not.

        >>> graph = Graph.of(model)
        >>> int(graph.mask(graph.edges[:3]).sum())
        3
        """
        mask = np.zeros(len(self), dtype=bool)
        for edge in edges:
            if edge not in self.number:
                raise CircuitError(f"{edge} is no edge of a model with {self.n_layers} layers of {self.n_heads} heads")
            mask[self.number[edge]] = True
        return mask

    def among(self, nodes: Collection[Node]) -> Mask:
        """All edges among some nodes; the logits read them too. CircuitError for a node that the model has not.

        >>> graph = Graph.of(model)
        >>> int(graph.among(graph.nodes).sum()) == len(graph)
        True
        """
        for node in nodes:
            if not self.has(node):
                raise CircuitError(f"there is no {node} in a model with {self.n_layers} layers of {self.n_heads} heads")
        inside = np.array([node in nodes or node == LOGITS for node in self.nodes])
        mask: Mask = inside[self.source_of] & inside[self.reader_of]
        return mask

    @cached_property
    def edges_read(self) -> tuple[tuple[Int[np.ndarray, " edge"], ...], ...]:
        """The edges into each of `nodes`, by q, k and v apart; other readers have all by the first of the three."""
        into = self.reader_of * 3 + self.input_of
        parts = np.split(
            np.argsort(into, kind="stable"), np.bincount(into, minlength=3 * len(self.nodes)).cumsum()[:-1]
        )
        return tuple(tuple(parts[3 * node : 3 * node + 3]) for node in range(len(self.nodes)))

    def pruned(self, masks: Bool[np.ndarray, "*circuit edge"]) -> Bool[np.ndarray, "*circuit edge"]:
        """Without the edges of nodes with no way from the input or to the logits (docs/method.md, section 10.2).

        A head has a way in where any of its q, k and v has. masks: of a circuit, or of any number of them.

        >>> graph = Graph.of(model)
        >>> graph.pruned(graph.mask(graph.edges[:3])).any()
        np.False_
        """
        fed = np.zeros((*masks.shape[:-1], len(self.nodes)), dtype=bool)
        leads = fed.copy()
        fed[..., 0] = leads[..., -1] = True
        # Nodes come in the model's order, so that all sources of a node come before it.
        for node, parts in enumerate(self.edges_read):
            edges = np.concatenate(parts)
            fed[..., node] |= (masks[..., edges] & fed[..., self.source_of[edges]]).any(-1)
        for node in reversed(range(len(self.nodes))):
            # By one input of a head at a time: no source comes twice.
            for part in self.edges_read[node]:
                leads[..., self.source_of[part]] |= masks[..., part] & leads[..., node, None]
        alive = fed & leads
        kept: Bool[np.ndarray, "*circuit edge"] = masks & alive[..., self.source_of] & alive[..., self.reader_of]
        return kept

    def top(self, scores: Float[np.ndarray, " edge"], n: int) -> Mask:
        """The n edges of the highest score, not pruned. Of equal scores, the first in the graph's order.

        >>> graph = Graph.of(model)
        >>> graph.edges[graph.top(np.arange(len(graph)), 1).argmax()] == graph.edges[-1]
        True
        """
        mask = np.zeros(len(self), dtype=bool)
        mask[np.argsort(-scores, kind="stable")[:n]] = True
        return mask

    def greedy(self, scores: Float[np.ndarray, " edge"], n: int) -> Mask:
        """From the logits down, n times the best edge whose reader is in already; its source then joins. Not pruned.

        Fewer where no more can be had. Of equal scores, the first in the graph's order.

        >>> graph = Graph.of(model)
        >>> str(graph.edges[graph.greedy(np.arange(len(graph)), 1).argmax()])
        'm2->logits'
        """
        into: dict[int, list[int]] = {}
        for edge, reader in enumerate(self.reader_of.tolist()):
            into.setdefault(reader, []).append(edge)
        mask = np.zeros(len(self), dtype=bool)
        joined, candidates = {len(self.nodes) - 1}, [(-scores[edge], edge) for edge in into[len(self.nodes) - 1]]
        candidates.sort()
        while candidates and n:
            _, edge = heappop(candidates)
            mask[edge], n = True, n - 1
            source = int(self.source_of[edge])
            if source not in joined:
                joined.add(source)
                for below in into.get(source, ()):
                    heappush(candidates, (-scores[below], below))
        return mask


@lru_cache(maxsize=8)
def _of_size(n_layers: int, n_heads: int, parallel: bool) -> Graph:
    return Graph(n_layers, n_heads, parallel)
