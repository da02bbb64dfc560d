"""Mistral, Ministral and Mixtral: Llama with sliding windows, long queries far out, and experts."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.block import MLP, Experts, Heads, Rotation, Turn
from vitro.models.families.experts import gated_experts
from vitro.models.families.llama import Llama, window_by_type
from vitro.models.rope import turn_of


class Mistral(Llama):
    """Mistral."""

    model_types: ClassVar = {"mistral": "as llama, with a sliding window in every layer"}

    def _window(self, layer: int) -> int | None:
        window: int | None = self.hf.config.sliding_window
        return window


class Mixtral(Mistral):
    """Mixtral."""

    model_types: ClassVar = {"mixtral": "as mistral, with a mixture of experts in every layer"}

    def _mlp(self, mlp: Any) -> MLP | Experts:
        return gated_experts(mlp)


class Ministral(Llama):
    """Ministral."""

    model_types: ClassVar = {"ministral": "as mistral, with a sliding window in some layers"}

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)


class Ministral3(Mistral):
    """Ministral 3."""

    model_types: ClassVar = {"ministral3": "as mistral, with queries that grow with their position"}

    def _turn(self, layer: int) -> Turn:
        rope = self.hf.config.rope_parameters
        return GrowingRotation(
            self.hf.model.rotary_emb,
            turn_of(self.hf),
            rate=rope["llama_4_scaling_beta"],
            step=rope["original_max_position_embeddings"],
        )


@dataclass(frozen=True, eq=False)
class GrowingRotation(Rotation):
    """A rotation after which queries grow with their position, so that far keys do not drown near ones (Llama 4)."""

    rate: float = 0.0
    step: int = 1
    """Tokens: a query at position p is multiplied by 1 + rate log(1 + p // step)."""

    def __call__(
        self,
        q: Float[Tensor, "row node head d_head"],
        k: Float[Tensor, "row node kv_head d_head"],
        positions: Int[Tensor, " node"],
        heads: Heads | None = None,
    ) -> tuple[Float[Tensor, "row node head d_head"], Float[Tensor, "row node kv_head d_head"]]:
        """Queries and keys rotated by their positions, and queries of the size that theirs asks for."""
        q, k = super().__call__(q, k, positions, heads)
        size = 1 + self.rate * torch.log1p(positions // self.step)
        return q * size[:, None, None].to(q.dtype), k
