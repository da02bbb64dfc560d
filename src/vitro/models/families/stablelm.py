"""StableLM: Llama with LayerNorm, part of each head rotated, and parallel blocks in some."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from vitro.models.block import HeadNorm, Rotation, Turn
from vitro.models.families.llama import Llama
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class StableLM(Llama):
    """StableLM 2, StableLM 3B and Stable Code."""

    model_types: ClassVar = {
        "stablelm": "as llama, with LayerNorm, part of each head rotated, parallel blocks and q/k LayerNorm possible"
    }

    @property
    def parallel(self) -> bool:
        value: bool = self.hf.config.use_parallel_residual
        return value

    def _norm(self, module: Any) -> Norm:
        return Norm.layer(module)

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        if not self.parallel:
            return super()._norms(at)
        both = self._norm(at.input_layernorm)
        return both, both

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm | None, HeadNorm | None]:
        if not attn.qk_layernorm:
            return None, None
        return _a_norm_for_each(attn.q_layernorm.norms), _a_norm_for_each(attn.k_layernorm.norms)

    def _turn(self, layer: int) -> Turn:
        width = self.hf.model.layers[layer].self_attn.rotary_ndims
        return Rotation(self.hf.model.rotary_emb, turn_of(self.hf), width=width)


def _a_norm_for_each(norms: Any) -> HeadNorm:
    def of(heads: Tensor) -> Tensor:
        return torch.stack([norm(head) for norm, head in zip(norms, heads.unbind(-2), strict=True)], dim=-2)

    return HeadNorm(of, over="own")
