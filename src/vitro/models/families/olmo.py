"""OLMo 1 to 3 and OLMoE: norms without weights; then norms after heads and MLP instead of before them."""

from dataclasses import replace
from typing import Any, ClassVar

from vitro.models.block import MLP, Block, Experts, HeadNorm, Rotation, Turn
from vitro.models.families.experts import gated_experts
from vitro.models.families.llama import Llama, window_by_type
from vitro.models.norm import NO_NORM, Norm
from vitro.models.rope import turn_of


class Olmo(Llama):
    """OLMo."""

    model_types: ClassVar = {"olmo": "as llama, with LayerNorms without weights, and q, k and v cut off at a size"}

    def block(self, layer: int) -> Block:
        return replace(super().block(layer), limit=self.hf.config.clip_qkv)

    def _norm(self, module: Any) -> Norm:
        # The module has no parameter and does not say its epsilon.
        return Norm(module, eps=1e-5, centres=True)


class Olmo2(Llama):
    """OLMo 2."""

    model_types: ClassVar = {"olmo2": "as llama, with norms after heads and MLP only, and of all queries and all keys"}

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        return replace(
            super().block(layer),
            after_heads=self._norm(at.post_attention_layernorm),
            after_mlp=self._norm(at.post_feedforward_layernorm),
        )

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        return NO_NORM, NO_NORM

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return _of_projection(attn.q_norm), _of_projection(attn.k_norm)


class Olmo3(Olmo2):
    """OLMo 3."""

    model_types: ClassVar = {"olmo3": "as olmo2, with a sliding window in some layers and angles by the type of layer"}

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)

    def _turn(self, layer: int) -> Turn:
        return Rotation(self.hf.model.rotary_emb, turn_of(self.hf), kind=self.hf.config.layer_types[layer])


class Olmoe(Llama):
    """OLMoE."""

    model_types: ClassVar = {
        "olmoe": "as llama, with a mixture of experts, norms of all queries and all keys, q, k and v cut off at a size"
    }

    def block(self, layer: int) -> Block:
        return replace(super().block(layer), limit=self.hf.config.clip_qkv)

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return _of_projection(attn.q_norm), _of_projection(attn.k_norm)

    def _mlp(self, mlp: Any) -> MLP | Experts:
        return gated_experts(mlp)


def _of_projection(module: Any) -> HeadNorm:
    """The norm of all heads' queries, or keys, as one vector."""
    return HeadNorm.of_whole(Norm.rms(module))
