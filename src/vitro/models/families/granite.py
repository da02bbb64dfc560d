"""Granite: Llama with a factor on the embedding, on scores, on what heads and MLPs write, and on logits."""

from dataclasses import replace
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.block import Block, Readout
from vitro.models.families.llama import Llama


class Granite(Llama):
    """Granite 3."""

    model_types: ClassVar = {"granite": "as llama, with factors on embedding, scores, heads, MLPs and logits"}

    def token_embed(self, tokens: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        embedding: Tensor = super().token_embed(tokens) * self.hf.config.embedding_multiplier
        return embedding

    def block(self, layer: int) -> Block:
        return replace(super().block(layer), multiplier=self.hf.config.residual_multiplier)

    @property
    def readout(self) -> Readout:
        return replace(super().readout, scale=1 / self.hf.config.logits_scaling)
