"""Llama and its like: rotary positions, RMSNorm, grouped keys and values, a gated MLP.

transformers gives most families since Llama the same module names, so each of them says here, or in a file of its own,
where it differs.
"""

from typing import Any, ClassVar

from vitro.models.block import MLP, QKV, Block, Experts, HeadNorm, Readout, Rotation, Turn
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class Llama(Model):
    """Llama, SmolLM and others of which every module has its name and its place."""

    model_types: ClassVar = {
        "llama": "rotary positions, RMSNorm, grouped keys and values, a gated MLP",
        "seed_oss": "as llama, with biases on q, k and v",
        "helium": "as llama, with neighbouring coordinates rotated",
        "ernie4_5": "as llama, with neighbouring coordinates rotated",
    }

    def sizes(self) -> Shape:
        config, attn = self.hf.config, self.hf.model.layers[0].self_attn
        return Shape.of(config, n_kv_heads=config.num_key_value_heads, d_head=attn.head_dim)

    def block(self, layer: int) -> Block:
        at = self.hf.model.layers[layer]
        attn = at.self_attn
        head_norm, mlp_norm = self._norms(at)
        q_norm, k_norm = self._qk_norms(attn)
        return Block(
            head_norm=head_norm,
            qkv=self._qkv(attn),
            q_norm=q_norm,
            k_norm=k_norm,
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

    def _qkv(self, attn: Any) -> QKV:
        return QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, attn.head_dim)

    def _qk_norms(self, attn: Any) -> tuple[HeadNorm | None, HeadNorm | None]:
        """The norms of queries and of keys."""
        return None, None

    def _turn(self, layer: int) -> Turn | None:
        return Rotation(self.hf.model.rotary_emb, turn_of(self.hf))

    def _window(self, layer: int) -> int | None:
        # A configuration may have a field for one all the same.
        return None

    def _mlp(self, mlp: Any) -> MLP | Experts:
        return MLP.gated(mlp.gate_proj, mlp.up_proj, mlp.act_fn, mlp.down_proj)

    @property
    def readout(self) -> Readout:
        return Readout(self._norm(self.hf.model.norm), self.hf.lm_head)


def window_by_type(config: Any, layer: int) -> int | None:
    """The window of a layer, where a configuration says of each whether it has one (`layer_types`)."""
    return config.sliding_window if config.layer_types[layer] == "sliding_attention" else None


def norms_of_each_head(attn: Any) -> tuple[HeadNorm, HeadNorm]:
    """The usual norms of queries and of keys: each head's, all by the same weights."""
    return HeadNorm(attn.q_norm, over="head"), HeadNorm(attn.k_norm, over="head")
