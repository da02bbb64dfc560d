"""Qwen 2 and 3: Llama with biases on queries, keys and values, or with norms of queries and keys; and experts."""

from typing import Any, ClassVar

from vitro.models.block import MLP, Experts, HeadNorm
from vitro.models.families.experts import gated_experts
from vitro.models.families.llama import Llama, norms_of_each_head, window_by_type
from vitro.models.model import Shape


class Qwen2(Llama):
    """Qwen 2 and 2.5."""

    model_types: ClassVar = {"qwen2": "as llama, with biases on q, k and v and a sliding window in some layers"}

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)


class Qwen3(Qwen2):
    """Qwen 3."""

    model_types: ClassVar = {"qwen3": "as llama, with an RMSNorm of each head's queries and keys"}

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return norms_of_each_head(attn)


class Qwen2Moe(Qwen2):
    """Qwen 1.5 and 2 with experts."""

    model_types: ClassVar = {
        "qwen2_moe": "as qwen2, with a mixture of experts, beside one that all streams are given to"
    }

    def sizes(self) -> Shape:
        config = self.hf.config
        d_head = self.hf.model.layers[0].self_attn.head_dim
        return Shape.of(
            config, n_kv_heads=config.num_key_value_heads, d_head=d_head, d_mlp=config.moe_intermediate_size
        )

    def _mlp(self, mlp: Any) -> MLP | Experts:
        # Some layers may have one MLP for all (`mlp_only_layers`).
        return gated_experts(mlp) if hasattr(mlp, "experts") else super()._mlp(mlp)


class Qwen3Moe(Qwen2Moe):
    """Qwen 3 with experts."""

    model_types: ClassVar = {"qwen3_moe": "as qwen3, with a mixture of experts"}

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return norms_of_each_head(attn)

    def _window(self, layer: int) -> int | None:
        # In every layer, or in none.
        window: int | None = self.hf.config.sliding_window
        return window
