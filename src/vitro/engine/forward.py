"""The clean run over a tree of prompts, and its activations."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from vitro.engine.tree import Tree
from vitro.models import BlockRun, Model, attention, run_block


@dataclass(frozen=True)
class Clean:
    """The model's run on some prompts with nothing edited: what every variant starts from and is compared with."""

    model: Model
    """As it runs these prompts (`Model.for_length`)."""
    tree: Tree
    """On the CPU, where plans are made."""
    there: Tree
    """The same tree on the model's device, where runs are computed."""
    layers: tuple[BlockRun, ...]
    resid_final: Float[Tensor, "node d_model"]
    """The stream after the last block."""


def run(model: Model, tree: Tree) -> Clean:
    """A forward pass of the model over a tree, every node once.

    >>> vitro.engine.run(model, vitro.engine.pack([[0, 5, 9], [0, 5, 8]])).resid_final.shape
    torch.Size([4, 64])
    """
    there = tree.to(model.device)
    resid = model.embed(there.tokens, there.positions)
    layers = []
    for layer in range(model.shape.n_layers):
        layers.append(run_block(model, layer, resid, there.positions, visible(model, layer, there)))
        resid = layers[-1].resid_post
    return Clean(model, tree, there, tuple(layers), resid)


def visible(model: Model, layer: int, tree: Tree) -> Bool[Tensor, "node node"]:
    """Which nodes a node attends to in a layer: its ancestors, as far back as the layer's window reaches.

    >>> visible(model, 0, vitro.engine.pack([[0, 5], [0, 6]])).long().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    window = model.blocks[layer].window
    if window is None:
        return tree.visible
    return tree.visible & (tree.positions[:, None] - tree.positions[None] < window)


def clean_attention(clean: Clean, layer: int) -> Float[Tensor, "head query key"]:
    """Every head's attention between the nodes of the clean run's tree, in one layer.

    >>> clean_attention(vitro.engine.alone(model, [0, 5, 9]), layer=1).shape
    torch.Size([4, 3, 3])
    """
    model, tree = clean.model, clean.there
    q, k, _ = model.qkv(layer, clean.layers[layer].resid_pre[None], tree.positions)
    return attention(model, layer, q, k, visible(model, layer, tree))[0]
