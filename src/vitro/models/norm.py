"""A norm of the checkpoint: its own module, and what that module is made of."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Norm:
    """What stands between a stream and what reads it: (x - mean) / scale * gain + shift, or less than that.

    >>> norm = model.head_norm(0)
    >>> x = torch.randn(3, 64)
    >>> parts = norm.centre(x) / norm.scale(x) * norm.gain + norm.shift
    >>> bool((norm(x) - parts).abs().max() < 1e-5)
    True
    """

    module: Any
    """The checkpoint's own, which computes it; None where there is no norm."""
    eps: float = 0.0
    centres: bool = False
    """Whether the mean is subtracted, as a LayerNorm does."""
    offset: float = 0.0
    """What is added to the module's weight: 1 in Gemma."""

    @classmethod
    def layer(cls, module: Any, offset: float = 0.0) -> Self:
        """A LayerNorm: it subtracts the mean, and divides by the standard deviation."""
        return cls(module, _eps(module), centres=True, offset=offset)

    @classmethod
    def rms(cls, module: Any, offset: float = 0.0) -> Self:
        """An RMSNorm: it divides by the root of the mean square."""
        return cls(module, _eps(module), offset=offset)

    def __call__(self, x: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
        """The normed stream, as the checkpoint's own module computes it."""
        normed: Tensor = x if self.module is None else self.module(x)
        return normed

    @property
    def gain(self) -> Float[Tensor, "#d_model"]:
        """What the normed stream is multiplied by; a single 1 where it is not."""
        weight: Tensor | None = getattr(self.module, "weight", None)
        if weight is None:
            return torch.ones(1)
        # The sum in float32: in bfloat16 it would lose most of the weight.
        return weight if not self.offset else self.offset + weight.float()

    @property
    def shift(self) -> Float[Tensor, " d_model"] | None:
        """What is added last; None where nothing is."""
        bias: Tensor | None = getattr(self.module, "bias", None)
        return bias

    def centre(self, x: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream d_model"]:
        """Vectors of the stream without their mean, if this norm subtracts it."""
        return x - x.mean(-1, keepdim=True) if self.centres else x

    def scale(self, x: Float[Tensor, "*stream d_model"]) -> Float[Tensor, "*stream 1"]:
        """What the centred stream is divided by, in float32 at least: sqrt(mean(x^2) + eps); 1 where nothing is."""
        x = self.centre(x.to(torch.promote_types(x.dtype, torch.float32)))
        if self.module is None:
            return torch.ones_like(x[..., :1])
        return (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


NO_NORM = Norm(None)
"""What stands where a block reads the stream as it is (OLMo 2)."""


def _eps(module: Any) -> float:
    eps: float = module.eps if hasattr(module, "eps") else module.variance_epsilon
    return eps
