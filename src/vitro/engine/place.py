"""Edits at prompts and positions turned into edits at the nodes of a tree."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.engine.cone import Signature
from vitro.engine.edit import Edit, EditError, Hook, Site, Variant
from vitro.engine.tree import Tree
from vitro.models import Model


@dataclass(frozen=True, eq=False)
class Change:
    """An edit at the nodes of a tree."""

    site: Site
    add: bool
    nodes: tuple[int, ...]
    value: Float[Tensor, "edited width"]


@dataclass(frozen=True, eq=False)
class Placed:
    """A variant at the nodes of a tree."""

    changes: tuple[Change, ...]

    @property
    def signature(self) -> Signature:
        """What decides which nodes have to be computed, and from which layer on."""
        return frozenset((change.site.layer, change.site.hook, change.nodes) for change in self.changes)


def place(model: Model, tree: Tree, variant: Variant, rows: Sequence[Int[Tensor, "prompt position"]]) -> Placed:
    """A variant on a tree. rows: for every edit, `Edit.rows` of the tree's prompts.

    The tree keeps prompts apart wherever an edit differs between them (`first_conflict`), so a node has one value.
    Edits that touch no node of this tree are left out. EditError for two edits that set the same thing.
    """
    changes = []
    taken: set[tuple[Site, int]] = set()
    for edit, row in zip(variant, rows, strict=True):
        row_of_node = torch.full((len(tree.tokens) + 1,), -1)
        # After a prompt's end, its path is -1, the index of the spare last entry.
        row_of_node[tree.paths] = row[:, : tree.paths.shape[1]]
        nodes = (row_of_node[:-1] >= 0).nonzero()[:, 0]
        if not len(nodes):
            continue
        value = edit.flat_value[row_of_node[nodes].to(edit.value.device)]
        if edit.site.hook is Hook.pattern:
            _check_causal(edit, tree.positions[nodes], value)
        at = tuple(nodes.tolist())
        change = Change(edit.site, edit.how == "add", at, value.to(model.device, model.dtype))
        if not change.add:
            sites = {(edit.site, node) for node in change.nodes}
            if taken & sites:
                raise EditError(f"edit ({edit}): another edit of the same variant sets the same activation")
            taken |= sites
        changes.append(change)
    return Placed(tuple(changes))


def first_conflict(tree: Tree, rows: Int[Tensor, "prompt position"]) -> int | None:
    """The first position at which an edit gives a shared node two values, or edits it for only some of its prompts.

    >>> first_conflict(vitro.engine.pack([[0, 5], [0, 6]]), torch.tensor([[0, -1], [1, -1]]))
    0
    """
    inside = tree.paths >= 0
    nodes, row = tree.paths[inside], rows[:, : tree.paths.shape[1]][inside]
    low = torch.full((len(tree.tokens),), torch.iinfo(torch.long).max).scatter_reduce(0, nodes, row, "amin")
    high = torch.full((len(tree.tokens),), -1).scatter_reduce(0, nodes, row, "amax")
    conflicts = tree.positions[low != high]
    return int(conflicts.min()) if len(conflicts) else None


def check_watch(model: Model, watch: Sequence[Site]) -> None:
    """EditError where what is to be watched is no pattern of the model."""
    shape = model.shape
    if isinstance(watch, Site):
        raise EditError(f"watch is a list of patterns, as [pattern(9, 1)], not the one {watch}")
    for site in watch:
        if not isinstance(site, Site) or site.hook is not Hook.pattern:
            raise EditError(f"watch is a list of patterns, as [pattern(9, 1)]; {str(site)!r} is none")
        if not 0 <= site.layer < shape.n_layers or site.head is None or not 0 <= site.head < shape.n_heads:
            raise EditError(
                f"watch: there is no {site} in this model; its layers are 0 to {shape.n_layers - 1}, its heads 0 to "
                f"{shape.n_heads - 1}"
            )


def check_variant(model: Model, number: int, variant: Variant) -> None:
    """EditError where a variant is no tuple of edits, or an edit does not fit the model."""
    if not isinstance(variant, Sequence) or not all(isinstance(edit, Edit) for edit in variant):
        raise EditError(f"variant {number} is {str(variant)[:60]!r}; a variant is a tuple of edits, of one as (edit,)")
    for edit in variant:
        _check_site(model, edit)
        # To read a value on a GPU, the CPU would have to wait for it; the run's result is checked instead.
        if edit.value.device.type == "cpu" and not edit.value.isfinite().all():
            raise EditError(f"edit ({edit}): its value holds NaN or infinity")


def _check_site(model: Model, edit: Edit) -> None:
    """EditError where the model has no such site, or the value has another width than the site."""
    site, shape = edit.site, model.shape
    of_head = site.hook in (Hook.z, Hook.pattern)
    if not 0 <= site.layer < shape.n_layers:
        raise EditError(f"edit ({edit}): the model has layers 0 to {shape.n_layers - 1}")
    if site.hook is Hook.expert_out:
        _check_expert(model, edit)
    elif of_head != (site.head is not None) or (site.head is not None and not 0 <= site.head < shape.n_heads):
        raise EditError(f"edit ({edit}): z and patterns have a head, 0 to {shape.n_heads - 1}; other sites have none")
    if site.hook is Hook.resid_mid and model.parallel:
        raise EditError(f"edit ({edit}): a parallel block has no stream between its heads and its MLP")
    if site.hook is Hook.pattern:
        if edit.how == "add":
            raise EditError(f"edit ({edit}): attention can be set, not added to")
        return
    width = shape.d_head if of_head else shape.d_model
    if edit.value.shape[-1] != width:
        raise EditError(f"edit ({edit}): the value is {edit.value.shape[-1]} wide, the site {width}")


def _check_expert(model: Model, edit: Edit) -> None:
    """EditError where a layer has no such expert, or what it writes is no sum of its experts' own."""
    site, n_experts = edit.site, model.n_experts(edit.site.layer)
    if not n_experts:
        raise EditError(f"edit ({edit}): the MLP of layer {site.layer} is no mixture of experts; mlp_out is all of it")
    if site.head is None or not 0 <= site.head < n_experts:
        raise EditError(f"edit ({edit}): the MLP of layer {site.layer} has experts 0 to {n_experts - 1}")
    if model.blocks[site.layer].after_mlp is not None:
        raise EditError(f"edit ({edit}): a norm after the MLP mixes what experts write; mlp_out is all of it")


def _check_causal(edit: Edit, positions: Int[Tensor, " edited"], value: Float[Tensor, "edited width"]) -> None:
    later = torch.arange(value.shape[-1]) > positions[:, None]
    wrong = ((value.cpu() != 0) & later).any(-1)
    if bool(wrong.any()):
        raise EditError(f"edit ({edit}): position {int(positions[wrong][0])} cannot attend to a later one")
