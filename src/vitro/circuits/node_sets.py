"""Circuits that have every edge among some nodes: they read a stream like the model's own, and each carries it along.

Whatever a node reads is all that the circuit wrote before it. So a layer is computed once for all circuits that have
the same nodes in the layers before, and nothing is summed twice.
"""

from collections.abc import Callable, Iterator, Sequence
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


HeadChange = tuple[Int[np.ndarray, " _row"], Float[Tensor, "out _any d_model"], Int[np.ndarray, " _row"]]


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
            self._add_heads(layer, ablated, changes)
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
    ) -> Iterator[HeadChange]:
        """For each head: the new streams that have it, what it writes for each old one, and which old one is whose."""
        live = np.flatnonzero(heads.any(0))
        if not len(live):
            return
        reading = np.unique(stream_before[heads.any(1)])
        projected = self._projected(layer, self._normed(layer, ablated, before, reading))
        w_out = self.model.w_out(layer) if ablated.together is None else self.model.w_together(layer)
        for head in live.tolist():
            rows = np.flatnonzero(heads[:, head])
            old, of_row = np.unique(stream_before[rows], return_inverse=True)
            here = self.sent(np.searchsorted(reading, old))
            q, k, v = projected(head, None if len(old) == len(reading) else here)
            head_of = torch.full((len(old),), head, device=q.device)
            turned = self.model.turn(layer, q[None], k[None], self.ablated.positions, (head_of, head_of))
            q, k = (part[0] for part in turned)
            at_once = self.ablated.outputs_at_once(self.streams)
            parts = zip(*(part.split(at_once, dim=1) for part in (q, k, v)), strict=True)
            z = torch.cat([self.ablated.mixed(layer, head_of[: part[0].shape[1]], *part) for part in parts], dim=1)
            yield rows, (z - ablated.z[:, head, None]) @ w_out[head], of_row.reshape(-1)

    def _projected(
        self, layer: int, normed: Float[Tensor, "node read d_model"]
    ) -> Callable[[int, Int[Tensor, " picked"] | None], Iterator[Float[Tensor, "node picked d_head"]]]:
        """A head's queries, keys and values, before rotation, of some of these streams; None: of all."""
        model = self.model
        own = model.own_projections(layer)
        if not any(project.of_all_heads for project in own):

            def of_one(head: int, which: Int[Tensor, " picked"] | None) -> Iterator[Tensor]:
                read = normed if which is None else _picked(normed, which)
                return (project(head, read) for project in own)

            return of_one
        # Each head takes all heads' projections of its stream, so they are made once.
        whole = model.project(layer, normed)

        def of_whole(head: int, which: Int[Tensor, " picked"] | None) -> Iterator[Tensor]:
            made = (part[:, :, head // project.shared_by] for part, project in zip(whole, own, strict=True))
            return (part if which is None else _picked(part, which) for part in made)

        return of_whole

    def _add_heads(
        self,
        layer: int,
        ablated: AblatedLayer,
        changes: Sequence[HeadChange],
    ) -> None:
        """Add to the new streams what each of their heads writes: together, where a norm reads their sum."""
        if ablated.together is None:
            for rows, change, of_row in changes:
                self.change.index_add_(1, self.sent(rows), _picked(change, self.sent(of_row)))
            return
        if not changes:
            return
        live = np.unique(np.concatenate([rows for rows, _, _ in changes]))
        together = ablated.together[:, None].repeat(1, len(live), 1)
        for rows, change, of_row in changes:
            together.index_add_(1, self.sent(np.searchsorted(live, rows)), _picked(change, self.sent(of_row)))
        size = max(1, self.streams // len(live))
        for start in range(0, len(together), size):
            nodes = slice(start, start + size)
            was = self.model.after_heads(layer, ablated.together[nodes, None])
            added = self.model.after_heads(layer, together[nodes]) - was
            self.change[nodes].index_add_(1, self.sent(live), added)

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
