"""A checkpoint seen as a residual stream that heads and MLPs read from and write to."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.errors import a_kind
from vitro.models.errors import ModelError
from vitro.models.rope import alone, length_class


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


class Model(ABC):
    """A decoder-only transformer, taken apart into what one block does.

    A family (one file beside this one) says how, and nothing more: it calls the checkpoint's own modules, so the
    numbers are the checkpoint's. Nothing is hooked, wrapped or copied, and nothing here changes the model.

    Every method takes `row` (variants of a run side by side) and `node` (streams: a token at a position) as leading
    axes. `positions` gives each node's position, which is not its index: nodes may come from several prompts.

    >>> import torch
    >>> tokens, positions = torch.tensor(prompts[0]), torch.arange(len(prompts[0]))
    >>> resid = model.embed(tokens, positions)
    >>> q, k, v = model.qkv(0, resid[None], positions)
    >>> tuple(resid.shape), tuple(q.shape)  # (node, d_model); (row, node, head, d_head)
    ((7, 64), (1, 7, 4, 16))
    """

    model_types: ClassVar[tuple[str, ...]]
    """The `model_type`s of transformers' configurations that this family reads."""

    def __init__(self, hf: Any, tokenizer: Any, shape: Shape) -> None:
        places = sorted({str(weight.device) for weight in hf.parameters()})
        if len(places) > 1:
            raise ModelError(
                f"the model's weights lie on several devices ({', '.join(places)}); Vitro runs a model on one: load it "
                "without device_map"
            )
        self.hf = hf
        self.tokenizer = tokenizer
        self.shape = shape
        self._angles: Any = None
        self._by_length: dict[int, Self] = {}

    def __repr__(self) -> str:
        shape, family = self.shape, type(self).__name__
        shared = "" if shape.n_kv_heads == shape.n_heads else f" ({shape.n_kv_heads} of keys and values)"
        return (
            f"{family}: {shape.n_layers} layers of {shape.n_heads} heads{shared}, d_model {shape.d_model:,}, d_mlp "
            f"{shape.d_mlp:,}, {shape.d_vocab:,} tokens, prompts of up to {shape.n_ctx:,}; "
            f"{str(self.dtype).removeprefix('torch.')} on {self.device}"
        )

    @classmethod
    @abstractmethod
    def of(cls, hf: Any, tokenizer: Any) -> "Model":
        """The model of a loaded transformers model of this family and its tokenizer (None: prompts are token ids).

        Raises ModelError where its weights lie on several devices.
        """

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
        if kind is None:
            return self
        if kind not in self._by_length:
            self._by_length[kind] = copy(self)
            self._by_length[kind]._angles = alone(self.rotary, n_tokens)
        return self._by_length[kind]

    @property
    def parallel(self) -> bool:
        """Whether a block's MLP reads the stream before its heads have written to it (GPT-NeoX)."""
        return False

    def embed(self, tokens: Int[Tensor, " node"], positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        """The stream as it enters layer 0: `hook_resid_pre` of block 0."""
        token, position = self.token_embed(tokens), self.pos_embed(positions)
        return token if position is None else token + position

    def token_embed(self, tokens: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"]:
        """What the embedding makes of the tokens (`hook_embed`)."""
        embedding: Tensor = self.hf.get_input_embeddings()(tokens)
        return embedding

    def pos_embed(self, positions: Int[Tensor, " node"]) -> Float[Tensor, "node d_model"] | None:
        """What the embedding makes of the positions (`hook_pos_embed`); None where it says nothing of them."""
        return None

    def qkv(
        self, layer: int, resid: Float[Tensor, "row node d_model"], positions: Int[Tensor, " node"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node kv_head d_head"],
        Float[Tensor, "row node kv_head d_head"],
    ]:
        """Queries, keys and values of a block, after its norm and rotation, from the stream that enters the block."""
        q, k, v = self.project(layer, self.head_norm(layer)(resid))
        q, k = self.rotate(q, k, positions)
        return q, k, v

    @abstractmethod
    def project(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[
        Float[Tensor, "row node head d_head"],
        Float[Tensor, "row node kv_head d_head"],
        Float[Tensor, "row node kv_head d_head"],
    ]:
        """Queries, keys and values before any rotation, from the stream after `head_norm`."""

    @property
    def rotary(self) -> Any:
        """The checkpoint's module of rotary angles; None where positions are in the embedding."""
        return None

    def rotate(
        self,
        q: Float[Tensor, "row node head d_head"],
        k: Float[Tensor, "row node kv_head d_head"],
        positions: Int[Tensor, " node"],
    ) -> tuple[Float[Tensor, "row node head d_head"], Float[Tensor, "row node kv_head d_head"]]:
        """Queries and keys rotated by their positions; unchanged where positions are in the embedding."""
        angles = self._angles or self.rotary
        if angles is None:
            return q, k
        cos, sin = angles(q, positions[None])
        # The function by which this checkpoint's own architecture rotates queries and keys.
        turn = import_module(type(self.hf).__module__).apply_rotary_pos_emb
        turned: tuple[Tensor, Tensor] = turn(q, k, cos, sin, unsqueeze_dim=2)
        return turned

    @abstractmethod
    def attn_out(self, layer: int, z: Float[Tensor, "row node head d_head"]) -> Float[Tensor, "row node d_model"]:
        """What the heads write to the stream, b_O included, from each head's mixed values (`hook_z`)."""

    def mlp_out(self, layer: int, resid: Float[Tensor, "row node d_model"]) -> Float[Tensor, "row node d_model"]:
        """What the MLP writes to the stream (`hook_mlp_out`), its norm included, from the stream that it reads."""
        gate, linear = self.mlp_in(layer, self.mlp_norm(layer)(resid))
        hidden: Tensor = self.activation(layer)(gate)
        return self.mlp_down(layer, hidden if linear is None else hidden * linear)

    @abstractmethod
    def mlp_norm(self, layer: int) -> Any:
        """The norm between the stream and a block's MLP."""

    @abstractmethod
    def mlp_in(
        self, layer: int, normed: Float[Tensor, "row node d_model"]
    ) -> tuple[Float[Tensor, "row node d_mlp"], Float[Tensor, "row node d_mlp"] | None]:
        """What the MLP's activation reads, and what its result is multiplied by; None where the MLP has no gate."""

    @abstractmethod
    def activation(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The MLP's nonlinearity, element by element."""

    @abstractmethod
    def mlp_down(self, layer: int, hidden: Float[Tensor, "row node d_mlp"]) -> Float[Tensor, "row node d_model"]:
        """What the MLP writes to the stream, from its hidden layer."""

    @abstractmethod
    def w_out(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """W_O of every head, a view of the checkpoint's weights: a head writes `z @ w_out[head]`, without b_O."""

    @abstractmethod
    def w_query(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_Q of every head: its queries, before any rotation, are `head_norm(resid) @ w_query + b_Q`."""

    @abstractmethod
    def w_key(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_K of every head, as `w_query`; where heads share keys, theirs is repeated."""

    @abstractmethod
    def w_value(self, layer: int) -> Float[Tensor, "head d_model d_head"]:
        """W_V of every head, repeated where heads share it: a head's values are `head_norm(resid) @ w_value + b_V`."""

    def per_head(self, layer: int) -> list[tuple[Float[Tensor, "head d_model d_head"], Float[Tensor, "head d_head"]]]:
        """The weight and bias by which each head makes its queries, its keys and its values of a stream of its own.

        Before any rotation, they are `head_norm(resid) @ weight[head] + bias[head]`.
        """
        weights = (self.w_query(layer), self.w_key(layer), self.w_value(layer))
        zero = weights[0].new_zeros(1, 1, self.shape.d_model)
        biases = (part[0, 0] for part in self.project(layer, zero))
        return [
            (weight, bias.repeat_interleave(self.shape.n_heads // len(bias), dim=0))
            for weight, bias in zip(weights, biases, strict=True)
        ]

    @abstractmethod
    def head_norm(self, layer: int) -> Any:
        """The norm between the stream and a block's heads."""

    @property
    @abstractmethod
    def norm_module(self) -> Any:
        """The norm between the last block and the unembedding."""

    @abstractmethod
    def b_value(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V of every head, repeated where heads share values; zeros where the checkpoint has none."""

    def folded_value_bias(self, layer: int) -> Float[Tensor, "head d_head"]:
        """b_V + b_LN W_V of every head: the part of its values that does not depend on the stream it reads.

        b_LN is the bias of the norm before the heads; an RMSNorm has none. TransformerLens folds this into b_O by
        default (`fold_ln`, then `fold_value_biases`): docs/method.md, section 4.2.
        """
        bias = self.b_value(layer)
        shift: Tensor | None = getattr(self.head_norm(layer), "bias", None)
        if shift is None:
            return bias
        # In float32 at least, and rounded once: in a short format the two may be large and nearly cancel.
        precise = torch.promote_types(bias.dtype, torch.float32)
        return (bias.to(precise) + shift.to(precise) @ self.w_value(layer).to(precise)).to(bias.dtype)

    def final_norm(self, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream as the unembedding reads it."""
        normed: Tensor = self.norm_module(resid)
        return normed

    @property
    def w_unembed(self) -> Float[Tensor, "d_vocab d_model"]:
        """W_U, a row for each token: a token's logit is `final_norm(resid) @ w_unembed[token]`, without b_U."""
        weight: Tensor = self.hf.get_output_embeddings().weight
        return weight

    @property
    def b_unembed(self) -> Float[Tensor, " d_vocab"] | None:
        """b_U; None where the checkpoint has none."""
        bias: Tensor | None = self.hf.get_output_embeddings().bias
        return bias

    def attn_scale(self, layer: int) -> float:
        """The factor on q.k before the softmax."""
        return float(self.shape.d_head**-0.5)

    def window(self, layer: int) -> int | None:
        """How many positions back a head sees, itself included; None where it sees them all."""
        return None


def check_model(model: object) -> None:
    """Raises ModelError for what is no `Model` yet: a name, or a model of transformers."""
    if isinstance(model, str):
        raise ModelError(f"the model is the text {model!r}; what works: vitro.load({model!r})")
    if not isinstance(model, Model):
        raise ModelError(
            f"the model is {a_kind(model)}; what works: vitro.load(name), or vitro.load(hf_model, tokenizer)"
        )
