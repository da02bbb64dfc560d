"""Sets of edges within a model by its own modules, node by node, in a GPT-2 or a Llama, on prompts of one length."""

from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.slow_edges import projection
from circuits.slow_node_sets import Outputs, slow_outputs
from slow import final_norm_of, parts_of, unembedding_of, w_out_of
from vitro.circuits import INPUT, LOGITS, Edge, Kind, Node
from vitro.models import Model

Stream = Float[Tensor, "prompt position d_model"]


class SlowEdgeSets:
    """What a node puts out is kept for all sets that have the same edges up to it."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]], absent: Outputs) -> None:
        assert not model.parallel
        self.model, self.absent, self.known = model, absent, dict[tuple[Node, frozenset[Edge]], Stream]()
        self.embed = slow_outputs(model, prompts).embed
        self.before: dict[tuple[int, Kind], Stream] = {}
        """The wholly ablated stream that a layer's heads, its MLP or, after the last, the logits read."""
        stream = absent.embed.expand_as(self.embed)
        with torch.no_grad():
            for layer in range(model.shape.n_layers):
                self.before[layer, Kind.head] = stream
                self.before[layer, Kind.mlp] = stream = stream + parts_of(model, layer)[2](absent.z[layer].flatten(-2))
                stream = stream + absent.mlp_out[layer]
        self.before[LOGITS.layer, Kind.logits] = stream

    @torch.no_grad()
    def logits(self, edges: Collection[Edge]) -> Float[Tensor, "prompt d_vocab"]:
        """Final logits of one set of edges."""
        stream = self._stream(LOGITS, None, frozenset(edges))[:, -1]
        logits: Tensor = final_norm_of(self.model)(stream) @ unembedding_of(self.model)
        return logits

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
        block, _, _, mlp = parts_of(self.model, node.layer)
        norm = block.ln_2 if type(self.model).__name__ == "GPT2" else block.post_attention_layernorm
        out: Tensor = mlp(norm(self._stream(node, None, edges)))
        return out

    def _head(self, node: Node, edges: frozenset[Edge]) -> Stream:
        family = type(self.model).__name__
        block, attention, _, _ = parts_of(self.model, node.layer)
        norm = block.ln_1 if family == "GPT2" else block.input_layernorm
        made = []
        for name in "qkv":
            module, part = projection(family, attention, self.model.shape, node.head, name)
            made.append(module(norm(self._stream(node, name, edges)))[..., part])
        q, k = self._turned(made[0], made[1])
        scores = q @ k.mT * self.model.shape.d_head**-0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        z: Tensor = scores.masked_fill(later, -torch.inf).softmax(-1) @ made[2]
        return z @ w_out_of(self.model, node.layer, node.head).float()

    def _turned(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, turned by transformers' own functions."""
        if type(self.model).__name__ == "GPT2":
            return q, k
        cos, sin = self.model.hf.model.rotary_emb(q, torch.arange(q.shape[-2])[None])
        turn: Any = import_module(type(self.model.hf).__module__).apply_rotary_pos_emb
        q, k = turn(q[:, None], k[:, None], cos, sin)
        return q[:, 0], k[:, 0]
