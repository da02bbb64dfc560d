"""The work of a batch of circuits within a model: what is summed, projected and written, place by place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vitro.circuits.distinct import Distinct


@dataclass(frozen=True)
class Piece:
    """An array of indices: where it lies among all those of a plan, which are sent to a device together."""

    start: int
    shape: tuple[int, ...]

    def of(self, sent: Int[Tensor, " number"]) -> Int[Tensor, "..."]:
        """The array itself, on the device."""
        return sent[self.start : self.start + prod(self.shape)].view(self.shape)


@dataclass(frozen=True)
class Block:
    """Some sums and the outputs that they are made of."""

    outputs: Piece
    """[output]"""
    has: Piece
    """[sum, output], 1 where the sum has the output."""
    heads: tuple[tuple[int, slice], ...]
    """Which of the outputs are those of heads, layer by layer."""


@dataclass(frozen=True)
class Projection:
    """The queries, keys or values of one head from some sums."""

    head: int
    sums: Piece
    made: slice
    """Where they stand among all that are made in the layer."""


@dataclass(frozen=True)
class Layer:
    """What is computed in a layer. All sums and outputs are distinct, whichever circuits they are of."""

    head_sums: tuple[Block, ...]
    projections: tuple[tuple[Projection, ...], ...]
    """Of queries, of keys, of values."""
    made_from: Piece
    """[3, output]: the queries, keys and values of each head's output; the first are every head's ablated ones."""
    head_of: Piece
    """[output]"""
    head_outputs: tuple[tuple[int, slice], ...]
    """Each head that is alive, and its outputs among all."""
    mlp_sums: tuple[Block, ...]
    mlp_outputs: Piece
    """[sum]: the output that the MLP makes of each."""


@dataclass
class Plan:
    """All that a batch of circuits computes. Output 0 is the input's."""

    n_outputs: int
    layers: list[Layer] = field(default_factory=list)
    final_sums: tuple[Block, ...] = ()
    final_of: Piece = field(default_factory=lambda: Piece(0, (0,)))
    """[circuit]: the sum that its logits read, counted from 1; 0 is the ablated stream."""
    numbers: list[np.ndarray] = field(default_factory=list)
    n_numbers: int = 0

    @classmethod
    def of(cls, distinct: Distinct, batch: Sequence[int]) -> "Plan":
        """The plan of some of the circuits."""
        return _Planning(distinct, batch).plan

    def put(self, array: Int[np.ndarray, "..."]) -> Piece:
        """Add an array to those that are sent."""
        piece = Piece(self.n_numbers, array.shape)
        self.numbers.append(array.reshape(-1).astype(np.int64))
        self.n_numbers += array.size
        return piece

    def sent(self, device: torch.device) -> Int[Tensor, " number"]:
        """All indices on a device."""
        return torch.from_numpy(np.concatenate(self.numbers)).to(device)


def n_sums(blocks: Sequence[Block]) -> int:
    """How many sums there are."""
    return sum(block.has.shape[0] for block in blocks)


