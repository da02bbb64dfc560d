"""The final norm in two steps: a stream divided by its scale, and then the norm's weight and bias."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models import Model


def final_scale(model: Model, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream 1"]:
    """What the final norm divides a stream by: TransformerLens's `ln_final.hook_scale`."""
    return model.readout.norm.scale(resid)


def normalized(model: Model, resid: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
    """A stream after the final norm, without its weight and bias: TransformerLens's `ln_final.hook_normalized`."""
    norm = model.readout.norm
    return norm.centre(resid.to(precise_format(model))) / norm.scale(resid)


def precise_format(model: Model) -> torch.dtype:
    """The model's number format, or float32 where that is shorter."""
    return torch.promote_types(model.dtype, torch.float32)
