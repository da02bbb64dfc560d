"""What a block, and the way from the last block to the logits, are made of. A family file fills this in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.models.norm import Norm

Heads = tuple[Int[Tensor, " _any"], Int[Tensor, " _any"]]
"""Which query head each of some queries and of some keys belongs to, where they are not all of a layer's, in order."""
Turn = Callable[[Tensor, Tensor, Tensor, Heads | None], tuple[Tensor, Tensor]]
"""Queries and keys, [row, node, head, d_head], with their positions, [node], in them."""


@dataclass(frozen=True, eq=False)
class QKV:
    """The projections to queries, keys and values: linear maps, and how their outputs are cut into heads."""

    linears: tuple[Any, ...]
    """Modules with `weight` (out, in), as Linear, or (in, out), as Conv1D, and a `bias` or None."""
    split: Callable[[Sequence[Tensor]], tuple[Tensor, Tensor, Tensor]]
    """From their outputs, each [..., out], to queries, keys and values, each [..., head, d_head]."""

    @classmethod
    def separate(cls, q: Any, k: Any, v: Any, d_head: int) -> Self:
        """Three linear maps, of which each has its heads one after the other."""

        def split(outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            queries, keys, values = (out.unflatten(-1, (-1, d_head)) for out in outputs)
            return queries, keys, values

        return cls((q, k, v), split)

    def __call__(self, normed: Float[Tensor, "... d_model"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as they are projected, each [..., head, d_head]."""
        return self.split([linear(normed) for linear in self.linears])

    @property
    def weights(self) -> tuple[Float[Tensor, "head d_model d_head"], ...]:
        """W_Q, W_K and W_V: views of the checkpoint's weights."""
        parts = self.split([as_rows(linear) for linear in self.linears])
        return tuple(part.transpose(0, 1) for part in parts)

    @property
    def biases(self) -> tuple[Float[Tensor, "head d_head"], ...]:
        """b_Q, b_K and b_V; zeros where the checkpoint has none."""
        return self.split([_bias(linear) for linear in self.linears])


@dataclass(frozen=True, eq=False)
class HeadNorm:
    """A norm of queries or of keys, after their projection and before their rotation."""

    of: Callable[[Tensor], Tensor]
    """The checkpoint's own: from all heads, [..., head, d_head], to the same."""
    over: Literal["head", "own", "projection"]
    """What is normed together: each head, all by the same weights; each head, by weights of its own; or all heads of a
    stream as one vector."""
    whole: Norm | None = None
    """The norm of all heads as one vector, where that is what is normed."""

    @classmethod
    def of_whole(cls, norm: Norm) -> Self:
        """A norm of all heads of a stream as one vector."""
        return cls(lambda heads: norm(heads.flatten(-2)).unflatten(-1, heads.shape[-2:]), "projection", norm)

    def of_one(self, x: Float[Tensor, "... d_head"], head: int, n_heads: int) -> Float[Tensor, "... d_head"]:
        """One head's, which is normed by itself; it is the number `head` of `n_heads` that the norm knows."""
        assert self.over != "projection"
        if self.over == "head":
            return self.of(x[..., None, :])[..., 0, :]
        return self.of(x[..., None, :].expand(*x.shape[:-1], n_heads, -1))[..., head, :]

    def of_repeated(self, x: Float[Tensor, "... head d_head"], times: int) -> Float[Tensor, "... head d_head"]:
        """Of heads that are repeated, each so many times in a row, and may differ by now; each is normed by itself."""
        assert self.over != "projection"
        if times == 1 or self.over == "head":
            return self.of(x)
        return self.of(x.unflatten(-2, (-1, times)).movedim(-2, 0)).movedim(0, -2).flatten(-3, -2)


@dataclass(frozen=True, eq=False)
class OwnProjection:
    """How single heads make their queries (or keys, or values) of streams of their own, up to the rotation."""

    weight: Float[Tensor, "kv_head d_model d_head"]
    bias: Float[Tensor, "kv_head d_head"]
    shared_by: int
    """How many query heads share each."""
    norm: HeadNorm | None
    limited: Callable[[Tensor], Tensor]

    @property
    def of_all_heads(self) -> bool:
        """Whether a single head's take those of all heads, of the same stream, which are normed as one vector."""
        return self.norm is not None and self.norm.over == "projection"

    def __call__(self, head: int, normed: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_head"]:
        """Of a query head, from the stream after `head_norm`."""
        number = head // self.shared_by
        if self.norm is not None and self.norm.over == "projection":
            heads = normed @ self.weight.transpose(0, 1).flatten(-2) + self.bias.flatten()
            made = self.norm.of(heads.unflatten(-1, self.bias.shape))[..., number, :]
        else:
            made = normed @ self.weight[number] + self.bias[number]
            made = made if self.norm is None else self.norm.of_one(made, number, len(self.weight))
        return self.limited(made)


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions: the checkpoint's angles, and the function by which its architecture turns by them."""

    angles: Any
    """A module that gives cosines and sines of positions."""
    turn: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    """Of queries, keys, cosines and sines."""
    kind: str | None = None
    """The type of layer, where its module has angles of several."""
    width: int | None = None
    """How many coordinates of a head are turned, the first ones; None: `turn` sees all."""

    def __call__(
        self,
        q: Float[Tensor, "row node head d_head"],
        k: Float[Tensor, "row node kv_head d_head"],
        positions: Int[Tensor, " node"],
        heads: Heads | None = None,
    ) -> tuple[Float[Tensor, "row node head d_head"], Float[Tensor, "row node kv_head d_head"]]:
        """Queries and keys rotated by their positions, every head alike."""
        which = () if self.kind is None else (self.kind,)
        cos, sin = self.angles(q, positions[None], *which)
        if self.width is None:
            return self.turn(q, k, cos, sin)
        (q, q_rest), (k, k_rest) = (x.tensor_split([self.width], dim=-1) for x in (q, k))
        q, k = self.turn(q, k, cos, sin)
        return torch.cat([q, q_rest], dim=-1), torch.cat([k, k_rest], dim=-1)


@dataclass(frozen=True, eq=False)
class Alibi:
    """ALiBi: each head adds a bias to the scores of keys, by their positions (Press et al. 2021, arXiv 2108.12409).

    It is carried by more coordinates of queries and keys, one for each query head that shares a key, so that what
    attends knows nothing of it. They are in float32 at least: in bfloat16 a far key's bias would be off by a nat.
    """

    bias: Callable[[Int[Tensor, " node"]], Float[Tensor, "node head"]]
    """What is added to the score of a key at each position."""
    n_kv_heads: int
    scale: float
    """The factor on q.k, by which the bias is not multiplied."""

    def __call__(
        self,
        q: Float[Tensor, "row node head d_head"],
        k: Float[Tensor, "row node kv_head d_head"],
        positions: Int[Tensor, " node"],
        heads: Heads | None = None,
    ) -> tuple[Float[Tensor, "row node head d_key"], Float[Tensor, "row node kv_head d_key"]]:
        """Queries and keys with their biases beside them."""
        precise = torch.promote_types(q.dtype, torch.float32)
        by_key = self.bias(positions).to(precise).unflatten(-1, (self.n_kv_heads, -1))
        shared_by = by_key.shape[-1]
        chosen = torch.eye(shared_by, dtype=precise, device=q.device) / self.scale
        if heads is None:
            by_query = chosen.repeat(self.n_kv_heads, 1)
        else:
            by_query, by_key = chosen[heads[0] % shared_by], by_key[:, heads[1] // shared_by]
        return (
            torch.cat([q.to(precise), by_query.expand(*q.shape[:-1], -1)], dim=-1),
            torch.cat([k.to(precise), by_key.expand(*k.shape[:-1], -1)], dim=-1),
        )


@dataclass(frozen=True, eq=False)
class MLP:
    """An MLP that writes `down(act(gate) * linear)`, or `down(act(gate))` where it is not gated."""

    read: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """From the normed stream to what the activation reads, and what its result is multiplied by."""
    act: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]

    @classmethod
    def plain(cls, up: Any, act: Callable[[Tensor], Tensor], down: Any) -> Self:
        """Two linear maps with a nonlinearity between them."""
        return cls(lambda normed: (up(normed), None), act, down)

    @classmethod
    def gated(cls, gate: Any, up: Any, act: Callable[[Tensor], Tensor], down: Any) -> Self:
        """Three linear maps, as in Llama."""
        return cls(lambda normed: (gate(normed), up(normed)), act, down)

    @classmethod
    def fused(cls, gate_and_up: Any, act: Callable[[Tensor], Tensor], down: Any) -> Self:
        """As `gated`, with one linear map in place of two: its first half is the gate."""

        def read(normed: Tensor) -> tuple[Tensor, Tensor]:
            gate, up = gate_and_up(normed).chunk(2, dim=-1)
            return gate, up

        return cls(read, act, down)

    def __call__(self, normed: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What it writes, from the normed stream."""
        gate, linear = self.read(normed)
        hidden = self.act(gate)
        return self.down(hidden if linear is None else hidden * linear)


@dataclass(frozen=True, eq=False)
class Experts:
    """A mixture of experts: a router gives each stream to a few MLPs and adds up what they write, weighted."""

    n_experts: int
    n_chosen: int
    """How many of them the router gives each stream to."""
    whole: Callable[[Tensor], Tensor]
    """The checkpoint's own: what all write together, from the normed stream, [row, node, d_model]."""
    each: Callable[[Tensor, int], Tensor]
    """What one expert adds to that, its weight included; zeros in streams that the router does not give to it."""

    def __call__(self, normed: Float[Tensor, "row node d_model"]) -> Float[Tensor, "row node d_model"]:
        """What all experts write together."""
        return self.whole(normed)


@dataclass(frozen=True, eq=False)
class Block:
    """A block: heads that read the stream and write to it, and an MLP. Modules are the checkpoint's own."""

    head_norm: Norm
    qkv: QKV
    write: Any
    """W_O and b_O."""
    mlp_norm: Norm
    mlp: MLP | Experts
    scale: float
    """The factor on q.k before the softmax."""
    turn: Turn | None = None
    """How positions come into queries and keys; None where they do not."""
    q_norm: HeadNorm | None = None
    k_norm: HeadNorm | None = None
    limit: float | None = None
    """Queries, keys and values are cut off at this size (`clip_qkv`)."""
    window: int | None = None
    """How many positions back a head sees, itself included; None where it sees them all."""
    softcap: float | None = None
    """Scores s of q.k become softcap * tanh(s / softcap)."""
    sinks: Float[Tensor, " head"] | None = None
    """Scores of a key of each head that has no value: what attends to it is lost."""
    after_heads: Norm | None = None
    """The norm between what the heads write together and the stream."""
    after_mlp: Norm | None = None
    multiplier: float = 1.0
    """A factor on what heads and MLP write."""

    @property
    def by_hand(self) -> bool:
        """Whether attention has to be written out: torch's own has neither soft caps nor sinks."""
        return self.softcap is not None or self.sinks is not None

    def sees(self, back: Int[Tensor, "*axes"]) -> Bool[Tensor, "*axes"]:
        """Whether a stream attends to one so many positions back: not to later ones, nor beyond the window."""
        return back >= 0 if self.window is None else (back >= 0) & (back < self.window)

    def finished(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projections with all that happens to them before rotation."""
        q = q if self.q_norm is None else self.q_norm.of(q)
        k = k if self.k_norm is None else self.k_norm.of(k)
        return self.limited(q), self.limited(k), self.limited(v)

    def limited(self, x: Tensor) -> Tensor:
        """Projections cut off where the model cuts them off."""
        return x if self.limit is None else x.clamp(-self.limit, self.limit)

    @property
    def w_out(self) -> Float[Tensor, "d_heads d_model"]:
        """W_O with the block's factor: what heads write, before a norm after them."""
        weight = as_rows(self.write)
        return weight if self.multiplier == 1.0 else weight * self.multiplier


@dataclass(frozen=True, eq=False)
class Readout:
    """From the stream after the last block to logits: softcap * tanh(l / softcap), l = scale (W_U norm(x) + b_U)."""

    norm: Norm
    unembed: Any
    """W_U, a row for each token, and b_U or None."""
    scale: float = 1.0
    softcap: float | None = None

    def finished(self, products: Float[Tensor, "*axes"], bias: Tensor | None) -> Float[Tensor, "*axes"]:
        """Logits from W_U norm(x), the products of streams and unembedding vectors, and b_U of the same tokens."""
        logits = products if bias is None else products + bias
        logits = logits if self.scale == 1.0 else logits * self.scale
        return logits if self.softcap is None else self.softcap * (logits / self.softcap).tanh()


def as_rows(linear: Any) -> Float[Tensor, "d_in d_out"]:
    """The weight of a linear map, (in, out) whichever way the checkpoint keeps it; a view."""
    weight: Tensor = linear.weight
    return weight if type(linear).__name__ == "Conv1D" else weight.T


def _bias(linear: Any) -> Float[Tensor, " d_out"]:
    bias: Tensor | None = linear.bias
    return as_rows(linear).new_zeros(as_rows(linear).shape[1]) if bias is None else bias
