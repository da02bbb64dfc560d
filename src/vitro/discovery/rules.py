"""By which rules a backward pass goes through a model: the gradient's, and those of relevance patching (RelP)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models import MLP, Model, Norm


@dataclass(frozen=True)
class Rules:
    """The parts of a run through which backward passes differ. What they put out is the model's own."""

    norm: Callable[[Norm, Tensor], Tensor]
    """A norm of the model, applied to a stream."""
    pattern: Callable[[Tensor], Tensor]
    """Attention weights, as values are mixed by them."""
    attn_out: Callable[[Model, int, Tensor], Tensor]
    """What a layer's heads write, from their mixed values."""
    mlp_out: Callable[[Model, int, Tensor], Tensor]
    """What a layer's MLP writes, from the stream that it reads."""
    scales_held: bool
    """Whether a norm's scale is a constant to the backward pass."""


def _held_norm(norm: Norm, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
    """The LN-rule: the stream over its scale, which is a constant."""
    scale = norm.scale(resid).detach()
    normed = norm.centre(resid.to(scale.dtype)) / scale * norm.gain.to(scale)
    return (normed if norm.shift is None else normed + norm.shift.to(scale)).to(resid.dtype)


def _relp_attn_out(
    model: Model, layer: int, z: Float[Tensor, "row node head d_head"]
) -> Float[Tensor, "row node d_model"]:
    """The LN-rule for a norm after the heads."""
    block, together = model.blocks[layer], model.together(layer, z)
    return (together if block.after_heads is None else _held_norm(block.after_heads, together)) * block.multiplier


def _relp_mlp_out(
    model: Model, layer: int, resid: Float[Tensor, "row node d_model"]
) -> Float[Tensor, "row node d_model"]:
    """The identity rule: act(x) = x g with g constant (0 where x is); the half rule: of two factors each gets half."""
    block = model.blocks[layer]
    assert isinstance(block.mlp, MLP)
    gate, linear = block.mlp.read(_held_norm(block.mlp_norm, resid))
    slope = (block.mlp.act(gate) / gate).where(gate != 0, 0.0).detach()
    hidden = gate * slope
    if linear is not None:
        product = hidden * linear
        hidden = product / 2 + product.detach() / 2
    out = block.mlp.down(hidden)
    out = out if block.after_mlp is None else _held_norm(block.after_mlp, out)
    return out * block.multiplier


GRADIENT = Rules(
    norm=lambda norm, resid: norm(resid),
    pattern=lambda pattern: pattern,
    attn_out=lambda model, layer, z: model.attn_out(layer, z),
    mlp_out=lambda model, layer, resid: model.mlp_out(layer, resid),
    scales_held=False,
)
"""The derivative of what the model computes."""

RELP = Rules(
    norm=_held_norm,
    pattern=torch.Tensor.detach,
    attn_out=_relp_attn_out,
    mlp_out=_relp_mlp_out,
    scales_held=True,
)
"""Relevance patching (Jafari et al. 2025, arXiv 2508.21258): docs/method.md, section 9.6."""
