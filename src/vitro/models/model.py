"""A checkpoint seen as a residual stream that heads and MLPs read from and write to."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.errors import a_kind
from vitro.models.block import Block, Experts, Heads, OwnProjection, Readout, Rotation, as_rows
from vitro.models.errors import ModelError
from vitro.models.norm import Norm
from vitro.models.origin import Origin
from vitro.models.rope import alone, context, length_class


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only transformer, in the field's names."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    """Heads of keys and values; each serves `n_heads / n_kv_heads` query heads."""
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    """The longest prompt, in tokens."""

    @classmethod
    def of(cls, config: Any, **own: int) -> Self:
        """The sizes by the names that transformers has for them in every family.

        own: what a family names or works out otherwise. Where it says nothing, heads share no keys and are together as
        wide as the stream: a configuration may have fields that say something else, and that its model does not read.
        """
        n_heads, d_model = config.num_attention_heads, config.hidden_size
        return cls(
            n_layers=config.num_hidden_layers,
            n_heads=n_heads,
            n_kv_heads=own.get("n_kv_heads", n_heads),
            d_model=d_model,
            d_head=own.get("d_head", d_model // n_heads),
            d_mlp=own.get("d_mlp", getattr(config, "intermediate_size", 0)),
            d_vocab=config.vocab_size,
            n_ctx=context(config),
        )


class Model(ABC):
    """A decoder-only transformer, taken apart into what one block does.

    A family (one file beside this one) says where things are and what is special, as a `Block` for each layer and a
    `Readout`, and nothing more. These hold the checkpoint's own modules, so the numbers are the checkpoint's. Nothing
    is hooked, wrapped or copied, and nothing here changes the model.

    Every method takes `row` (variants of a run side by side) and `node` (streams: a token at a position) as leading
    axes. `positions` gives each node's position, which is not its index: nodes may come from several prompts.

    >>> import torch
    >>> tokens, positions = torch.tensor(prompts[0]), torch.arange(len(prompts[0]))
    >>> resid = model.embed(tokens, positions)
    >>> q, k, v = model.qkv(0, resid[None], positions)
    >>> tuple(resid.shape), tuple(q.shape)  # (node, d_model); (row, node, head, d_head)
    ((7, 64), (1, 7, 4, 16))
    """

    model_types: ClassVar[Mapping[str, str]]
    """The `model_type`s of transformers' configurations that this family reads, and what is special about each."""
    origin: Origin | None = None
    """How it was read, and how it was proved; None where a family was given a transformers model without `load`."""

    def __init__(self, hf: Any, tokenizer: Any) -> None:
        places = sorted({str(weight.device) for weight in hf.parameters()})
        if len(places) > 1:
            raise ModelError(
                f"the model's weights lie on several devices ({', '.join(places)}); Vitro runs a model on one: load it "
                "without device_map"
            )
        self.hf = hf
        self.tokenizer = tokenizer
        self.shape = self.sizes()
        self.blocks = tuple(self.block(layer) for layer in range(self.shape.n_layers))
        self._by_length: dict[tuple[int, ...], Self] = {}

    @classmethod
    def of(cls, hf: Any, tokenizer: Any) -> Self:
        """The model of a loaded transformers model of this family and its tokenizer (None: prompts are token ids).

        Raises ModelError where its weights lie on several devices.
        """
        return cls(hf, tokenizer)

    def __repr__(self) -> str:
        shape, family = self.shape, type(self).__name__
        part = f"; the text part of a {self.origin.whole} model" if self.origin and self.origin.whole else ""
        shared = "" if shape.n_kv_heads == shape.n_heads else f" ({shape.n_kv_heads} of keys and values)"
        return (
            f"{family}: {shape.n_layers} layers of {shape.n_heads} heads{shared}, d_model {shape.d_model:,}, d_mlp "
            f"{shape.d_mlp:,}, {shape.d_vocab:,} tokens, prompts of up to {shape.n_ctx:,}; "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}{part}"
        )

    # What a family says.

    def sizes(self) -> Shape:
        """The sizes, from the checkpoint's configuration."""
        return Shape.of(self.hf.config)

    @abstractmethod
    def block(self, layer: int) -> Block:
        """A block's modules, and what is special about it."""

    @property
    @abstractmethod
    def readout(self) -> Readout:
        """The final norm and the unembedding."""

    @property
    def parallel(self) -> bool:
        """Whether a block's MLP reads the stream before its heads have written to it (GPT-NeoX)."""
        return False

    def token_embed(self, tokens: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        """What the embedding makes of the tokens (`hook_embed`)."""
        embedding: Tensor = self.hf.get_input_embeddings()(tokens)
        return embedding

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"] | None:
        """What the embedding makes of the positions (`hook_pos_embed`); None where it says nothing of them."""
        return None

    # What follows from it.

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        weight: Tensor = self.hf.get_input_embeddings().weight
        return weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights, in which the residual stream is computed too."""
        weight: Tensor = self.hf.get_input_embeddings().weight
        return weight.dtype

    def for_length(self, n_tokens: int) -> Self:
        """The model as it runs a prompt of `n_tokens` tokens alone, whatever ran before.

        It is the model itself, except where the rotary angles depend on the length of the prompt.
        """
        kind = length_class(self.hf.config, n_tokens)
        if not kind:
            return self
        if kind not in self._by_length:
            self._by_length[kind] = copy(self)
            self._by_length[kind].blocks = tuple(_turned_alone(self.blocks, n_tokens))
        return self._by_length[kind]

    @property
    def embeds_positions(self) -> bool:
        """Whether the stream that enters layer 0 holds an embedding of the position."""
        return type(self).pos_embed is not Model.pos_embed

    @property
    def rotates(self) -> bool:
        """Whether queries and keys are rotated by position, in some layer."""
        return any(isinstance(block.turn, Rotation) for block in self.blocks)

    def embed(self, tokens: Int[Tensor, " node"], positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        """The stream as it enters layer 0: `hook_resid_pre` of block 0."""
        token, position = self.token_embed(tokens), self.pos_embed(positions)
        return token if position is None else token + position

    def qkv(
        self, layer: int, resid: Float[Tensor, "row node d_model"], positions: Int[Tensor, " node"]
    ) -> tuple[
        Float[Tensor, "row node head d_key"],
        Float[Tensor, "row node kv_head d_key"],
        Float[Tensor, "row node kv_head d_head"],
    ]:
        """Queries, keys and values of a block, as its heads attend by them, from the stream that enters the block."""
        q, k, v = self.project(layer, self.head_norm(layer)(resid))
        q, k = self.turn(layer, q, k, positions)
        return q, k, v

    def project(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node kv_head d_head"],
        Float[Tensor, "row node kv_head d_head"],
    ]:
        """Queries, keys and values before any rotation, their own norms included, from the stream after `head_norm`."""
        block = self.blocks[layer]
        return block.finished(*block.qkv(normed))

    def turn(
        self,
        layer: int,
        q: Float[Tensor, "row node head d_head"],
        k: Float[Tensor, "row node kv_head d_head"],
        positions: Int[Tensor, " node"],
        heads: Heads | None = None,
    ) -> tuple[Float[Tensor, "row node head d_key"], Float[Tensor, "row node kv_head d_key"]]:
        """Queries and keys with their positions in them; unchanged in a layer that does not see positions.

        They are rotated, or, for ALiBi, get coordinates more than values have. heads: which query head each of the
        queries and each of the keys belongs to, where they are not all of the layer's in order.
        """
        turn = self.blocks[layer].turn
        return (q, k) if turn is None else turn(q, k, positions, heads)

    def attn_out(self, layer: int, z: Float[Tensor, "row node head d_head"]) -> Float[Tensor, "row node d_model"]:
        """What the heads write to the stream (`hook_attn_out`), b_O included, from each head's mixed values."""
        return self.after_heads(layer, self.together(layer, z))

    def together(self, layer: int, z: Float[Tensor, "*node head d_head"]) -> Float[Tensor, "*node d_model"]:
        """The sum of what the heads write, b_O included, as a norm after them reads it where there is one."""
        together: Tensor = self.blocks[layer].write(z.flatten(-2))
        return together

    def after_heads(self, layer: int, together: Float[Tensor, "*node d_model"]) -> Float[Tensor, "*node d_model"]:
        """What the stream gets of that sum: through the norm after the heads, and by the block's factor."""
        block = self.blocks[layer]
        out = together if block.after_heads is None else block.after_heads(together)
        return out if block.multiplier == 1.0 else out * block.multiplier

    def mlp_out(self, layer: int, resid: Float[Tensor, "row node d_model"]) -> Float[Tensor, "row node d_model"]:
        """What the MLP writes to the stream (`hook_mlp_out`), its norms included, from the stream that it reads."""
        block = self.blocks[layer]
        out: Tensor = block.mlp(block.mlp_norm(resid))
        if block.after_mlp is not None:
            out = block.after_mlp(out)
        return out if block.multiplier == 1.0 else out * block.multiplier

    def expert_out(
        self, layer: int, resid: Float[Tensor, "row node d_model"], expert: int
    ) -> Float[Tensor, "row node d_model"]:
        """What one expert of a layer's MLP writes, its weight included; zeros where the router does not choose it."""
        block = self.blocks[layer]
        assert isinstance(block.mlp, Experts)
        return block.mlp.each(block.mlp_norm(resid), expert) * block.multiplier

    def head_norm(self, layer: int) -> Norm:
        """The norm between the stream and a block's heads."""
        return self.blocks[layer].head_norm

    def n_experts(self, layer: int) -> int:
        """How many MLPs a block's router chooses from; 0 where it has one MLP for all."""
        mlp = self.blocks[layer].mlp
        return mlp.n_experts if isinstance(mlp, Experts) else 0

    # Weights by head, for what is read off them, or made for one head alone.

    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """W_O of every head: a head writes `z @ w_out[head]`, without b_O, over `write_scale` where there is one."""
        weight, gain = self.w_together(layer), self._write_gain(layer)
        return weight if gain is None else (weight * gain).to(weight.dtype)

    def b_out(self, layer: int) -> Float[Tensor, " d_model"]:
        """b_O, as the stream gets it: over `write_scale` where there is one; zeros where the checkpoint has none."""
        bias: Tensor | None = self.blocks[layer].write.bias
        if bias is None:
            return self.w_together(layer).new_zeros(self.shape.d_model)
        gain = self._write_gain(layer)
        return bias if gain is None else (bias * gain).to(bias.dtype)

    def w_together(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """W_O of every head, by which it adds to `together`."""
        heads: Tensor = as_rows(self.blocks[layer].write).unflatten(0, (self.shape.n_heads, self.shape.d_head))
        return heads

    def _write_gain(self, layer: int) -> Float[Tensor, "#d_model"] | None:
        """What the heads' sum is multiplied by on its way to the stream; None where it is not."""
        block = self.blocks[layer]
        if block.after_heads is not None:
            return block.after_heads.gain * block.multiplier
        return None if block.multiplier == 1.0 else torch.full((1,), block.multiplier, device=self.device)

    def write_scale(self, layer: int, z: Float[Tensor, "*node head d_head"]) -> Float[Tensor, "*node 1"] | None:
        """What a norm after the heads divides by what they write, from all heads' z; None where there is no such norm.

        Held at the clean run's, what each head writes is its own again: docs/method.md, section 4.3.
        """
        norm = self.blocks[layer].after_heads
        return None if norm is None else norm.scale(self.together(layer, z))

    def w_query(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_Q of every head: its queries, before norms and rotation, are `head_norm(resid) @ w_query + b_Q`."""
        return self.blocks[layer].qkv.weights[0]

    def w_key(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_K of every head, as `w_query`; where heads share keys, theirs is repeated."""
        return self._repeated(self.blocks[layer].qkv.weights[1])

    def w_value(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_V of every head, repeated where heads share it: a head's values are `head_norm(resid) @ w_value + b_V`."""
        return self._repeated(self.blocks[layer].qkv.weights[2])

    def b_value(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V of every head, repeated where heads share values; zeros where the checkpoint has none."""
        return self._repeated(self.blocks[layer].qkv.biases[2])

    def own_projections(self, layer: int) -> tuple[OwnProjection, OwnProjection, OwnProjection]:
        """How each head makes its queries, its keys and its values of a stream of its own, before any rotation."""
        block, n_heads = self.blocks[layer], self.shape.n_heads
        q, k, v = (
            OwnProjection(weight, bias, n_heads // len(weight), norm, block.limited)
            for weight, bias, norm in zip(
                block.qkv.weights, block.qkv.biases, (block.q_norm, block.k_norm, None), strict=True
            )
        )
        return q, k, v

    def _repeated(self, heads: Float[Tensor, "kv_head *axes"]) -> Float[Tensor, "head *axes"]:
        """What heads share, for each of them."""
        shared_by = self.shape.n_heads // len(heads)
        return heads if shared_by == 1 else heads.repeat_interleave(shared_by, dim=0)

    def folded_value_bias(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V + b_LN W_V of every head: the part of its values that does not depend on the stream it reads.

        b_LN is the bias of the norm before the heads; an RMSNorm has none. TransformerLens folds this into b_O by
        default (`fold_ln`, then `fold_value_biases`): docs/method.md, section 4.2.
        """
        bias = self.b_value(layer)
        shift = self.head_norm(layer).shift
        if shift is None:
            return bias
        # In float32 at least, and rounded once: in a short format the two may be large and nearly cancel.
        precise = torch.promote_types(bias.dtype, torch.float32)
        return (bias.to(precise) + shift.to(precise) @ self.w_value(layer).to(precise)).to(bias.dtype)

    # From the last stream to the logits.

    def final_norm(self, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream as the unembedding reads it."""
        return self.readout.norm(resid)

    @property
    def w_unembed(self) -> Float[Tensor, "d_vocab d_model"]:
        """W_U, a row for each token: its logit is `final_norm(resid) @ w_unembed[token]`, and what `Readout` says."""
        weight: Tensor = self.readout.unembed.weight
        return weight

    @property
    def b_unembed(self) -> Float[Tensor, " d_vocab"] | None:
        """b_U; None where the checkpoint has none."""
        bias: Tensor | None = self.readout.unembed.bias
        return bias


def _turned_alone(blocks: tuple[Block, ...], n_tokens: int) -> list[Block]:
    """Blocks that rotate as for one prompt of `n_tokens` tokens."""
    fresh: dict[int, Any] = {}
    turned = []
    for block in blocks:
        turn = block.turn
        if isinstance(turn, Rotation):
            if id(turn.angles) not in fresh:
                fresh[id(turn.angles)] = alone(turn.angles, n_tokens)
            block = replace(block, turn=replace(turn, angles=fresh[id(turn.angles)]))
        turned.append(block)
    return turned


def check_model(model: object) -> None:
    """Raises ModelError for what is no `Model` yet: a name, or a model of transformers."""
    if isinstance(model, str):
        raise ModelError(f"the model is the text {model!r}; what works: vitro.load({model!r})")
    if not isinstance(model, Model):
        raise ModelError(
            f"the model is {a_kind(model)}; what works: vitro.load(name), or vitro.load(hf_model, tokenizer)"
        )
