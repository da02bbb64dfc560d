"""GPT-J and its like: one norm for a block's heads and its MLP, which read side by side, and partial rotation."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.block import MLP, QKV, Block, HeadNorm, Readout, Rotation
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class GPTJ(Model):
    """GPT-J: neighbouring coordinates are rotated, and the unembedding has a bias."""

    model_types: ClassVar = {"gptj": "parallel blocks with one LayerNorm, neighbours rotated in part of each head, b_U"}

    @property
    def parallel(self) -> bool:
        return True

    def sizes(self) -> Shape:
        config = self.hf.config
        return Shape.of(config, d_mlp=config.n_inner or 4 * config.n_embd)

    def block(self, layer: int) -> Block:
        at = self.hf.transformer.h[layer]
        norm = Norm.layer(at.ln_1)
        return Block(
            head_norm=norm,
            qkv=self._qkv(at.attn),
            turn=Rotation(partial(_from_table, at.attn), _turned, width=self.hf.config.rotary_dim),
            scale=self.shape.d_head**-0.5,
            write=at.attn.out_proj,
            mlp_norm=norm,
            mlp=MLP.plain(at.mlp.fc_in, at.mlp.act, at.mlp.fc_out),
        )

    def _qkv(self, attn: Any) -> QKV:
        return QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, self.shape.d_head)

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.ln_f), self.hf.lm_head)


class CodeGen(GPTJ):
    """CodeGen: GPT-J with one fused projection, laid out as for four devices."""

    model_types: ClassVar = {"codegen": "as gptj, with q, v and k in one projection, a quarter of the heads at a time"}

    def _qkv(self, attn: Any) -> QKV:
        return QKV((attn.qkv_proj,), self._split)

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        q, v, k = outputs[0].unflatten(-1, (4, 3, -1, self.shape.d_head)).unbind(-3)
        return q.flatten(-3, -2), k.flatten(-3, -2), v.flatten(-3, -2)


class Phi(Model):
    """Phi 1, 1.5 and 2."""

    model_types: ClassVar = {"phi": "parallel blocks with one LayerNorm, partial rotation, b_U, q/k LayerNorm possible"}

    def sizes(self) -> Shape:
        config, attn = self.hf.config, self.hf.model.layers[0].self_attn
        return Shape.of(config, n_kv_heads=config.num_key_value_heads, d_head=attn.head_dim)

    @property
    def parallel(self) -> bool:
        return True

    def block(self, layer: int) -> Block:
        at, body = self.hf.model.layers[layer], self.hf.model
        attn, norm = at.self_attn, Norm.layer(at.input_layernorm)
        normed = attn.qk_layernorm
        return Block(
            head_norm=norm,
            qkv=QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, self.shape.d_head),
            q_norm=HeadNorm(attn.q_layernorm, over="head") if normed else None,
            k_norm=HeadNorm(attn.k_layernorm, over="head") if normed else None,
            turn=Rotation(body.rotary_emb, turn_of(self.hf), width=attn.rotary_ndims),
            scale=attn.scaling,
            write=attn.dense,
            mlp_norm=norm,
            mlp=MLP.plain(at.mlp.fc1, at.mlp.activation_fn, at.mlp.fc2),
        )

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.model.final_layernorm), self.hf.lm_head)


def _from_table(
    attn: Any, like: Tensor, positions: Int[Tensor, "row node"]
) -> tuple[Float[Tensor, "row node half"], Float[Tensor, "row node half"]]:
    """Cosines and sines of positions, out of the table that each attention of the checkpoint keeps."""
    sin, cos = attn.embed_positions.to(like)[positions].chunk(2, dim=-1)
    return cos, sin


def _turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys with neighbouring coordinates rotated."""
    cos, sin = (part.repeat_interleave(2, dim=-1)[:, :, None] for part in (cos, sin))

    def turned(x: Tensor) -> Tensor:
        even, odd = x[..., ::2], x[..., 1::2]
        return x * cos + torch.stack([-odd, even], dim=-1).flatten(-2) * sin

    return turned(q), turned(k)
