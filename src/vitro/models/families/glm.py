"""GLM: part of each head rotated, neighbouring coordinates together, and gate and up in one linear map."""

from dataclasses import replace
from typing import Any, ClassVar

from vitro.models.block import MLP, Block
from vitro.models.families.llama import Llama
from vitro.models.norm import Norm


class Glm(Llama):
    """GLM-4-9B."""

    model_types: ClassVar = {"glm": "as llama, with part of each head rotated, biases on q, k and v, a fused MLP"}

    def _mlp(self, mlp: Any) -> MLP:
        return MLP.fused(mlp.gate_up_proj, mlp.activation_fn, mlp.down_proj)


class Glm4(Glm):
    """GLM-4-0414."""

    model_types: ClassVar = {"glm4": "as glm, with norms before and after heads and MLP"}

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        return replace(
            super().block(layer),
            after_heads=Norm.rms(at.post_self_attn_layernorm),
            after_mlp=Norm.rms(at.post_mlp_layernorm),
        )
