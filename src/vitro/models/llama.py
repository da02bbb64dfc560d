"""Llama and its like: rotary positions, RMSNorm, grouped keys and values, a gated MLP.

transformers gives all of them the same module names.
"""

from typing import ClassVar

from vitro.models.block import MLP, QKV, Block, Readout, Rotation
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class Llama(Model):
    """Llama, Mistral, SmolLM and Qwen 2."""

    model_types: ClassVar = {
        "llama": "rotary positions, RMSNorm, grouped keys and values, a gated MLP",
        "mistral": "as llama, with a sliding window in every layer",
        "qwen2": "as llama, with biases on q, k and v and a sliding window in some layers",
    }

    def sizes(self) -> Shape:
        return Shape.of(self.hf.config, d_head=self.hf.model.layers[0].self_attn.head_dim)

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        attn, mlp = at.self_attn, at.mlp
        return Block(
            head_norm=Norm.rms(at.input_layernorm),
            qkv=QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, attn.head_dim),
            turn=Rotation(self.hf.model.rotary_emb, turn_of(self.hf)),
            scale=attn.scaling,
            window=self._window(layer),
            write=attn.o_proj,
            mlp_norm=Norm.rms(at.post_attention_layernorm),
            mlp=MLP.gated(mlp.gate_proj, mlp.up_proj, mlp.act_fn, mlp.down_proj),
        )

    def _window(self, layer: int) -> int | None:
        config = self.hf.config
        # Llama has no window even if its configuration has a field for one; Mistral has one in every layer.
        sliding = config.model_type == "mistral" or (
            config.model_type == "qwen2" and config.layer_types[layer] == "sliding_attention"
        )
        return config.sliding_window if sliding else None

    @property
    def readout(self) -> Readout:
        return Readout(Norm.rms(self.hf.model.norm), self.hf.lm_head)
