"""Circuits the slow, obvious way: a checkpoint's own modules, one prompt, one circuit and one head at a time."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from circuits.slow_edges import projection
from slow import final_norm_of, parts_of, unembedding_of, value_bias_of, w_out_of
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
        self.model, self.hf, self.family = model, model.hf, type(model).__name__
        self.prompt, self.number, self.circuit, self.subject = list(prompt), number, circuit, subject
        self.constants, self.with_value_bias = constants, with_value_bias
        self.d_model, self.n_heads = model.shape.d_model, model.shape.n_heads
        self.patterns: dict[Node, Tensor] = {}
        """Of every live head that was computed, from the final stream: [position]."""
        self._found: dict[Node, Tensor] = {}

    @torch.no_grad()
    def logits(self) -> Tensor:
        total = self.sum_of(LOGITS, None)[-1]
        logits: Tensor = final_norm_of(self.model)(total) @ unembedding_of(self.model)
        return logits

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
        return self.head(node.layer, node.head, q, k, v, self.subject if isinstance(pin, str) else pin)

    def embedding(self) -> Tensor:
        resid: Tensor = self.hf.get_input_embeddings().weight[self.prompt]
        return resid + self.hf.transformer.wpe.weight[: len(self.prompt)] if self.family == "GPT2" else resid

    def mlp(self, layer: int, resid: Tensor) -> Tensor:
        block, _, _, mlp = parts_of(self.model, layer)
        out: Tensor = mlp((block.ln_2 if self.family == "GPT2" else block.post_attention_layernorm)(resid))
        return out

    def head(self, layer: int, head: int, q_sum: Tensor, k_sum: Tensor, v_sum: Tensor, pin: int | None) -> Tensor:
        block, attention, _, _ = parts_of(self.model, layer)
        norm = block.ln_1 if self.family == "GPT2" else block.input_layernorm
        projected = []
        for name, total in zip("qkv", (q_sum, k_sum, v_sum), strict=True):
            project, columns = projection(self.family, attention, self.model.shape, head, name)
            projected.append(project(norm(total))[:, columns])
        q, k = self.turned(projected[0], projected[1])
        at = torch.arange(len(self.prompt))
        back = at[:, None] - at
        hidden = (back < 0) | (back >= self.window(layer))
        pattern = (q @ k.T * self.scale(layer)).masked_fill(hidden, -torch.inf).softmax(-1)
        if pin is not None:
            pattern[-1] = torch.eye(len(self.prompt))[pin]
        self.patterns[Node(layer, Kind.head, head)] = pattern[-1]
        return self.written(layer, head, pattern @ projected[2])

    def turned(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, [position, d_head], turned by transformers' own functions."""
        if self.family == "GPT2":
            return q, k
        body = self.hf.gpt_neox if self.family == "GPTNeoX" else self.hf.model
        cos, sin = body.rotary_emb(q, torch.arange(len(self.prompt))[None])
        turn: Any = import_module(type(self.hf).__module__).apply_rotary_pos_emb
        q, k = turn(q[None, None], k[None, None], cos, sin)
        return q[0, 0], k[0, 0]

    def scale(self, layer: int) -> float:
        """What q.k is multiplied by, from the configuration."""
        config, scale = self.hf.config, float(self.model.shape.d_head**-0.5)
        if self.family != "GPT2":
            return scale
        scale = scale if config.scale_attn_weights else 1.0
        return scale / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scale

    def window(self, layer: int) -> int:
        """How many positions a head sees, its own among them, from the configuration."""
        config, all_of_them = self.hf.config, len(self.prompt)
        if config.model_type == "mistral":
            return config.sliding_window or all_of_them
        if config.model_type == "qwen2" and config.layer_types[layer] == "sliding_attention":
            return int(config.sliding_window)
        return all_of_them

    def written(self, layer: int, head: int, z: Tensor) -> Tensor:
        if not self.with_value_bias:
            z = z - self.value_bias(layer, head)
        return z @ w_out_of(self.model, layer, head).float()

    def constant_head(self, layer: int, head: int, constant: Constant) -> Tensor:
        return self.written(layer, head, self.picked(self.constants[constant].z[layer])[:, head])

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
        attn_bias = parts_of(self.model, layer)[2].bias
        bias = torch.zeros(self.d_model) if attn_bias is None else attn_bias.clone()
        if not self.with_value_bias:
            for head in range(self.n_heads):
                bias += self.value_bias(layer, head) @ w_out_of(self.model, layer, head).float()
        return bias

    def value_bias(self, layer: int, head: int) -> Tensor:
        return value_bias_of(self.model, layer, head).float()

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
            parallel = getattr(self.hf.config, "use_parallel_residual", False)
            resid = mid + (
                self.constant_mlp(layer, constant) if constant else self.mlp(layer, resid if parallel else mid)
            )
        return resid
