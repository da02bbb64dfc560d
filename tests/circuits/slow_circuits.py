"""Circuits the slow, obvious way: a checkpoint's own modules, one prompt, one circuit and one head at a time."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from places import gain_of, norm_scale, rows_of
from slow import slow_read_out, slow_run, value_bias_of, w_out_of
from slow_blocks import Blocks
from vitro.circuits import INPUT, LOGITS, Circuit, Constant, Constants, Kind, Node
from vitro.models import Model


def slow_logits(
    model: Model,
    prompts: Sequence[Sequence[int]],
    circuit: Circuit,
    subject: int,
    constants: Mapping[Constant, Constants] | None = None,
    *,
    with_value_bias: bool = False,
) -> Tensor:
    """Logits [prompt, d_vocab] at the final stream."""
    slow = [
        SlowCircuit(model, prompt, number, circuit, subject, constants or {}, with_value_bias)
        for number, prompt in enumerate(prompts)
    ]
    return torch.stack([circuit_run.logits() for circuit_run in slow])


class SlowCircuit:
    """One circuit on one prompt, by the words of `Circuit`; `number` is the prompt's, for constants of its own."""

    def __init__(
        self,
        model: Model,
        prompt: Sequence[int],
        number: int,
        circuit: Circuit,
        subject: int,
        constants: Mapping[Constant, Constants],
        with_value_bias: bool,
    ) -> None:
        self.model, self.blocks, self.clean = model, Blocks(model, [prompt]), slow_run(model, prompt)
        self.prompt, self.number, self.circuit, self.subject = list(prompt), number, circuit, subject
        self.constants, self.with_value_bias = constants, with_value_bias
        self.d_model, self.n_heads = model.shape.d_model, model.shape.n_heads
        self.patterns: dict[Node, Tensor] = {}
        """Of every live head that was computed, from the final stream: [position]."""
        self._found: dict[Node, Tensor] = {}

    @torch.no_grad()
    def logits(self) -> Tensor:
        total = self.sum_of(LOGITS, None)[-1]
        return slow_read_out(self.model, total).float()

    def sum_of(self, reader: Node, name: str | None) -> Tensor:
        return sum(
            (self.output(edge.source) for edge in self.circuit.edges if (edge.reader, edge.input) == (reader, name)),
            start=torch.zeros(len(self.prompt), self.d_model),
        )

    def output(self, node: Node) -> Tensor:
        if node not in self._found:
            self._found[node] = self._output(node)
        return self._found[node]

    def _output(self, node: Node) -> Tensor:
        constant = dict(self.circuit.constants).get(node)
        if node == INPUT:
            return self.embedding()
        if node.kind is Kind.bias:
            return self.bias(node.layer).expand(len(self.prompt), -1)
        if node.kind is Kind.stream:
            return self.stream(node.layer)
        if node.kind is Kind.mlp:
            return (
                self.constant_mlp(node.layer, constant) if constant else self.mlp(node.layer, self.sum_of(node, None))
            )
        if constant:
            return self.constant_head(node.layer, node.head, constant)
        pin = dict(self.circuit.pins).get(node)
        q, k, v = (self.sum_of(node, name) for name in "qkv")
        z = self.z(node.layer, node.head, q, k, v, self.subject if isinstance(pin, str) else pin)
        return self.written(node.layer, node.head, z)

    def embedding(self) -> Tensor:
        return self.clean.resid_pre[0].float()

    def mlp(self, layer: int, resid: Tensor) -> Tensor:
        return self.blocks.mlp_out(layer, resid[None])[0]

    def z(self, layer: int, head: int, q_sum: Tensor, k_sum: Tensor, v_sum: Tensor, pin: int | None) -> Tensor:
        pattern = self.blocks.attention(layer, head, q=q_sum[None], k=k_sum[None])[0]
        if pin is not None:
            pattern[-1] = torch.eye(len(self.prompt))[pin]
        self.patterns[Node(layer, Kind.head, head)] = pattern[-1]
        return pattern @ self.blocks.values(layer, head, v_sum[None])[0]

    def written(self, layer: int, head: int, z: Tensor) -> Tensor:
        if not self.with_value_bias:
            z = z - self.value_bias(layer, head)
        return z @ w_out_of(self.model, layer, head).float() * self.factor(layer)

    def factor(self, number: int) -> Tensor:
        """By which a norm after the heads multiplies what they write in the clean run: [position, d_model] or 1."""
        layer = self.blocks.layers[number]
        if layer.after_heads is None:
            return torch.ones(1)
        together = self.clean.z[number].flatten(-2) @ rows_of(layer.out).double() + layer.b_out.double()
        scale = norm_scale(layer.places, layer.after_heads, together)
        return (gain_of(layer.places, layer.after_heads) / scale).float()

    def constant_head(self, layer: int, head: int, constant: Constant) -> Tensor:
        return self.written(layer, head, self.constant_z(layer, head, constant))

    def constant_z(self, layer: int, head: int, constant: Constant) -> Tensor:
        return self.picked(self.constants[constant].z[layer])[:, head]

    def constant_mlp(self, layer: int, constant: Constant) -> Tensor:
        return self.picked(self.constants[constant].mlp_out[layer])

    def picked(self, values: Tensor) -> Tensor:
        prompt_values = values[self.number if len(values) > 1 else 0]
        return (
            prompt_values.expand(len(self.prompt), *prompt_values.shape[1:])
            if len(prompt_values) == 1
            else prompt_values[: len(self.prompt)]
        )

    def bias(self, layer: int) -> Tensor:
        """[position or 1, d_model]"""
        at = self.blocks.layers[layer]
        bias = at.b_out * at.places.multiplier
        if not self.with_value_bias:
            for head in range(self.n_heads):
                bias = bias + self.value_bias(layer, head) @ w_out_of(self.model, layer, head).float()
        return bias * self.factor(layer)

    def value_bias(self, layer: int, head: int) -> Tensor:
        return value_bias_of(self.model, layer, head).float()

    def stream(self, last: int) -> Tensor:
        """The model's own, but for its constants: its heads are added up before a norm after them."""
        constants = dict(self.circuit.constants)
        resid = self.embedding()
        for number, layer in enumerate(self.blocks.layers[: last + 1]):
            together = layer.b_out
            for head in range(self.n_heads):
                constant = constants.get(Node(number, Kind.head, head))
                z = (
                    self.constant_z(number, head, constant)
                    if constant
                    else self.z(number, head, resid, resid, resid, None)
                )
                together = together + z @ layer.w_out(head)
            mid = resid + layer.heads_out(together).float()
            constant = constants.get(Node(number, Kind.mlp))
            read = resid if layer.places.parallel else mid
            resid = mid + (self.constant_mlp(number, constant) if constant else self.mlp(number, read))
        return resid
