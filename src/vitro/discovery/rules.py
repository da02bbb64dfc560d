"""By which rules a backward pass goes through a model: the gradient's, and those of relevance patching (RelP)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine import centred, norm_scale, precise_format
from vitro.models import Model


@dataclass(frozen=True)
class Rules:
    """The parts of a run through which backward passes differ. What they put out is the model's own."""

    norm: Callable[[Model, Any, Tensor], Tensor]
    """A norm of the model, applied to a stream."""
    pattern: Callable[[Tensor], Tensor]
    """Attention weights, as values are mixed by them."""
    mlp_out: Callable[[Model, int, Tensor], Tensor]
    """What a layer's MLP writes, from the stream that it reads."""
    scales_held: bool
    """Whether a norm's scale is a constant to the backward pass."""


def _held_norm(model: Model, norm: Any, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
    """The LN-rule: the stream over its scale, which is a constant."""
    precise = precise_format(model)
    normed = centred(model, resid.to(precise)) / norm_scale(model, norm, resid).detach() * norm.weight.to(precise)
    shift: Tensor | None = getattr(norm, "bias", None)
    return (normed if shift is None else normed + shift.to(precise)).to(resid.dtype)


def _relp_mlp_out(
    model: Model, layer: int, resid: Float[Tensor, "row node d_model"]
) -> Float[Tensor, "row node d_model"]:
    """The identity rule: act(x) = x g with g a constant (0 where x is); the half rule: each of two factors gets half."""
    gate, linear = model.mlp_in(layer, _held_norm(model, model.mlp_norm(layer), resid))
    slope = (model.activation(layer)(gate) / gate).where(gate != 0, 0.0).detach()
    hidden = gate * slope
    if linear is not None:
        product = hidden * linear
        hidden = product / 2 + product.detach() / 2
    return model.mlp_down(layer, hidden)


GRADIENT = Rules(
    norm=lambda model, norm, resid: norm(resid),
    pattern=lambda pattern: pattern,
    mlp_out=lambda model, layer, resid: model.mlp_out(layer, resid),
    scales_held=False,
)
"""The derivative of what the model computes."""

RELP = Rules(norm=_held_norm, pattern=torch.Tensor.detach, mlp_out=_relp_mlp_out, scales_held=True)
"""Relevance patching (Jafari et al. 2025, arXiv 2508.21258): docs/method.md, section 9.6."""
