"""Phi 3 and 4: Llama with queries, keys and values in one linear map, and gate and up in another."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from vitro.models.block import MLP, QKV
from vitro.models.families.mistral import Mistral


class Phi3(Mistral):
    """Phi 3, 3.5 and 4."""

    model_types: ClassVar = {"phi3": "as mistral, with fused projections, part of each head rotated in some"}

    def _qkv(self, attn: Any) -> QKV:
        n_queries, n_keys = attn.config.num_attention_heads, attn.num_key_value_heads

        def split(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = outputs[0].unflatten(-1, (-1, attn.head_dim)).split([n_queries, n_keys, n_keys], dim=-2)
            return q, k, v

        return QKV((attn.qkv_proj,), split)

    def _mlp(self, mlp: Any) -> MLP:
        return MLP.fused(mlp.gate_up_proj, mlp.activation_fn, mlp.down_proj)
