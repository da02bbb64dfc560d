"""OLMo 1 to 3: norms without weights, then norms after heads and MLP instead of before them."""

from dataclasses import replace
from typing import Any, ClassVar

from vitro.models.block import Block, HeadNorm
from vitro.models.llama import Llama
from vitro.models.norm import NO_NORM, Norm


class Olmo2(Llama):
    """OLMo 2."""

    model_types: ClassVar = {"olmo2": "as llama, with norms after heads and MLP only, and of all queries and all keys"}

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        return replace(
            super().block(layer),
            q_norm=of_projection(at.self_attn.q_norm),
            k_norm=of_projection(at.self_attn.k_norm),
            after_heads=self._norm(at.post_attention_layernorm),
            after_mlp=self._norm(at.post_feedforward_layernorm),
        )

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        return NO_NORM, NO_NORM


def of_projection(module: Any) -> HeadNorm:
    """The norm of all heads' queries, or keys, as one vector."""
    return HeadNorm.of_whole(Norm.rms(module))
