"""Qwen 2 and 3: Llama with biases on queries, keys and values, or with norms of queries and keys."""

from dataclasses import replace
from typing import ClassVar

from vitro.models.block import Block, HeadNorm
from vitro.models.llama import Llama, window_by_type


class Qwen2(Llama):
    """Qwen 2 and 2.5."""

    model_types: ClassVar = {"qwen2": "as llama, with biases on q, k and v and a sliding window in some layers"}

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)


class Qwen3(Qwen2):
    """Qwen 3."""

    model_types: ClassVar = {"qwen3": "as qwen2, with an RMSNorm of each head's queries and keys"}

    def block(self, layer: int) -> Block:
        attn = self.hf.model.layers[layer].self_attn
        return replace(
            super().block(layer),
            q_norm=HeadNorm(attn.q_norm, over="head"),
            k_norm=HeadNorm(attn.k_norm, over="head"),
        )
