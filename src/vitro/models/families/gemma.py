"""Gemma 1 to 3: a scaled embedding, norms with a gain of 1 + weight, soft caps, norms after heads and MLP."""

from dataclasses import replace
from typing import Any, ClassVar

from vitro.models.block import Block, HeadNorm, Readout, Rotation, Turn
from vitro.models.families.llama import Llama, norms_of_each_head, window_by_type
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class Gemma(Llama):
    """Gemma."""

    # transformers' module of the embedding is what scales it.
    model_types: ClassVar = {"gemma": "as llama, with a scaled embedding and norms with a gain of 1 + weight"}

    def _norm(self, module: Any) -> Norm:
        return Norm.rms(module, offset=1.0)


class Gemma2(Gemma):
    """Gemma 2."""

    model_types: ClassVar = {
        "gemma2": "as gemma, with norms after heads and MLP, windows in some layers, soft-capped scores and logits"
    }

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        return replace(
            super().block(layer),
            softcap=self.hf.config.attn_logit_softcapping,
            after_heads=self._norm(at.post_attention_layernorm),
            after_mlp=self._norm(at.post_feedforward_layernorm),
        )

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        return self._norm(at.input_layernorm), self._norm(at.pre_feedforward_layernorm)

    def _window(self, layer: int) -> int | None:
        return window_by_type(self.hf.config, layer)

    @property
    def readout(self) -> Readout:
        return replace(super().readout, softcap=self.hf.config.final_logit_softcapping)


class Gemma3(Gemma2):
    """Gemma 3 without pictures."""

    model_types: ClassVar = {
        "gemma3_text": "as gemma2, with norms of queries and keys, angles by the type of layer, no soft cap of scores"
    }

    def block(self, layer: int) -> Block:
        # transformers reads `attn_logit_softcapping` and does not apply it.
        return replace(super().block(layer), softcap=None)

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return norms_of_each_head(attn)

    def _turn(self, layer: int) -> Turn:
        return Rotation(self.hf.model.rotary_emb, turn_of(self.hf), kind=self.hf.config.layer_types[layer])
