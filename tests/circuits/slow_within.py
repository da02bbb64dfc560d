"""A circuit within the model the slow way: node by node, each by transformers' own modules and plain hooks."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from places import places_of
from slow import slow_read_out, slow_run
from slow_blocks import Blocks
from vitro.circuits import Constants, Edge, Kind, Node, node
from vitro.circuits.nodes import INPUT, LOGITS
from vitro.models import Model


def slow_pruned(edges: Collection[Edge]) -> set[Edge]:
    """Without edges out of nodes with no way in, and edges into nodes with no way out, until there are none."""
    left = set(edges)
    while True:
        read, written = {edge.reader for edge in left}, {edge.source for edge in left}
        kept = {edge for edge in left if edge.source in read | {INPUT} and edge.reader in written | {LOGITS}}
        if kept == left:
            return kept
        left = kept


class SlowWithin:
    """One circuit on one prompt. prompt: its number, for constants of its own."""

    def __init__(self, model: Model, tokens: Sequence[int], prompt: int, edges: Collection[Edge], absent: Constants):
        self.model, self.tokens, self.prompt, self.absent = model, tokens, prompt, absent
        self.edges = {(edge.source, edge.reader, edge.input) for edge in slow_pruned(edges)}
        self.since = absent.since if isinstance(absent.since, int) else absent.since[prompt]
        self.clean, self.blocks = slow_run(model, tokens), Blocks(model, [tokens])
        self.own: dict[Node, Tensor] = {INPUT: self.clean.resid_pre[0]}
        """What they put out: the input and MLPs as it is added to the stream, heads before all that follows W_O."""
        self.ablated: dict[Node, Tensor] = {INPUT: self._constant(absent.embed, self.clean.resid_pre[0])}
        for layer in range(model.shape.n_layers):
            self._heads(layer)
            self._mlp(layer)

    def logits(self) -> Tensor:
        return slow_read_out(self.model, self._stream(LOGITS)[-1])

    def _constant(self, values: Tensor, clean: Tensor) -> Tensor:
        """[prompt, position, ...] at this prompt: before they say anything, what the model itself puts out."""
        new = values[self.prompt if len(values) > 1 else 0].double()
        new = new.expand(len(self.tokens), *new.shape[1:]) if len(new) == 1 else new[: len(self.tokens)]
        return torch.cat([clean[: self.since], new[self.since :]])

    def _stream(self, reader: Node, by: str | None = None) -> Tensor:
        """What a reader reads: every output before it, its own or ablated; heads of a layer are added up first."""
        in_circuit = {source for source in self.own if (source, reader, by) in self.edges}
        before = [source for source in self.own if self._is_before(source, reader)]
        assert in_circuit <= set(before)
        outputs = {source: (self.own if source in in_circuit else self.ablated)[source] for source in before}
        total = torch.zeros_like(self.clean.resid_pre[0])
        for number, layer in enumerate(self.blocks.layers):
            heads = [out for source, out in outputs.items() if source.layer == number and source.head >= 0]
            if heads:
                total = total + layer.heads_out(torch.stack(heads).sum(0) + layer.b_out.double())
        return torch.stack([total, *(out for source, out in outputs.items() if source.head < 0)]).sum(0)

    def _is_before(self, source: Node, reader: Node) -> bool:
        # The heads of its own layer are before an MLP only where blocks are sequential.
        in_block = reader.kind is Kind.mlp and source.layer == reader.layer and not places_of(self.model).parallel
        return source.layer < reader.layer or in_block

    def _heads(self, number: int) -> None:
        layer, clean, written = self.blocks.layers[number], self.clean.z[number], {}
        absent = self._constant(self.absent.z[number], clean)
        for heads in layer.sharing():
            read = {
                (head, name): self._stream(node(f"a{number}.h{head}"), name)[None] for head in heads for name in "qkv"
            }
            z = self.blocks.z(number, read)[0].double()
            for head in heads:
                w_out = layer.w_out(head).double()
                written[node(f"a{number}.h{head}")] = (z[:, head] @ w_out, absent[:, head] @ w_out)
        for source in sorted(written):
            self.own[source], self.ablated[source] = written[source]

    def _mlp(self, number: int) -> None:
        source = node(f"m{number}")
        self.own[source] = self.blocks.mlp_out(number, self._stream(source)[None])[0].double()
        self.ablated[source] = self._constant(self.absent.mlp_out[number], self.clean.mlp_out[number])
