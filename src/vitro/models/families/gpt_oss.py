"""GPT-OSS: Llama with sinks that attention goes to, windows in every other layer, and experts with biases."""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from torch import Tensor

from vitro.models.block import MLP, Block, Experts
from vitro.models.families.experts import weighted
from vitro.models.families.llama import Llama, window_by_type


class GptOss(Llama):
    """gpt-oss-20b and gpt-oss-120b."""

    model_types: ClassVar = {
        "gpt_oss": "as llama, with attention sinks, a sliding window in some layers, biases, a mixture of experts"
    }

    def block(self, layer: int) -> Block:
        return replace(super().block(layer), sinks=self.hf.model.layers[layer].self_attn.sinks)

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)

    def _mlp(self, mlp: Any) -> MLP | Experts:
        experts = mlp.experts

        def one(normed: Tensor, expert: int) -> Tensor:
            both = normed @ experts.gate_up_proj[expert] + experts.gate_up_proj_bias[expert]
            gate, up = both[..., ::2].clamp(max=experts.limit), both[..., 1::2].clamp(-experts.limit, experts.limit)
            hidden = (up + 1) * gate * (experts.alpha * gate).sigmoid()
            written: Tensor = hidden @ experts.down_proj[expert] + experts.down_proj_bias[expert]
            return written

        # The module gives the router's weights beside what the experts write.
        return Experts(
            experts.num_experts, mlp.router.top_k, lambda normed: mlp(normed)[0], partial(weighted, mlp.router, one)
        )
