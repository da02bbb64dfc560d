"""GPT-2: learned positions, LayerNorm, one fused c_attn with biases, weights stored (in, out) as in Conv1D."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import gelu

from vitro.models.model import Model, Shape


class GPT2(Model):
    """GPT-2 of every size, and other models of its architecture."""

    model_types = ("gpt2",)

    @classmethod
    def of(cls, hf: Any, tokenizer: Any) -> Self:
        config = hf.config
        shape = Shape(
            n_layers=config.n_layer,
            n_heads=config.n_head,
            n_kv_heads=config.n_head,
            d_model=config.n_embd,
            d_head=config.n_embd // config.n_head,
            d_mlp=config.n_inner or 4 * config.n_embd,
            d_vocab=config.vocab_size,
            n_ctx=config.n_positions,
        )
        return cls(hf, tokenizer, shape)

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        embedding: Tensor = self.hf.transformer.wpe(positions)
        return embedding

    def project(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node head d_head"],
    ]:
        fused: Tensor = self.hf.transformer.h[layer].attn.c_attn(normed)
        q, k, v = fused.unflatten(-1, (3, self.shape.n_heads, self.shape.d_head)).unbind(-3)
        return q, k, v

    def attn_out(self, layer: int, z: Float[Tensor, "row node head d_head"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.transformer.h[layer].attn.c_proj(z.flatten(-2))
        return out

    def mlp_norm(self, layer: int) -> Any:
        return self.hf.transformer.h[layer].ln_2

    def mlp_in(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[Float[Tensor, "row node d_mlp"], None]:
        return self.hf.transformer.h[layer].mlp.c_fc(normed), None

    def activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        # transformers computes GPT-2's activation in seven passes over memory; this is the same formula in one.
        if self.hf.config.activation_function == "gelu_new":
            return partial(gelu, approximate="tanh")
        act: Callable[[Tensor], Tensor] = self.hf.transformer.h[layer].mlp.act
        return act

    def mlp_down(self, layer: int, hidden: Float[Tensor, "row node d_mlp"]) -> Float[Tensor, "row node d_model"]:
        out: Tensor = self.hf.transformer.h[layer].mlp.c_proj(hidden)
        return out

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        weight: Tensor = self.hf.transformer.h[layer].attn.c_proj.weight
        heads: Tensor = weight.unflatten(0, (self.shape.n_heads, self.shape.d_head))
        return heads

    def w_query(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[0]

    def w_key(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[1]

    def w_value(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        return self._w_qkv(layer)[2]

    def _w_qkv(self, layer: int) -> Float[Tensor, "qkv head d_model d_head"]:
        fused: Tensor = self.hf.transformer.h[layer].attn.c_attn.weight
        parts: Tensor = fused.unflatten(1, (3, self.shape.n_heads, self.shape.d_head)).permute(1, 2, 0, 3)
        return parts

    def head_norm(self, layer: int) -> Any:
        return self.hf.transformer.h[layer].ln_1

    @property
    def norm_module(self) -> Any:
        return self.hf.transformer.ln_f

    def b_value(self, layer: int) -> Float[Tensor, "head d_head"]:
        fused: Tensor = self.hf.transformer.h[layer].attn.c_attn.bias
        grouped: Tensor = fused.unflatten(0, (3, self.shape.n_heads, self.shape.d_head))
        return grouped[2]

    def attn_scale(self, layer: int) -> float:
        scaling: float = self.hf.transformer.h[layer].attn.scaling
        return scaling
