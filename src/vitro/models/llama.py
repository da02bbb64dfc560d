"""Llama and its like: rotary positions, RMSNorm, grouped keys and values, a gated MLP.

transformers gives most families since Llama the same module names, so each of them says here, or in a file of its own,
where it differs.
"""

from typing import Any, ClassVar

from vitro.models.block import MLP, QKV, Block, Readout, Rotation, Turn
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class Llama(Model):
    """Llama, SmolLM and others whose blocks are the same."""

    model_types: ClassVar = {"llama": "rotary positions, RMSNorm, grouped keys and values, a gated MLP"}

    def sizes(self) -> Shape:
        return Shape.of(self.hf.config, d_head=self.hf.model.layers[0].self_attn.head_dim)

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        attn = at.self_attn
        head_norm, mlp_norm = self._norms(at)
        return Block(
            head_norm=head_norm,
            qkv=QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, attn.head_dim),
            turn=self._turn(layer),
            scale=attn.scaling,
            window=self._window(layer),
            write=attn.o_proj,
            mlp_norm=mlp_norm,
            mlp=self._mlp(at.mlp),
        )

    # What a family that is built like this may say otherwise.

    def _norm(self, module: Any) -> Norm:
        """A norm of the stream."""
        return Norm.rms(module)

    def _norms(self, at: Any) -> tuple[Norm, Norm]:
        """The norms before a block's heads and before its MLP."""
        return self._norm(at.input_layernorm), self._norm(at.post_attention_layernorm)

    def _turn(self, layer: int) -> Turn | None:
        return Rotation(self.hf.model.rotary_emb, turn_of(self.hf))

    def _window(self, layer: int) -> int | None:
        # A configuration may have a field for one all the same.
        return None

    def _mlp(self, mlp: Any) -> MLP:
        return MLP.gated(mlp.gate_proj, mlp.up_proj, mlp.act_fn, mlp.down_proj)

    @property
    def readout(self) -> Readout:
        return Readout(self._norm(self.hf.model.norm), self.hf.lm_head)


class Mistral(Llama):
    """Mistral."""

    model_types: ClassVar = {"mistral": "as llama, with a sliding window in every layer"}

    def _window(self, layer: int) -> int | None:
        window: int | None = self.hf.config.sliding_window
        return window


def window_by_type(config: Any, layer: int) -> int | None:
    """The window of a layer, where a configuration says of each whether it has one (`layer_types`)."""
    return config.sliding_window if config.layer_types[layer] == "sliding_attention" else None
