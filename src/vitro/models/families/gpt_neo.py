"""GPT-Neo, GPT-BigCode and OPT: learned positions and LayerNorm as in GPT-2, with weights stored as in Linear."""

from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from vitro.models.block import MLP, QKV, Block, Readout
from vitro.models.families.gpt2 import GPT2
from vitro.models.model import Model, Shape
from vitro.models.norm import Norm


class GPTNeo(Model):
    """GPT-Neo: no factor on q.k, and every other layer sees a window alone."""

    model_types: ClassVar = {"gpt_neo": "learned positions, LayerNorm, q.k without a factor, windows in some layers"}

    def sizes(self) -> Shape:
        config = self.hf.config
        return Shape.of(config, d_mlp=config.intermediate_size or 4 * config.hidden_size)

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        embedding: Tensor = self.hf.transformer.wpe(positions)
        return embedding

    def block(self, layer: int) -> Block:
        at, config = self.hf.transformer.h[layer], self.hf.config
        attn = at.attn.attention
        return Block(
            head_norm=Norm.layer(at.ln_1),
            qkv=QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, self.shape.d_head),
            scale=1.0,
            window=config.window_size if config.attention_layers[layer] == "local" else None,
            write=attn.out_proj,
            mlp_norm=Norm.layer(at.ln_2),
            mlp=MLP.plain(at.mlp.c_fc, at.mlp.act, at.mlp.c_proj),
        )

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.transformer.ln_f), self.hf.lm_head)


class GPTBigCode(GPT2):
    """SantaCoder and StarCoder: GPT-2 whose heads may share one head of keys and values."""

    model_types: ClassVar = {"gpt_bigcode": "as gpt2, with one head of keys and values for all heads (multi-query)"}

    def sizes(self) -> Shape:
        config = self.hf.config
        n_kv_heads = 1 if config.multi_query else config.n_head
        return Shape.of(config, n_kv_heads=n_kv_heads, d_mlp=config.n_inner or 4 * config.n_embd)

    def _split(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        n_heads, d_head = self.shape.n_heads, self.shape.d_head
        if self.shape.n_kv_heads == n_heads:
            q, k, v = outputs[0].unflatten(-1, (n_heads, 3, d_head)).unbind(-2)
            return q, k, v
        q, k, v = outputs[0].unflatten(-1, (n_heads + 2, d_head)).split([n_heads, 1, 1], dim=-2)
        return q, k, v


class OPT(Model):
    """OPT, but for the 350m model, whose blocks norm the stream itself."""

    model_types: ClassVar = {"opt": "learned positions from row 2 on, LayerNorm, ReLU; not opt-350m"}

    def sizes(self) -> Shape:
        return Shape.of(self.hf.config, d_mlp=self.hf.config.ffn_dim)

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        # The module adds the offset of 2 itself; its first argument is for padding.
        embedding: Tensor = self.hf.model.decoder.embed_positions(None, position_ids=positions)
        return embedding

    def block(self, layer: int) -> Block:
        at = self.hf.model.decoder.layers[layer]
        attn = at.self_attn
        return Block(
            head_norm=Norm.layer(at.self_attn_layer_norm),
            qkv=QKV.separate(attn.q_proj, attn.k_proj, attn.v_proj, self.shape.d_head),
            scale=attn.scaling,
            write=attn.out_proj,
            mlp_norm=Norm.layer(at.final_layer_norm),
            mlp=MLP.plain(at.fc1, at.activation_fn, at.fc2),
        )

    @property
    def readout(self) -> Readout:
        return Readout(Norm.layer(self.hf.model.decoder.final_layer_norm), self.hf.lm_head)
