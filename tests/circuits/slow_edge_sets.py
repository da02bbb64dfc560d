"""Sets of edges within a model node by node, where blocks are sequential and no norm follows heads."""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.slow_node_sets import Outputs, slow_outputs
from places import places_of
from slow import slow_read_out, w_out_of
from slow_blocks import Blocks
from vitro.circuits import INPUT, LOGITS, Edge, Kind, Node
from vitro.models import Model

Stream = Float[Tensor, "prompt position d_model"]


class SlowEdgeSets:
    """What a node puts out is kept for all sets that have the same edges up to it."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]], absent: Outputs) -> None:
        places = places_of(model)
        assert not places.parallel
        assert places.after_heads is None
        self.model, self.absent, self.known = model, absent, dict[tuple[Node, frozenset[Edge]], Stream]()
        self.embed, self.blocks = slow_outputs(model, prompts).embed, Blocks(model, prompts)
        self.before: dict[tuple[int, Kind], Stream] = {}
        """The wholly ablated stream that a layer's heads, its MLP or, after the last, the logits read."""
        stream = absent.embed.expand_as(self.embed)
        with torch.no_grad():
            for number, layer in enumerate(self.blocks.layers):
                self.before[number, Kind.head] = stream
                together = layer.out(absent.z[number].flatten(-2)) * places.multiplier
                self.before[number, Kind.mlp] = stream = stream + together
                stream = stream + absent.mlp_out[number]
        self.before[LOGITS.layer, Kind.logits] = stream

    @torch.no_grad()
    def logits(self, edges: Collection[Edge]) -> Float[Tensor, "prompt d_vocab"]:
        """Final logits of one set of edges."""
        stream = self._stream(LOGITS, None, frozenset(edges))[:, -1]
        return slow_read_out(self.model, stream).float()

    def _stream(self, reader: Node, by: str | None, edges: frozenset[Edge]) -> Stream:
        read = sorted(edge.source for edge in edges if (edge.reader, edge.input) == (reader, by))
        return sum(
            (self._own(source, edges) - self._ablated(source) for source in read),
            start=self.before[reader.layer, reader.kind],
        )

    def _ablated(self, node: Node) -> Stream:
        if node == INPUT:
            return self.absent.embed
        if node.kind is Kind.mlp:
            return self.absent.mlp_out[node.layer]
        return self.absent.z[node.layer][:, :, node.head] @ w_out_of(self.model, node.layer, node.head).float()

    def _own(self, node: Node, edges: frozenset[Edge]) -> Stream:
        if node == INPUT:
            return self.embed
        upstream = frozenset(edge for edge in edges if edge.reader <= node)
        if (node, upstream) not in self.known:
            self.known[node, upstream] = (self._mlp if node.kind is Kind.mlp else self._head)(node, upstream)
        return self.known[node, upstream]

    def _mlp(self, node: Node, edges: frozenset[Edge]) -> Stream:
        return self.blocks.mlp_out(node.layer, self._stream(node, None, edges))

    def _head(self, node: Node, edges: frozenset[Edge]) -> Stream:
        z = self.blocks.z(node.layer, {(node.head, name): self._stream(node, name, edges) for name in "qkv"})
        return z[:, :, node.head] @ w_out_of(self.model, node.layer, node.head).float()
