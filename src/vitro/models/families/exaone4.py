"""EXAONE 4: norms after heads and MLP only, as in OLMo 2, and layers that do not see positions."""

from typing import Any, ClassVar

from vitro.models.block import HeadNorm, Turn
from vitro.models.families.llama import norms_of_each_head, window_by_type
from vitro.models.families.olmo import Olmo2


class Exaone4(Olmo2):
    """EXAONE 4."""

    model_types: ClassVar = {
        "exaone4": "as olmo2, with norms of each head's queries and keys; layers without a window do not see positions"
    }

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return norms_of_each_head(attn)

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)

    def _turn(self, layer: int) -> Turn | None:
        hybrid = self.hf.config.sliding_window is not None
        return None if hybrid and self._window(layer) is None else super()._turn(layer)
