"""GPT-2: learned positions, LayerNorm, one fused c_attn with biases, weights stored (in, out) as in Conv1D."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import gelu

from vitro.models.block import MLP, QKV, Block, Readout
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm


class GPT2(Model):
    """GPT-2 of every size, and other models of its architecture."""

    model_types: ClassVar = {"gpt2": "learned positions, LayerNorm"}

    def sizes(self) -> Shape:
        config = self.hf.config
        return Shape.of(config, d_mlp=config.n_inner or 4 * config.n_embd)

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        embedding: Tensor = self.hf.transformer.wpe(positions)
        return embedding

    def block(self, layer: int) -> Block:
        at = self.hf.transformer.h[layer]
        return Block(
            head_norm=Norm.layer(at.ln_1),
            qkv=QKV((at.attn.c_attn,), self._split),
            scale=at.attn.scaling,
            write=at.attn.c_proj,
            mlp_norm=Norm.layer(at.ln_2),
            mlp=MLP.plain(at.mlp.c_fc, self._activation(at.mlp.act), at.mlp.c_proj),
        )

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = outputs[0].unflatten(-1, (3, self.shape.n_heads, self.shape.d_head)).unbind(-3)
        return q, k, v

    def _activation(self, act: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        # transformers computes GPT-2's activation in seven passes over memory; this is the same formula in one.
        return partial(gelu, approximate="tanh") if self.hf.config.activation_function == "gelu_new" else act

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.ln_f), self.hf.lm_head)
