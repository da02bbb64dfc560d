"""A norm in two steps: a stream divided by its scale, and then the norm's weight and bias."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models import Model


def norm_scale(model: Model, norm: Any, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream 1"]:
    """What a norm of the model divides a stream by, in float32 at least.

    s = sqrt(mean(x^2) + eps), for a LayerNorm with x - mean(x) in place of x.
    """
    resid = centred(model, resid.to(precise_format(model)))
    eps: float = norm.eps if isinstance(norm, torch.nn.LayerNorm) else norm.variance_epsilon
    return (resid.square().mean(-1, keepdim=True) + eps).sqrt()


def final_scale(model: Model, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream 1"]:
    """What the final norm divides a stream by: TransformerLens's `ln_final.hook_scale`."""
    return norm_scale(model, model.norm_module, resid)


def normalized(model: Model, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
    """A stream after the final norm, without its weight and bias: TransformerLens's `ln_final.hook_normalized`."""
    return centred(model, resid.to(precise_format(model))) / final_scale(model, resid)


def centred(model: Model, vectors: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
    """Vectors of the stream without their mean if the final norm is a LayerNorm, which subtracts it."""
    layer_norm = isinstance(model.norm_module, torch.nn.LayerNorm)
    return vectors - vectors.mean(-1, keepdim=True) if layer_norm else vectors


def precise_format(model: Model) -> torch.dtype:
    """The model's number format, or float32 where that is shorter."""
    return torch.promote_types(model.dtype, torch.float32)
