"""Circuits that have every edge among some nodes: they read a stream like the model's own, and each carries it along.

Whatever a node reads is all that the circuit wrote before it. So a layer is computed once for all circuits that have
the same nodes in the layers before, and nothing is summed twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.circuits.ablated import Ablated, AblatedLayer
from vitro.circuits.graph import Graph
from vitro.circuits.in_model import InModel
from vitro.circuits.nodes import CircuitError
from vitro.engine import Progress, Read

# How many streams a circuit has in memory at once: its own before and after a part of a block, and what its heads make.
HELD = 8


def run_node_sets(
    inside: InModel, sets: Bool[np.ndarray, "circuit source"], read: Read, progress: Progress | None = None
) -> dict[str, Tensor]:
    """Run circuits that are sets of nodes, with all edges among them, as `run_within` does, but faster.

    sets: the nodes of each circuit, in the order of `Graph.of(model).sources`; the logits are in all of them. All else
    is as for `run_within` with `Graph.among`, to rounding, and so are the errors.
    Source: docs/method.md, section 10.

    >>> inside = vitro.circuits.InModel.of(model, prompts, vitro.circuits.resampled(model, prompts, seed=0))
    >>> sets = ~np.eye(len(Graph.of(model).sources), dtype=bool)
    >>> run_node_sets(inside, sets, lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([16, 7])
    """
    graph = Graph.of(inside.prepared.model)
    if sets.ndim != 2 or sets.dtype != bool or sets.shape[1] != len(graph.sources):
        raise CircuitError(
            f"sets of nodes are true or false for each of the model's {len(graph.sources)} sources, [circuit, source]; "
            f"these are {sets.dtype} of shape {sets.shape}"
        )
    # Sorted by the first layers, so that neighbours share them.
    _, first, number = np.unique(np.packbits(sets, axis=1), axis=0, return_index=True, return_inverse=True)
    rows = inside.run(NodeSets(graph, sets[first]), read, lambda row: f"circuit {first[row]}", progress)
    return {name: values[torch.from_numpy(number.reshape(-1))] for name, values in rows.items()}


@dataclass(frozen=True, eq=False)
class NodeSets:
    """Distinct sets of nodes, in an order in which neighbours share the first layers."""

    graph: Graph
    sets: Bool[np.ndarray, "circuit source"]

    def __len__(self) -> int:
        return len(self.sets)

    def batches(self, most: int) -> Iterator[range]:
        """Consecutive circuits that have together at most so many streams, but at least one circuit."""
        size = max(1, most // HELD)
        return (range(start, min(start + size, len(self))) for start in range(0, len(self), size))

    def finals(self, ablated: Ablated, batch: Sequence[int], streams: int) -> Float[Tensor, "circuit prompt d_model"]:
        """What the logits of each circuit read."""
        walk = _Walk(ablated, self.graph, self.sets[list(batch)], streams)
        for _ in walk.layers():
            pass
        return ablated.finals_of(ablated.resid_final[:, None] + walk.change, walk.sent(walk.stream_of))

    def layers(self, ablated: Ablated, circuit: int) -> Iterator[Tensor]:
        """What one circuit's streams differ by from the ablated ones: after the embedding, and after each layer."""
        return _Walk(ablated, self.graph, self.sets[[circuit]], streams=1).layers()


class _Walk:
    """A batch of circuits, layer by layer. Streams are kept as their differences from the wholly ablated one."""

    def __init__(
        self, ablated: Ablated, graph: Graph, inside: Bool[np.ndarray, "circuit source"], streams: int
    ) -> None:
        self.ablated, self.model, self.streams = ablated, ablated.model, streams
        self.graph, self.inside = graph, inside
        with_input, self.stream_of = np.unique(inside[:, 0], return_inverse=True)
        flags = torch.from_numpy(with_input).to(ablated.input_change)
        self.change: Float[Tensor, "node stream d_model"] = ablated.input_change[:, None] * flags[None, :, None]
        """Of each distinct stream; `stream_of` says which is each circuit's."""

    def layers(self) -> Iterator[Tensor]:
        """Run layer by layer; gives the streams after the embedding and after each."""
        yield self.change
        per_layer = self.graph.n_heads + 1
        for layer, ablated in enumerate(self.ablated.layers):
            members = self.inside[:, 1 + layer * per_layer :][:, :per_layer]
            before = self.change
            stream_before, heads = self._split(members[:, :-1])
            changes = list(self._head_changes(layer, ablated, before, stream_before, heads))
            if layer == len(self.ablated.layers) - 1:
                # From here on only the final nodes are read.
                before = before[self.ablated.finals]
            self.change = _picked(before, self.sent(stream_before))
            for rows, change, of_row in changes:
                self.change.index_add_(1, self.sent(rows), _picked(change, self.sent(of_row)))
            read = _picked(before, self.sent(stream_before)) if self.model.parallel else self.change
            stream_before, with_mlp = self._split(members[:, -1:])
            self._add_mlps(layer, ablated, read, stream_before, with_mlp[:, 0])
            yield self.change

    def _split(
        self, members: Bool[np.ndarray, "circuit member"]
    ) -> tuple[Int[np.ndarray, " stream"], Bool[np.ndarray, "stream member"]]:
        """Streams are told apart by what writes to them next: each new one's old number, and who writes to it."""
        pairs, self.stream_of = np.unique(np.column_stack([self.stream_of, members]), axis=0, return_inverse=True)
        self.stream_of = self.stream_of.reshape(-1)
        return pairs[:, 0], pairs[:, 1:].astype(bool)

    def _head_changes(
        self,
        layer: int,
        ablated: AblatedLayer,
        before: Float[Tensor, "node stream d_model"],
        stream_before: Int[np.ndarray, " new"],
        heads: Bool[np.ndarray, "new head"],
    ) -> Iterator[tuple[Int[np.ndarray, " row"], Float[Tensor, "out read d_model"], Int[np.ndarray, " row"]]]:
        """For each head: the new streams that have it, what it writes for each old one, and which old one is whose."""
        live = np.flatnonzero(heads.any(0))
        if not len(live):
            return
        reading = np.unique(stream_before[heads.any(1)])
        normed = self._normed(layer, ablated, before, reading)
        weights = self.model.per_head(layer)
        w_out = self.model.w_out(layer)
        for head in live.tolist():
            rows = np.flatnonzero(heads[:, head])
            old, of_row = np.unique(stream_before[rows], return_inverse=True)
            here = self.sent(np.searchsorted(reading, old))
            read = normed if len(old) == len(reading) else _picked(normed, here)
            q, k, v = (read @ weight[head] + bias[head] for weight, bias in weights)
            head_of = torch.full((len(old),), head, device=q.device)
            turned = self.model.turn(layer, q[None], k[None], self.ablated.positions, (head_of, head_of))
            q, k = (part[0] for part in turned)
            at_once = self.ablated.outputs_at_once(self.streams)
            parts = zip(*(part.split(at_once, dim=1) for part in (q, k, v)), strict=True)
            z = torch.cat([self.ablated.mixed(layer, head_of[: part[0].shape[1]], *part) for part in parts], dim=1)
            yield rows, (z - ablated.z[:, head, None]) @ w_out[head], of_row.reshape(-1)

    def _normed(
        self,
        layer: int,
        ablated: AblatedLayer,
        before: Float[Tensor, "node stream d_model"],
        reading: Int[np.ndarray, " read"],
    ) -> Float[Tensor, "node read d_model"]:
        streams = before if len(reading) == before.shape[1] else _picked(before, self.sent(reading))
        normed: Tensor = self.model.head_norm(layer)(ablated.resid_pre[:, None] + streams)
        return normed

    def _add_mlps(
        self,
        layer: int,
        ablated: AblatedLayer,
        read: Float[Tensor, "out stream d_model"],
        stream_before: Int[np.ndarray, " new"],
        with_mlp: Bool[np.ndarray, " new"],
    ) -> None:
        rows = self.sent(np.flatnonzero(with_mlp))
        old = self.sent(stream_before[with_mlp])
        self.change = _picked(self.change, self.sent(stream_before))
        if not len(rows):
            return
        size = max(1, self.streams // len(rows))
        for start in range(0, len(read), size):
            nodes = slice(start, start + size)
            out = self.model.mlp_out(layer, ablated.mlp_in[nodes, None] + _picked(read[nodes], old))
            self.change[nodes].index_add_(1, rows, out - ablated.mlp_out[nodes, None])

    def sent(self, numbers: Int[np.ndarray, " any"]) -> Int[Tensor, " any"]:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self.model.device)


def _picked(
    values: Float[Tensor, "node _any width"], which: Int[Tensor, " picked"]
) -> Float[Tensor, "node picked width"]:
    """Some of the streams at each node."""
    return values.index_select(1, which)
