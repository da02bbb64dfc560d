"""The light cone of some edits: which nodes have to be computed, and from which layer on."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vitro.engine.edit import Hook
from vitro.engine.forward import visible
from vitro.engine.tree import Tree
from vitro.models import Model

Signature = frozenset[tuple[int, Hook, tuple[int, ...]]]
"""The layers, places and nodes that a variant edits. Variants with one signature run as rows of one batch."""


@dataclass(frozen=True, eq=False)
class Step:
    """What one block has to compute for every variant of one signature."""

    layer: int
    recomputed: frozenset[Hook]
    """Which of z, resid_mid and mlp_out may differ from the clean run's before the edits made there."""
    held: Int[Tensor, " held"]
    """Nodes whose stream is carried through the block, in order."""
    carried: Int[Tensor, " carried"]
    """Where in `held` the nodes that left the block before lie; the others enter clean."""
    context: Int[Tensor, " context"]
    """The clean ancestors of held nodes. The keys of the block are these, then all of `held`."""
    out: Int[Tensor, " out"] | slice
    """Where in `held` the nodes that leave the block lie: all, but in the last block only those that are read."""
    mask: Bool[Tensor, "out key"]
    """What the leaving nodes attend to."""
    ancestors: Bool[Tensor, "out key"]
    """What a pin can make them attend to: the same, but beyond the layer's window too."""
    index_held: Int[Tensor, " node"]
    """Where in `held` a node lies; -1 where it does not. On the CPU, where edits are looked up."""
    index_out: Int[Tensor, " node"]
    """The same for the nodes that leave."""


def plan(model: Model, tree: Tree, signature: Signature) -> tuple[Step, ...]:
    """From the first layer edited on: the edited nodes and, block by block, all that see a changed one.

    Built on the CPU, once for all the batches of a signature, so that the batches themselves never wait for it.
    """
    device, last = model.device, model.shape.n_layers - 1
    read = torch.zeros(len(tree.tokens), dtype=torch.bool)
    read[tree.finals] = True
    leaving = torch.zeros_like(read)
    steps: list[Step] = []
    for layer in range(min((at for at, _, _ in signature), default=last + 1), last + 1):
        sees = visible(model, layer, tree)
        edited = [(hook, list(nodes)) for at, hook, nodes in signature if at == layer]
        entering = leaving.clone()
        for hook, nodes in edited:
            if hook is Hook.resid_pre:
                entering[nodes] = True
        held = sees[:, entering].any(1)
        for _, nodes in edited:
            held[nodes] = True
        out = held & read if layer == last else held
        context = tree.visible[held].any(0) & ~held
        keys = torch.cat([context.nonzero()[:, 0], held.nonzero()[:, 0]])
        index_held, index_out = _index(held), _index(out)
        steps.append(
            Step(
                layer=layer,
                recomputed=_recomputed({hook for hook, _ in edited}, bool(entering.any()), model.parallel),
                held=held.nonzero()[:, 0].to(device),
                carried=index_held[leaving].to(device),
                context=context.nonzero()[:, 0].to(device),
                out=index_held[out].to(device) if layer == last else slice(None),
                mask=sees[out][:, keys].to(device),
                ancestors=tree.visible[out][:, keys].to(device),
                index_held=index_held,
                index_out=index_out,
            )
        )
        leaving = out
    return tuple(steps)


def _index(nodes: Bool[Tensor, " node"]) -> Int[Tensor, " node"]:
    return torch.where(nodes, nodes.cumsum(0) - 1, -1)


def _recomputed(edited: set[Hook], stream_changed: bool, parallel: bool) -> frozenset[Hook]:
    heads_changed = stream_changed or Hook.pattern in edited or Hook.z in edited
    mid_changed = heads_changed or Hook.resid_mid in edited
    changed = {
        Hook.z: stream_changed,
        Hook.resid_mid: heads_changed,
        Hook.mlp_out: stream_changed if parallel else mid_changed,
    }
    return frozenset(hook for hook, yes in changed.items() if yes)
