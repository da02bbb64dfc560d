"""GPT-NeoX (Pythia): blocks whose heads and MLP read side by side, and positions rotated in part of each head."""

from collections.abc import Callable
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models.model import Model, Shape
from vitro.models.rope import context


class GPTNeoX(Model):
    """GPT-NeoX and Pythia, with parallel blocks or (`use_parallel_residual=False`) sequential ones."""

    model_types = ("gpt_neox",)

    @classmethod
    def of(cls, hf: Any, tokenizer: Any) -> Self:
        config = hf.config
        shape = Shape(
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            n_kv_heads=config.num_attention_heads,
            d_model=config.hidden_size,
            d_head=config.hidden_size // config.num_attention_heads,
            d_mlp=config.intermediate_size,
            d_vocab=config.vocab_size,
            n_ctx=context(config),
        )
        return cls(hf, tokenizer, shape)

    @property
    def parallel(self) -> bool:
        value: bool = self.hf.config.use_parallel_residual
        return value

    def project(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node head d_head"],
    ]:
        fused: Tensor = self.hf.gpt_neox.layers[layer].attention.query_key_value(normed)
        # q, k and v of one head lie together, head after head; GPT-2 has all q first.
        q, k, v = fused.unflatten(-1, (self.shape.n_heads, 3, self.shape.d_head)).unbind(-2)
        return q, k, v

    @property
    def rotary(self) -> Any:
        return self.hf.gpt_neox.rotary_emb

    def attn_out(self, layer: int, z: Float[Tensor, "row node head d_head"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.gpt_neox.layers[layer].attention.dense(z.flatten(-2))
        return out

    def mlp_norm(self, layer: int) -> Any:
        return self.hf.gpt_neox.layers[layer].post_attention_layernorm

    def mlp_in(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[Float[Tensor, "row node d_mlp"], None]:
        return self.hf.gpt_neox.layers[layer].mlp.dense_h_to_4h(normed), None

    def activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        act: Callable[[Tensor], Tensor] = self.hf.gpt_neox.layers[layer].mlp.act
        return act

    def mlp_down(self, layer: int, hidden: Float[Tensor, "row node d_mlp"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.gpt_neox.layers[layer].mlp.dense_4h_to_h(hidden)
        return out

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        weight: Tensor = self.hf.gpt_neox.layers[layer].attention.dense.weight.T
        heads: Tensor = weight.unflatten(0, (self.shape.n_heads, self.shape.d_head))
        return heads

    def w_query(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[0]

    def w_key(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[1]

    def w_value(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[2]

    def _w_qkv(self, layer: int) -> Float[Tensor, "qkv head d_model d_head"]:
        fused: Tensor = self.hf.gpt_neox.layers[layer].attention.query_key_value.weight.T
        parts: Tensor = fused.unflatten(1, (self.shape.n_heads, 3, self.shape.d_head)).permute(2, 1, 0, 3)
        return parts

    def head_norm(self, layer: int) -> Any:
        return self.hf.gpt_neox.layers[layer].input_layernorm

    @property
    def norm_module(self) -> Any:
        return self.hf.gpt_neox.final_layer_norm

    def b_value(self, layer: int) -> Float[Tensor, "head d_head"]:
        proj = self.hf.gpt_neox.layers[layer].attention.query_key_value
        bias = proj.bias if proj.bias is not None else torch.zeros_like(proj.weight[:, 0])
        grouped: Tensor = bias.unflatten(0, (self.shape.n_heads, 3, self.shape.d_head))
        return grouped[:, 2]
