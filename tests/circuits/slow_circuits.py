"""Circuits the slow, obvious way: GPT-2's weights as plain tensors, one prompt and one circuit at a time."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

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
        _Slow(model, list(prompt), number, circuit, subject, constants or {}, with_value_bias)
        for number, prompt in enumerate(prompts)
    ]
    return torch.stack([one.logits() for one in slow])


class _Slow:
    def __init__(
        self,
        model: Model,
        prompt: list[int],
        number: int,
        circuit: Circuit,
        subject: int,
        constants: Mapping[Constant, Constants],
        with_value_bias: bool,
    ) -> None:
        self.hf, self.prompt, self.number, self.circuit, self.subject = model.hf, prompt, number, circuit, subject
        self.constants, self.with_value_bias = constants, with_value_bias
        self.d_head, self.n_heads, self.d_model = model.shape.d_head, model.shape.n_heads, model.shape.d_model

    def logits(self) -> Tensor:
        total = self.sum_of(LOGITS, None)[-1]
        normed: Tensor = self.hf.transformer.ln_f(total)
        logits: Tensor = normed @ self.hf.get_output_embeddings().weight.T
        return logits

    def sum_of(self, reader: Node, name: str | None) -> Tensor:
        return sum(
            (self.output(edge.source) for edge in self.circuit.edges if (edge.reader, edge.input) == (reader, name)),
            start=torch.zeros(len(self.prompt), self.d_model),
        )

    def output(self, node: Node) -> Tensor:
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
        return self.head(node.layer, node.head, q, k, v, self.subject if pin == "subject" else pin)

    def embedding(self) -> Tensor:
        body = self.hf.transformer
        resid: Tensor = body.wte.weight[self.prompt] + body.wpe.weight[: len(self.prompt)]
        return resid

    def mlp(self, layer: int, resid: Tensor) -> Tensor:
        block = self.hf.transformer.h[layer]
        out: Tensor = block.mlp(block.ln_2(resid))
        return out

    def head(self, layer: int, head: int, q_sum: Tensor, k_sum: Tensor, v_sum: Tensor, pin: int | str | None) -> Tensor:
        block = self.hf.transformer.h[layer]
        weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
        q, k, v = (
            block.ln_1(total) @ weight[:, self.columns(place, head)] + bias[self.columns(place, head)]
            for place, total in enumerate((q_sum, k_sum, v_sum))
        )
        scores = q @ k.T * block.attn.scaling
        later = torch.triu(torch.ones_like(scores), diagonal=1).bool()
        pattern = scores.masked_fill(later, -torch.inf).softmax(-1)
        if pin is not None:
            pattern[-1] = 0.0
            pattern[-1, int(pin)] = 1.0
        return self.written(layer, head, pattern @ v)

    def written(self, layer: int, head: int, z: Tensor) -> Tensor:
        if not self.with_value_bias:
            z = z - self.value_bias(layer, head)
        rows = slice(head * self.d_head, (head + 1) * self.d_head)
        out: Tensor = z @ self.hf.transformer.h[layer].attn.c_proj.weight[rows]
        return out

    def constant_head(self, layer: int, head: int, constant: Constant) -> Tensor:
        return self.written(layer, head, self.picked(self.constants[constant].z[layer])[:, head])

    def constant_mlp(self, layer: int, constant: Constant) -> Tensor:
        return self.picked(self.constants[constant].mlp_out[layer])

    def picked(self, values: Tensor) -> Tensor:
        mine = values[self.number if len(values) > 1 else 0]
        return mine.expand(len(self.prompt), *mine.shape[1:]) if len(mine) == 1 else mine[: len(self.prompt)]

    def bias(self, layer: int) -> Tensor:
        bias: Tensor = self.hf.transformer.h[layer].attn.c_proj.bias.clone()
        if not self.with_value_bias:
            for head in range(self.n_heads):
                rows = slice(head * self.d_head, (head + 1) * self.d_head)
                bias += self.value_bias(layer, head) @ self.hf.transformer.h[layer].attn.c_proj.weight[rows]
        return bias

    def stream(self, last: int) -> Tensor:
        constants = dict(self.circuit.constants)
        resid = self.embedding()
        for layer in range(last + 1):
            mid = resid + self.bias(layer)
            for head in range(self.n_heads):
                constant = constants.get(Node(layer, Kind.head, head))
                mid = mid + (
                    self.constant_head(layer, head, constant)
                    if constant
                    else self.head(layer, head, resid, resid, resid, None)
                )
            constant = constants.get(Node(layer, Kind.mlp))
            resid = mid + (self.constant_mlp(layer, constant) if constant else self.mlp(layer, mid))
        return resid

    def columns(self, place: int, head: int) -> slice:
        start = place * self.d_model + head * self.d_head
        return slice(start, start + self.d_head)

    def value_bias(self, layer: int, head: int) -> Tensor:
        """What its values are whatever it reads: those of ln_1's bias."""
        block, mine = self.hf.transformer.h[layer], self.columns(2, head)
        values: Tensor = block.ln_1.bias @ block.attn.c_attn.weight[:, mine] + block.attn.c_attn.bias[mine]
        return values
