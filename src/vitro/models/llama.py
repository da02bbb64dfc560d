"""Llama and its like: rotary positions, RMSNorm, grouped keys and values, a gated MLP.

Mistral adds a sliding window, Qwen 2 biases on q, k and v; SmolLM is a Llama. transformers gives all of them the same
module names.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models.model import Model, Shape
from vitro.models.rope import context


class Llama(Model):
    """Llama, Mistral, SmolLM and Qwen 2."""

    model_types = ("llama", "mistral", "qwen2")

    @classmethod
    def of(cls, hf: Any, tokenizer: Any) -> Self:
        config = hf.config
        shape = Shape(
            n_layers=config.num_hidden_layers,
            n_heads=config.num_attention_heads,
            n_kv_heads=config.num_key_value_heads,
            d_model=config.hidden_size,
            d_head=hf.model.layers[0].self_attn.head_dim,
            d_mlp=config.intermediate_size,
            d_vocab=config.vocab_size,
            n_ctx=context(config),
        )
        return cls(hf, tokenizer, shape)

    def project(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node kv_head d_head"],
        Float[Tensor, "row node kv_head d_head"],
    ]:
        attn = self.hf.model.layers[layer].self_attn
        q = attn.q_proj(normed).unflatten(-1, (self.shape.n_heads, self.shape.d_head))
        k = attn.k_proj(normed).unflatten(-1, (self.shape.n_kv_heads, self.shape.d_head))
        v = attn.v_proj(normed).unflatten(-1, (self.shape.n_kv_heads, self.shape.d_head))
        return q, k, v

    @property
    def rotary(self) -> Any:
        return self.hf.model.rotary_emb

    def attn_out(self, layer: int, z: Float[Tensor, "row node head d_head"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.model.layers[layer].self_attn.o_proj(z.flatten(-2))
        return out

    def mlp_norm(self, layer: int) -> Any:
        return self.hf.model.layers[layer].post_attention_layernorm

    def mlp_in(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[Float[Tensor, "row node d_mlp"], Float[Tensor, "row node d_mlp"]]:
        mlp = self.hf.model.layers[layer].mlp
        return mlp.gate_proj(normed), mlp.up_proj(normed)

    def activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        act: Callable[[Tensor], Tensor] = self.hf.model.layers[layer].mlp.act_fn
        return act

    def mlp_down(self, layer: int, hidden: Float[Tensor, "row node d_mlp"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.model.layers[layer].mlp.down_proj(hidden)
        return out

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        weight: Tensor = self.hf.model.layers[layer].self_attn.o_proj.weight.T
        heads: Tensor = weight.unflatten(0, (self.shape.n_heads, self.shape.d_head))
        return heads

    def w_query(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._per_head(self.hf.model.layers[layer].self_attn.q_proj)

    def w_key(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._per_head(self.hf.model.layers[layer].self_attn.k_proj)

    def w_value(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._per_head(self.hf.model.layers[layer].self_attn.v_proj)

    def _per_head(self, proj: Any) -> Float[Tensor, "head d_model d_head"]:
        """A projection's weight, head by head; shared ones are repeated for each of their query heads."""
        weight: Tensor = proj.weight.T
        heads: Tensor = weight.unflatten(1, (-1, self.shape.d_head)).transpose(0, 1)
        return heads.repeat_interleave(self.shape.n_heads // len(heads), dim=0)

    def head_norm(self, layer: int) -> Any:
        return self.hf.model.layers[layer].input_layernorm

    @property
    def norm_module(self) -> Any:
        return self.hf.model.norm

    def b_value(self, layer: int) -> Float[Tensor, "head d_head"]:
        proj = self.hf.model.layers[layer].self_attn.v_proj
        bias = proj.bias if proj.bias is not None else torch.zeros_like(proj.weight[:, 0])
        grouped: Tensor = bias.unflatten(0, (self.shape.n_kv_heads, self.shape.d_head))
        return grouped.repeat_interleave(self.shape.n_heads // self.shape.n_kv_heads, dim=0)

    def window(self, layer: int) -> int | None:
        config = self.hf.config
        # Llama has no window even if its configuration has a field for one; Mistral has one in every layer.
        sliding = config.model_type == "mistral" or (
            config.model_type == "qwen2" and config.layer_types[layer] == "sliding_attention"
        )
        return config.sliding_window if sliding else None
