"""The clean run over a tree of prompts, and its activations."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vitro.engine.tree import Tree
from vitro.models import Model


@dataclass(frozen=True)
class Layer:
    """A block's activations at every node of a tree."""

    resid_pre: Float[Tensor, "node d_model"]
    k: Float[Tensor, "node kv_head d_head"]
    v: Float[Tensor, "node kv_head d_head"]
    z: Float[Tensor, "node head d_head"]
    resid_mid: Float[Tensor, "node d_model"]
    """The stream after the heads. In a parallel block nothing reads it, but the block's output is still its sum with
    what the MLP writes."""
    mlp_out: Float[Tensor, "node d_model"]


@dataclass(frozen=True)
class Clean:
    """The model's run on some prompts with nothing edited: what every variant starts from and is compared with."""

    model: Model
    """As it runs these prompts (`Model.for_length`)."""
    tree: Tree
    """On the CPU, where plans are made."""
    there: Tree
    """The same tree on the model's device, where runs are computed."""
    layers: tuple[Layer, ...]
    resid_final: Float[Tensor, "node d_model"]
    """The stream after the last block."""


def run(model: Model, tree: Tree) -> Clean:
    """A forward pass of the model over a tree, every node once.

    >>> vitro.engine.run(model, vitro.engine.pack([[0, 5, 9], [0, 5, 8]])).resid_final.shape
    torch.Size([4, 64])
    """
    there = tree.to(model.device)
    positions = there.positions
    resid = model.embed(there.tokens, positions)[None]
    layers = []
    for layer in range(model.shape.n_layers):
        q, k, v = model.qkv(layer, resid, positions)
        z = attend(model, layer, q, k, v, visible(model, layer, there))
        mid = resid + model.attn_out(layer, z)
        mlp = model.mlp_out(layer, resid if model.parallel else mid)
        layers.append(Layer(resid[0], k[0], v[0], z[0], mid[0], mlp[0]))
        resid = mid + mlp
    return Clean(model, tree, there, tuple(layers), resid[0])


def visible(model: Model, layer: int, tree: Tree) -> Bool[Tensor, "node node"]:
    """Which nodes a node attends to in a layer: its ancestors, as far back as the layer's window reaches.

    >>> visible(model, 0, vitro.engine.pack([[0, 5], [0, 6]])).long().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    window = model.window(layer)
    if window is None:
        return tree.visible
    return tree.visible & (tree.positions[:, None] - tree.positions[None] < window)


def attend(
    model: Model,
    layer: int,
    q: Float[Tensor, "row query head d_head"],
    k: Float[Tensor, "row key kv_head d_head"],
    v: Float[Tensor, "row key kv_head d_head"],
    mask: Bool[Tensor, "*rows query key"],
) -> Float[Tensor, "row query head d_head"]:
    """Every head's values, mixed by its attention: z = softmax(q k^T scale) v over the keys that the mask shows.

    mask: the same for all rows, or each row's own, with an axis of 1 for its heads.
    """
    z = scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        scale=model.attn_scale(layer),
        enable_gqa=model.shape.n_kv_heads != model.shape.n_heads,
    )
    return z.transpose(1, 2)


def attention(
    model: Model,
    layer: int,
    q: Float[Tensor, "row query head d_head"],
    k: Float[Tensor, "row key kv_head d_head"],
    mask: Bool[Tensor, "query key"],
) -> Float[Tensor, "row head query key"]:
    """The attention itself (`hook_pattern`), which `attend` does not keep: softmax(q k^T scale), in float32."""
    k = k.repeat_interleave(model.shape.n_heads // model.shape.n_kv_heads, dim=2)
    scores = torch.einsum("rqhd,rkhd->rhqk", q, k).float() * model.attn_scale(layer)
    return scores.masked_fill(~mask, -torch.inf).softmax(-1)


def clean_attention(clean: Clean, layer: int) -> Float[Tensor, "head query key"]:
    """Every head's attention between the nodes of the clean run's tree, in one layer.

    >>> clean_attention(vitro.engine.alone(model, [0, 5, 9]), layer=1).shape
    torch.Size([4, 3, 3])
    """
    model, tree = clean.model, clean.there
    q, k, _ = model.qkv(layer, clean.layers[layer].resid_pre[None], tree.positions)
    return attention(model, layer, q, k, visible(model, layer, tree))[0]
