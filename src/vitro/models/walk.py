"""A block computed: what it is made of, in the order in which a model runs it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vitro.models.model import Model


@dataclass(frozen=True)
class BlockRun:
    """A block's activations at some nodes (streams, each a token at a position)."""

    resid_pre: Float[Tensor, "node d_model"]
    k: Float[Tensor, "node kv_head d_key"]
    v: Float[Tensor, "node kv_head d_head"]
    z: Float[Tensor, "node head d_head"]
    resid_mid: Float[Tensor, "node d_model"]
    """The stream after the heads. In a parallel block nothing reads it, but the block's output is still its sum with
    what the MLP writes."""
    mlp_out: Float[Tensor, "node d_model"]

    @property
    def resid_post(self) -> Float[Tensor, "node d_model"]:
        """The stream as it leaves the block."""
        return self.resid_mid + self.mlp_out


def run_block(
    model: Model,
    layer: int,
    resid: Float[Tensor, "node d_model"],
    positions: Int[Tensor, " node"],
    mask: Bool[Tensor, "node node"],
) -> BlockRun:
    """A block from the stream that enters it. mask: which nodes a node attends to.

    >>> positions = torch.arange(3)
    >>> resid, mask = model.embed(torch.tensor([0, 5, 9]), positions), torch.ones(3, 3, dtype=torch.bool).tril()
    >>> run_block(model, 0, resid, positions, mask).z.shape
    torch.Size([3, 4, 16])
    """
    q, k, v = model.qkv(layer, resid[None], positions)
    z = attend(model, layer, q, k, v, mask)
    mid = resid[None] + model.attn_out(layer, z)
    mlp = model.mlp_out(layer, resid[None] if model.parallel else mid)
    return BlockRun(resid, k[0], v[0], z[0], mid[0], mlp[0])


def logits(model: Model, tokens: Int[Tensor, " position"]) -> Float[Tensor, "position d_vocab"]:
    """The logits of one prompt, at every position, in the model's own number format.

    >>> logits(model, torch.tensor([0, 5, 9])).shape[0]
    3
    """
    model = model.for_length(len(tokens))
    positions = torch.arange(len(tokens), device=tokens.device)
    back = positions[:, None] - positions
    resid = model.embed(tokens, positions)
    for layer, block in enumerate(model.blocks):
        resid = run_block(model, layer, resid, positions, block.sees(back)).resid_post
    return model.readout.finished(model.final_norm(resid) @ model.w_unembed.T, model.b_unembed)


def attend(
    model: Model,
    layer: int,
    q: Float[Tensor, "row query head d_key"],
    k: Float[Tensor, "row key kv_head d_key"],
    v: Float[Tensor, "row key kv_head d_head"],
    mask: Bool[Tensor, "*rows query key"],
    heads: Int[Tensor, " head"] | None = None,
) -> Float[Tensor, "row query head d_head"]:
    """Every head's values, mixed by its attention: z = pattern v over the keys that the mask shows.

    mask: the same for all rows, or each row's own, with an axis of 1 for its heads. heads: of which head each of the
    queries is, where they are not all of the layer's in order.
    """
    block, shared_by = model.blocks[layer], q.shape[2] // k.shape[2]
    if block.by_hand:
        v = v if shared_by == 1 else v.repeat_interleave(shared_by, dim=2)
        return torch.einsum("rhqk,rkhd->rqhd", attention(model, layer, q, k, mask, heads).to(v.dtype), v)
    # Queries and keys are in a longer format than values where their product has to be (`Alibi`).
    z = scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.to(q.dtype).transpose(1, 2),
        attn_mask=mask,
        scale=block.scale,
        enable_gqa=shared_by != 1,
    )
    return z.transpose(1, 2).to(v.dtype)


def attention(
    model: Model,
    layer: int,
    q: Float[Tensor, "row query head d_key"],
    k: Float[Tensor, "row key kv_head d_key"],
    mask: Bool[Tensor, "*rows query key"],
    heads: Int[Tensor, " head"] | None = None,
) -> Float[Tensor, "row head query key"]:
    """The attention itself (`hook_pattern`): softmax(q k^T scale), in float32 at least, what a sink takes left out.

    heads: as for `attend`.
    """
    k = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    products = torch.einsum("rqhd,rkhd->rhqk", q, k)
    return weights_of(model, layer, products.to(torch.promote_types(products.dtype, torch.float32)), mask, heads)


def weights_of(
    model: Model,
    layer: int,
    products: Float[Tensor, "row head query key"],
    mask: Bool[Tensor, "*rows query key"],
    heads: Int[Tensor, " head"] | None = None,
) -> Float[Tensor, "row head query key"]:
    """Attention from the products q.k of queries and keys. heads: as for `attend`."""
    block = model.blocks[layer]
    scores = products * block.scale
    if block.softcap is not None:
        scores = block.softcap * (scores / block.softcap).tanh()
    scores = scores.masked_fill(~mask, -torch.inf)
    if block.sinks is None:
        return scores.softmax(-1)
    sinks = (
        (block.sinks if heads is None else block.sinks[heads]).to(scores)[:, None, None].expand(*scores.shape[:-1], 1)
    )
    return torch.cat([scores, sinks], dim=-1).softmax(-1)[..., :-1]
