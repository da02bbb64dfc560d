"""Families built like Llama whose MLP has no gate: StarCoder2, Nemotron, Arcee and Apertus."""

from typing import Any, ClassVar

from vitro.models.block import MLP, HeadNorm
from vitro.models.families.llama import Llama, norms_of_each_head
from vitro.models.families.mistral import Mistral
from vitro.models.norm import Norm


class Starcoder2(Mistral):
    """StarCoder2."""

    model_types: ClassVar = {"starcoder2": "as mistral, with LayerNorm, biases and an MLP without a gate"}

    def _norm(self, module: Any) -> Norm:
        return Norm.layer(module)

    def _mlp(self, mlp: Any) -> MLP:
        return MLP.plain(mlp.c_fc, mlp.act, mlp.c_proj)


class Arcee(Llama):
    """Arcee (AFM)."""

    model_types: ClassVar = {"arcee": "as llama, with an MLP without a gate"}

    def _mlp(self, mlp: Any) -> MLP:
        return MLP.plain(mlp.up_proj, mlp.act_fn, mlp.down_proj)


class Nemotron(Arcee):
    """Nemotron and Minitron."""

    model_types: ClassVar = {
        "nemotron": "as arcee, with LayerNorms with a gain of 1 + weight, part of each head rotated"
    }

    def _norm(self, module: Any) -> Norm:
        return Norm.layer(module, offset=1.0)


class Apertus(Arcee):
    """Apertus."""

    model_types: ClassVar = {
        "apertus": "as arcee, with norms of each head's queries and keys, an activation of each layer's own"
    }

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        return self._norm(at.attention_layernorm), self._norm(at.feedforward_layernorm)

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm, HeadNorm]:
        return norms_of_each_head(attn)
