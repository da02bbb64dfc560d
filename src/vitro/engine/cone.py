"""The light cone of some edits: which nodes have to be computed, and from which layer on."""

from collections.abc import Mapping, Sequence
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
class Target:
    """Where an edit at some nodes applies in a block; nodes that the block does not hold are not edited."""

    kept: Int[Tensor, " kept"] | slice
    """Which of the edit's nodes are held: all, but in the last block only those that are read."""
    at: Int[Tensor, " kept"]
    """Their indices among the nodes that leave the block; for `resid_pre`, among all that it holds."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a block has to compute for every variant of a signature."""

    layer: int
    recomputed: frozenset[Hook]
    """Which of z, resid_mid and mlp_out may differ from the clean run's before the edits made there."""
    held: Int[Tensor, " held"]
    """Nodes whose stream is carried through the block, in order."""
    carried: Int[Tensor, " carried"]
    """The indices in `held` of the nodes that left the block before; the others enter clean."""
    context: Int[Tensor, " context"]
    """The clean ancestors of held nodes. The keys of the block are these, then all of `held`."""
    out: Int[Tensor, " out"] | slice
    """The indices in `held` of the nodes that leave the block: all, but in the last block only those that are read."""
    mask: Bool[Tensor, "out key"]
    """What the leaving nodes attend to."""
    ancestors: Bool[Tensor, "out key"]
    """What a pin can make them attend to: the same, and also beyond the layer's window."""
    targets: Mapping[tuple[Hook, tuple[int, ...]], Target]
    """By the place and the nodes of an edit made here."""

    @property
    def keys(self) -> Int[Tensor, " key"]:
        """The nodes that can be attended to, in the order of `mask`."""
        return torch.cat([self.context, self.held])


@dataclass(frozen=True, eq=False)
class Plan:
    """What variants of a signature have to compute."""

    entry: tuple[int, int]
    """The first layer that is edited, and the first hook in it. Plans of an earlier entry compute a superset of the
    parts of any block, so a batch is ordered by it."""
    steps: Mapping[int, Step]
    """By layer, from the first edited layer on; empty where nothing is edited."""
    prompts: Int[Tensor, " reached"]
    """The prompts whose final streams may differ from the clean run's."""
    finals: Int[Tensor, " reached"]
    """The indices of these streams among the nodes that leave the last block."""

    @property
    def widest(self) -> int:
        """The most nodes that a row holds in any block."""
        return max((len(step.held) for step in self.steps.values()), default=1)


def plan(model: Model, tree: Tree, signature: Signature) -> Plan:
    """From the first layer edited on: the edited nodes and, block by block, all nodes that attend to a changed node.

    Built on the CPU, once for all the batches of a signature. What they need of it is on the model's device before the
    first batch: while batches run, nothing is sent to a GPU or read from it, so it never waits for the CPU.
    """
    device, last = model.device, model.shape.n_layers - 1
    read = torch.zeros(len(tree.tokens), dtype=torch.bool)
    read[tree.finals] = True
    leaving = torch.zeros_like(read)
    index_out = torch.full_like(tree.tokens, -1)
    steps: dict[int, Step] = {}
    entry = min(((at, hook) for at, hook, _ in signature), default=(last + 1, Hook.resid_pre))
    for layer in range(entry[0], last + 1):
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
        steps[layer] = Step(
            layer=layer,
            recomputed=_recomputed({hook for hook, _ in edited}, bool(entering.any()), model.parallel),
            held=held.nonzero()[:, 0].to(device),
            carried=index_held[leaving].to(device),
            context=context.nonzero()[:, 0].to(device),
            out=index_held[out].to(device) if layer == last else slice(None),
            mask=sees[out][:, keys].to(device),
            ancestors=tree.visible[out][:, keys].to(device),
            targets={
                (hook, tuple(nodes)): _target(index_held if hook is Hook.resid_pre else index_out, nodes, device)
                for hook, nodes in edited
            },
        )
        leaving = out
    finals = index_out[tree.finals]
    prompts = (finals >= 0).nonzero()[:, 0]
    return Plan(entry, steps, prompts.to(device), finals[prompts].to(device))


def _target(index: Int[Tensor, " node"], nodes: Sequence[int], device: torch.device) -> Target:
    at = index[nodes]
    kept = (at >= 0).nonzero()[:, 0]
    return Target(slice(None) if len(kept) == len(nodes) else kept.to(device), at[kept].to(device))


def _index(nodes: Bool[Tensor, " node"]) -> Int[Tensor, " node"]:
    return torch.where(nodes, nodes.cumsum(0) - 1, -1)


def _recomputed(edited: set[Hook], stream_changed: bool, parallel: bool) -> frozenset[Hook]:
    heads_changed = stream_changed or bool(edited & {Hook.pattern, Hook.z, Hook.attn_out})
    mid_changed = heads_changed or Hook.resid_mid in edited
    changed = {
        Hook.z: stream_changed,
        Hook.resid_mid: heads_changed,
        Hook.mlp_out: stream_changed if parallel else mid_changed,
    }
    return frozenset(hook for hook, yes in changed.items() if yes)
