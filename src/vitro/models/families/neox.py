"""GPT-NeoX (Pythia): blocks whose heads and MLP read side by side, and positions rotated in part of each head."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from vitro.models.block import MLP, QKV, Block, Readout, Rotation
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm
from vitro.models.rope import turn_of


class GPTNeoX(Model):
    """GPT-NeoX and Pythia, with parallel blocks or (`use_parallel_residual=False`) sequential ones."""

    model_types: ClassVar = {"gpt_neox": "parallel blocks, LayerNorm, positions rotated in part of each head"}

    @property
    def parallel(self) -> bool:
        value: bool = self.hf.config.use_parallel_residual
        return value

    def sizes(self) -> Shape:
        config = self.hf.config
        # Its head_dim, where it has one, is of the rotation alone.
        return Shape.of(config, d_head=config.hidden_size // config.num_attention_heads)

    def block(self, layer: int) -> Block:
        at = self.hf.gpt_neox.layers[layer]
        return Block(
            head_norm=Norm.layer(at.input_layernorm),
            qkv=QKV((at.attention.query_key_value,), self._split),
            turn=Rotation(self.hf.gpt_neox.rotary_emb, turn_of(self.hf)),
            scale=at.attention.scaling,
            write=at.attention.dense,
            mlp_norm=Norm.layer(at.post_attention_layernorm),
            mlp=MLP.plain(at.mlp.dense_h_to_4h, at.mlp.act, at.mlp.dense_4h_to_h),
        )

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        # q, k and v of one head lie together, head after head; GPT-2 has all q first.
        q, k, v = outputs[0].unflatten(-1, (self.shape.n_heads, 3, self.shape.d_head)).unbind(-2)
        return q, k, v

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.gpt_neox.final_layer_norm), self.hf.lm_head)
