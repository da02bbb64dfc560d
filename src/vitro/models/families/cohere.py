"""Command R of Cohere: parallel blocks with one LayerNorm without bias, and logits on a scale."""

from dataclasses import replace
from typing import Any, ClassVar

from vitro.models.block import HeadNorm, Readout, Turn
from vitro.models.families.llama import Llama, window_by_type
from vitro.models.norm import Norm


class Cohere(Llama):
    """Command R and R+."""

    model_types: ClassVar = {
        "cohere": "parallel blocks with one LayerNorm, scaled logits, q/k LayerNorm with weights of each head possible"
    }

    @property
    def parallel(self) -> bool:
        return True

    def _norm(self, module: Any) -> Norm:
        return Norm.layer(module)

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        both = self._norm(at.input_layernorm)
        return both, both

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm | None, HeadNorm | None]:
        if not attn.use_qk_norm:
            return None, None
        return HeadNorm(attn.q_norm, over="own"), HeadNorm(attn.k_norm, over="own")

    @property
    def readout(self) -> Readout:
        return replace(super().readout, scale=self.hf.config.logit_scale)


class Cohere2(Cohere):
    """Command R7B and Command A."""

    model_types: ClassVar = {
        "cohere2": "as cohere, with a sliding window in some layers; the others do not see positions"
    }

    def _qk_norms(self, attn: Any) -> tuple[None, None]:
        return None, None

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)

    def _turn(self, layer: int) -> Turn | None:
        return None if self._window(layer) is None else super()._turn(layer)
