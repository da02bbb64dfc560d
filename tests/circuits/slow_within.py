"""A circuit within the model the slow way: node by node, each by transformers' own modules and plain hooks."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from circuits.slow_edges import projection
from slow import parts_of, slow_read_out, slow_run, w_out_of
from vitro.circuits import Constants, Edge, Node, node
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
        self.clean = slow_run(model, tokens)
        self.own: dict[Node, Tensor] = {INPUT: self.clean.resid_pre[0]}
        self.ablated: dict[Node, Tensor] = {INPUT: self._constant(absent.embed, self.clean.resid_pre[0])}
        self.biases = torch.zeros(model.shape.d_model).double()
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
        """What a reader reads: every output before it, its own or ablated, and the heads' output biases."""
        in_circuit = [source for source in self.own if (source, reader, by) in self.edges]
        # The heads of its own layer are before an MLP only where blocks are sequential.
        before = [
            source
            for source in self.own
            if source.layer < reader.layer
            or (source.layer == reader.layer and reader == node(f"m{reader.layer}") and not self.model.parallel)
            or reader == LOGITS
        ]
        assert set(in_circuit) <= set(before)
        total = sum(self.own[source] if source in in_circuit else self.ablated[source] for source in before)
        return torch.as_tensor(total) + self.biases

    def _heads(self, layer: int) -> None:
        model, shape = self.model, self.model.shape
        block, attention, out, _ = parts_of(model, layer)
        norm = block.ln_1 if type(model).__name__ == "GPT2" else block.input_layernorm
        group = shape.n_heads // shape.n_kv_heads
        written = {}
        # Heads that share keys are run in passes of their own.
        for first in range(group):
            heads = range(first, shape.n_heads, group)
            replaced: dict[Any, list[tuple[slice, Tensor]]] = {}
            for head in heads:
                for name in "qkv":
                    module, part = projection(type(model).__name__, attention, shape, head, name)
                    stream = self._stream(node(f"a{layer}.h{head}"), name).float()
                    replaced.setdefault(module, []).append((part, module(norm(stream[None]))[..., part]))
            z = self._z(out, replaced)
            for head in heads:
                own = z[:, head] @ w_out_of(model, layer, head)
                clean = self.clean.z[layer]
                ablated = self._constant(self.absent.z[layer], clean)[:, head] @ w_out_of(model, layer, head)
                written[node(f"a{layer}.h{head}")] = (own, ablated)
        for source in sorted(written):
            self.own[source], self.ablated[source] = written[source]
        self.pre_biases = self.biases
        self.biases = self.biases + (0.0 if out.bias is None else out.bias.double())

    def _z(self, out: Any, replaced: dict[Any, list[tuple[slice, Tensor]]]) -> Tensor:
        """Every head's z in a plain pass whose projections put out other parts: [position, head, d_head]."""
        z_inputs: list[Tensor] = []

        def splice(module: Any, args: Any, result: Tensor) -> Tensor:
            result = result.clone()
            for part, new in replaced[module]:
                result[..., part] = new
            return result

        handles = [module.register_forward_hook(splice) for module in replaced]
        handles.append(out.register_forward_pre_hook(lambda module, args: z_inputs.append(args[0][0])))
        with torch.no_grad():
            self.model.hf(torch.tensor([list(self.tokens)]))
        for handle in handles:
            handle.remove()
        z: Tensor = z_inputs[0].unflatten(-1, (self.model.shape.n_heads, -1)).double()
        return z

    def _mlp(self, layer: int) -> None:
        block, _, _, mlp = parts_of(self.model, layer)
        norm = block.ln_2 if type(self.model).__name__ == "GPT2" else block.post_attention_layernorm
        source, after = node(f"m{layer}"), self.biases
        # In a parallel block the MLP reads what the heads of its layer read.
        self.biases = self.pre_biases if self.model.parallel else after
        stream = self._stream(source).float()
        self.biases = after
        with torch.no_grad():
            self.own[source] = mlp(norm(stream[None]))[0].double()
        self.ablated[source] = self._constant(self.absent.mlp_out[layer], self.clean.mlp_out[layer])
