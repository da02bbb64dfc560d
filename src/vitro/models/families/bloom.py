"""BLOOM, MPT and Falcon: positions in the scores (ALiBi), or rotated; LayerNorm; an MLP without a gate."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.block import MLP, QKV, Alibi, Block, Readout, Rotation
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class Bloom(Model):
    """BLOOM: ALiBi, and a norm after the embedding."""

    model_types: ClassVar = {"bloom": "ALiBi, a LayerNorm after the embedding"}

    def sizes(self) -> Shape:
        return Shape.of(self.hf.config, d_mlp=4 * self.hf.config.hidden_size)

    def token_embed(self, tokens: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        body = self.hf.transformer
        embedding: Tensor = body.word_embeddings_layernorm(body.word_embeddings(tokens))
        return embedding

    def block(self, layer: int) -> Block:
        at = self.hf.transformer.h[layer]
        attn, scale = at.self_attention, self.shape.d_head**-0.5
        return Block(
            head_norm=Norm.layer(at.input_layernorm),
            qkv=QKV((attn.query_key_value,), partial(_per_head, self.shape)),
            turn=Alibi(_biases(_bloom_slopes(self.shape.n_heads).to(self.device)), self.shape.n_heads, scale),
            scale=scale,
            write=attn.dense,
            mlp_norm=Norm.layer(at.post_attention_layernorm),
            mlp=MLP.plain(at.mlp.dense_h_to_4h, at.mlp.gelu_impl, at.mlp.dense_4h_to_h),
        )

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.ln_f), self.hf.lm_head)


class MPT(Model):
    """MPT: ALiBi, and no biases."""

    model_types: ClassVar = {"mpt": "ALiBi, LayerNorm without biases, q, k and v cut off at a size"}

    def sizes(self) -> Shape:
        return Shape.of(self.hf.config, d_mlp=4 * self.hf.config.d_model)

    def block(self, layer: int) -> Block:
        at = self.hf.transformer.blocks[layer]
        attn = at.attn
        return Block(
            head_norm=Norm.layer(at.norm_1),
            qkv=QKV((attn.Wqkv,), self._split),
            limit=attn.clip_qkv or None,
            turn=Alibi(
                _biases(_mpt_slopes(self.shape.n_heads).to(self.device)), self.shape.n_heads, attn.softmax_scale
            ),
            scale=attn.softmax_scale,
            write=attn.out_proj,
            mlp_norm=Norm.layer(at.norm_2),
            mlp=MLP.plain(at.ffn.up_proj, at.ffn.act, at.ffn.down_proj),
        )

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = outputs[0].unflatten(-1, (3, self.shape.n_heads, self.shape.d_head)).unbind(-3)
        return q, k, v

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.norm_f), self.hf.lm_head)


class Falcon(Model):
    """Falcon, old and new: parallel blocks with one norm or two, or sequential ones; ALiBi or rotation."""

    model_types: ClassVar = {"falcon": "parallel blocks with one LayerNorm or two, multi-query; ALiBi in some"}

    def sizes(self) -> Shape:
        config = self.hf.config
        groups = config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else None
        n_kv_heads = groups or config.num_attention_heads
        return Shape.of(config, n_kv_heads=n_kv_heads, d_mlp=config.ffn_hidden_size)

    @property
    def parallel(self) -> bool:
        config = self.hf.config
        return bool(config.new_decoder_architecture or config.parallel_attn)

    def block(self, layer: int) -> Block:
        at = self.hf.transformer.h[layer]
        attn = at.self_attention
        before_heads, before_mlp = self._norms(at)
        return Block(
            head_norm=Norm.layer(before_heads),
            qkv=QKV((attn.query_key_value,), self._split),
            turn=self._turn(),
            scale=self.shape.d_head**-0.5,
            write=attn.dense,
            mlp_norm=Norm.layer(before_mlp),
            mlp=MLP.plain(at.mlp.dense_h_to_4h, at.mlp.act, at.mlp.dense_4h_to_h),
        )

    def _norms(self, at: Any) -> tuple[Any, Any]:
        if hasattr(at, "ln_attn"):
            return at.ln_attn, at.ln_mlp
        return at.input_layernorm, at.input_layernorm if self.parallel else at.post_attention_layernorm

    def _turn(self) -> Alibi | Rotation:
        if not self.hf.config.alibi:
            return Rotation(self.hf.transformer.rotary_emb, turn_of(self.hf))
        slopes_on = _everywhere(_bloom_slopes(self.shape.n_heads).bfloat16().to(self.device))

        def bias(positions: Int[Tensor, " node"]) -> Float[Tensor, "node head"]:
            # Rounded to bfloat16 as transformers does, and divided with the scores: so `scale` is 1 below.
            return positions[:, None] * slopes_on(positions.device)

        return Alibi(bias, self.shape.n_kv_heads, scale=1.0)

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        shape, out = self.shape, outputs[0]
        if shape.n_kv_heads == shape.n_heads and not self.hf.config.new_decoder_architecture:
            return _per_head(shape, outputs)
        # Groups one after the other, each of its queries, its key and its value; multi-query is a single group.
        shared_by = shape.n_heads // shape.n_kv_heads
        groups = out.unflatten(-1, (shape.n_kv_heads, shared_by + 2, shape.d_head))
        q, k, v = groups.split([shared_by, 1, 1], dim=-2)
        return q.flatten(-3, -2), k.flatten(-3, -2), v.flatten(-3, -2)

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.ln_f), self.hf.lm_head)


def _per_head(shape: Shape, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """q, k and v of one head lie together, head after head."""
    q, k, v = outputs[0].unflatten(-1, (shape.n_heads, 3, shape.d_head)).unbind(-2)
    return q, k, v


def _biases(slopes: Float[Tensor, " head"]) -> Callable[[Int[Tensor, " node"]], Float[Tensor, "node head"]]:
    """A position's bias in each head, its slope times the position: what all keys of a query share changes nothing."""
    slopes_on = _everywhere(slopes)
    return lambda positions: positions[:, None] * slopes_on(positions.device)


def _everywhere(slopes: Float[Tensor, " head"]) -> Callable[[torch.device], Float[Tensor, " head"]]:
    """Slopes where a model is, which may be brought elsewhere when its blocks are made: sent once to each device."""
    kept = {slopes.device: slopes}

    def on(device: torch.device) -> Tensor:
        if device not in kept:
            kept[device] = slopes.to(device)
        return kept[device]

    return on


def _bloom_slopes(n_heads: int) -> Float[Tensor, " head"]:
    """Powers of a root of 1/2, halved for a power of two heads; further heads get those that lie between."""
    whole = 2 ** (n_heads.bit_length() - 1)
    between = torch.arange(1, 2 * (n_heads - whole) + 1, 2)
    return torch.cat([_powers(whole, torch.arange(1, whole + 1)), _powers(2 * whole, between)])


def _mpt_slopes(n_heads: int) -> Float[Tensor, " head"]:
    """Those of the next power of two heads; where there are fewer, every second first."""
    whole = 2 ** (n_heads - 1).bit_length()
    slopes = _powers(whole, torch.arange(1, whole + 1))
    return slopes if whole == n_heads else torch.cat([slopes[1::2], slopes[::2]])[:n_heads]


def _powers(n_heads: int, powers: Int[Tensor, " head"]) -> Float[Tensor, " head"]:
    return 2.0 ** (-8.0 / n_heads * powers)