class _Planning:
    """A plan being made. Numbers of circuits, sums and outputs are changed for their places in this batch."""

    def __init__(self, distinct: Distinct, batch: Sequence[int]) -> None:
        graph, rows = distinct.graph, list(batch)
        self.distinct, self.rows = distinct, rows
        self.sums = distinct.sums[rows]
        numbers, places = np.unique(np.append(distinct.outputs[rows], -1), return_inverse=True)
        self.outputs = (places[:-1] - 1).reshape(len(rows), -1)
        self.plan = plan = Plan(len(numbers) - 1)
        self.n_heads = graph.n_heads
        self.first_heads = [1 + layer * (graph.n_heads + 1) for layer in range(graph.n_layers)]
        for first in self.first_heads:
            plan.layers.append(self._layer(range(first, first + graph.n_heads), first + graph.n_heads))
        plan.final_sums, place_of = self._blocks([len(graph.nodes) - 1])
        plan.final_of = plan.put(np.array([place_of.get(number, -1) + 1 for number in self.sums[:, -1, 0].tolist()]))

    def _layer(self, heads: range, mlp: int) -> Layer:
        put = self.plan.put
        blocks, place_of = self._blocks(heads)
        made: list[dict[tuple[int, int], int]] = []
        projections = []
        for number in range(3):
            made.append({(head, -1): head for head in range(self.n_heads)})
            projections.append(tuple(self._projections(heads, number, place_of, made[-1])))
        made_from, head_of, head_outputs = [], [], []
        for head, node in enumerate(heads):
            # Outputs of one node have consecutive numbers.
            outputs, circuits = self._outputs(node)
            if len(outputs):
                head_outputs.append((head, slice(int(outputs[0]), int(outputs[-1]) + 1)))
            for circuit in circuits:
                trio = self.sums[circuit, node].tolist()
                made_from.append([made[number][head, sum_] for number, sum_ in enumerate(trio)])
                head_of.append(head)
        mlp_blocks, mlp_place_of = self._blocks([mlp])
        mlp_outputs = np.zeros(len(mlp_place_of), dtype=int)
        for output, circuit in zip(*self._outputs(mlp), strict=True):
            mlp_outputs[mlp_place_of[self.sums[circuit, mlp, 0]]] = output
        return Layer(
            head_sums=blocks,
            projections=tuple(projections),
            made_from=put(np.array(made_from, dtype=int).reshape(-1, 3).T),
            head_of=put(np.array(head_of, dtype=int)),
            head_outputs=tuple(head_outputs),
            mlp_sums=mlp_blocks,
            mlp_outputs=put(mlp_outputs),
        )

    def _outputs(self, node: int) -> tuple[Int[np.ndarray, " output"], Int[np.ndarray, " output"]]:
        """A node's outputs, and for each a circuit that has it."""
        outputs, circuits = np.unique(self.outputs[:, node], return_index=True)
        return outputs[outputs >= 0], circuits[outputs >= 0]

    def _blocks(self, nodes: Sequence[int]) -> tuple[tuple[Block, ...], dict[int, int]]:
        """The sums that some nodes read, in a block for each circuit that is the first to read any of them.

        Also the place of each among them all.
        """
        place_of: dict[int, int] = {}
        blocks = []
        for circuit, row in enumerate(self.rows):
            new: dict[int, tuple[int, int]] = {}
            for node in nodes:
                for number, sum_ in enumerate(self.sums[circuit, node].tolist()):
                    if sum_ >= 0 and sum_ not in place_of:
                        new.setdefault(sum_, (node, number))
            if not new:
                continue
            place_of |= {sum_: len(place_of) + place for place, sum_ in enumerate(new)}
            has = np.stack([self.distinct.reads(row, node, number) for node, number in new.values()])
            sources = np.flatnonzero(has.any(0))
            outputs, reads = self.plan.put(self.outputs[circuit, sources]), self.plan.put(has[:, sources])
            blocks.append(Block(outputs, reads, tuple(self._of_heads(sources))))
        return tuple(blocks), place_of

    def _of_heads(self, sources: Int[np.ndarray, " source"]) -> Iterator[tuple[int, slice]]:
        """Where the heads of each layer stand among some sources, in the order of the graph."""
        for layer, first in enumerate(self.first_heads):
            start, stop = np.searchsorted(sources, (first, first + self.n_heads)).tolist()
            if start < stop:
                yield layer, slice(start, stop)

    def _projections(
        self, heads: range, number: int, place_of: dict[int, int], made: dict[tuple[int, int], int]
    ) -> Iterator[Projection]:
        """What each head makes of its sums by one of its inputs; `made` learns where each stands."""
        first = 0
        for head, node in enumerate(heads):
            sums = [sum_ for sum_ in np.unique(self.sums[:, node, number]).tolist() if sum_ >= 0]
            if sums:
                made |= {(head, sum_): self.n_heads + first + place for place, sum_ in enumerate(sums)}
                places = np.array([place_of[sum_] for sum_ in sums])
                yield Projection(head, self.plan.put(places), slice(first, first + len(sums)))
                first += len(sums)
