"""SmolLM3: Llama with layers that do not see positions."""

from typing import ClassVar

from vitro.models.block import Turn
from vitro.models.families.llama import Llama, window_by_type


class SmolLM3(Llama):
    """SmolLM3."""

    model_types: ClassVar = {"smollm3": "as llama; every fourth layer does not see positions, some may have a window"}

    def _turn(self, layer: int) -> Turn | None:
        return super()._turn(layer) if self.hf.config.no_rope_layers[layer] else None

    def _window(self, layer: int) -> int | None:
        # Whatever `use_sliding_window` says: it has an effect on layer_types where these are not given.
        return window_by_type(self.hf.config, layer)
