"""Variants of a run as rows of one batch: what the edits reach is computed, the rest is the clean run's."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from vitro.engine.cone import Plan, Step
from vitro.engine.edit import Hook, Site
from vitro.engine.forward import Clean, attend
from vitro.engine.place import Change, Placed
from vitro.engine.readout import Reached
from vitro.engine.watch import clean_final_attention, watched_attention
from vitro.models import Model


def run_variants(
    model: Model, clean: Clean, variants: Sequence[tuple[Plan, Placed]], watch: Sequence[Site] = ()
) -> tuple[Float[Tensor, "stream d_model"], Reached, dict[Site, Float[Tensor, "row prompt position"]]]:
    """The final streams that variants reach, and of which row and prompt each is. Given in the order of plans' entries.

    An activation is the clean run's until an edit has reached it, and computed from then on. What works on each stream
    for itself (norms, projections, MLPs) is done for all streams of the batch at once, whatever their plans: large
    products are what a matrix library does best. Only attention is done plan by plan.
    watch: patterns whose attention from the final streams is returned too, as the softmax gives it, before any edit of
    the pattern itself.
    """
    groups = [
        Group.of(model, clean, plan, [variant for _, variant in members], watch)
        for plan, members in groupby(variants, lambda one: one[0])
    ]
    for layer in range(model.shape.n_layers):
        here = [group for group in groups if layer in group.plan.steps]
        if here:
            _run_block(model, clean, layer, here, watch)
    final, rows, prompts = [clean.resid_final[:0]], [], []
    first = 0
    for group in groups:
        mine, nodes = group.plan.reached(clean.tree)
        if group.resid is not None:
            final.append(group.resid[:, nodes.to(model.device)].flatten(0, 1))
        rows.append(torch.arange(first, first + group.n_rows).repeat_interleave(len(mine)))
        prompts.append(mine.repeat(group.n_rows))
        first += group.n_rows
    reached = (torch.cat(rows).to(model.device), torch.cat(prompts).to(model.device))
    return torch.cat(final), reached, {site: torch.cat([group.seen[site] for group in groups]) for site in watch}


@dataclass(eq=False)
class Group:
    """Variants of one plan, consecutive rows of a batch, on their way through the blocks."""

    plan: Plan
    n_rows: int
    edits: "Stacks"
    seen: dict[Site, Float[Tensor, "row prompt position"]]
    resid: Float[Tensor, "row out d_model"] | None = None
    """The stream as it left the last block; None before the first."""

    @classmethod
    def of(cls, model: Model, clean: Clean, plan: Plan, members: Sequence[Placed], watch: Sequence[Site]) -> "Group":
        """Variants before their first block."""
        n_rows = len(members)
        seen = {
            site: clean_final_attention(model, clean, site.layer)[site.head].expand(n_rows, -1, -1) for site in watch
        }
        return cls(plan, n_rows, _stack(members, model.device), seen)

    def entering(self, clean: Clean, layer: int) -> Float[Tensor, "row held d_model"]:
        """The stream as it enters a block: what left the block before, clean at nodes that are new to the cone."""
        step = self.plan.steps[layer]
        pre = self.resid
        if pre is None or len(step.carried) < len(step.held):
            pre = _rows(clean.layers[layer].resid_pre, step.held, self.n_rows)
            if self.resid is not None:
                pre[:, step.carried] = self.resid
        _apply(pre, self.edits[layer, Hook.resid_pre], step.index_held)
        return pre

    def clean_out(self, activation: Float[Tensor, "node *width"], layer: int) -> Float[Tensor, "row out *width"]:
        """A clean activation at the nodes that leave a block."""
        step = self.plan.steps[layer]
        return _rows(activation, step.held[step.out], self.n_rows)


def _run_block(model: Model, clean: Clean, layer: int, groups: Sequence[Group], watch: Sequence[Site]) -> None:
    """One block. Groups are ordered by where they entered, so those that need a part of it computed come first."""
    steps, cache = [group.plan.steps[layer] for group in groups], clean.layers[layer]

    def edit(hook: Hook, activations: Sequence[Tensor]) -> None:
        for group, step, activation in zip(groups, steps, activations, strict=True):
            _apply(activation, group.edits[layer, hook], step.index_out)

    pre = [group.entering(clean, layer) for group in groups]
    resid = [stream[:, step.out] for stream, step in zip(pre, steps, strict=True)]

    n_attending, n_writing, n_thinking = (
        sum(hook in step.recomputed for step in steps) for hook in (Hook.z, Hook.resid_mid, Hook.mlp_out)
    )
    qkv = _project(model, clean, layer, steps[:n_attending], pre[:n_attending])
    z = [
        _mixed_values(model, clean, layer, group, qkv[number] if number < n_attending else None, watch)
        for number, group in enumerate(groups[:n_writing])
    ]
    mid = [
        written.add_(stream)
        for written, stream in zip(_together(partial(model.attn_out, layer), z), resid, strict=False)
    ] + [group.clean_out(cache.resid_mid, layer) for group in groups[n_writing:]]
    edit(Hook.resid_mid, mid)

    read = (resid if model.parallel else mid)[:n_thinking]
    mlp = _together(partial(model.mlp_out, layer), read)
    mlp += [group.clean_out(cache.mlp_out, layer) for group in groups[n_thinking:]]
    edit(Hook.mlp_out, mlp)

    left = [written.add_(stream) for written, stream in zip(mlp, mid, strict=True)]
    edit(Hook.resid_post, left)
    for group, stream in zip(groups, left, strict=True):
        group.resid = stream


def _together(work: Callable[[Tensor], Tensor], streams: Sequence[Tensor]) -> list[Tensor]:
    """What works on each stream for itself, done for the streams [row, node, ...] of several groups at once."""
    if not streams:
        return []
    return _apart(work(_joined(streams)), streams)


def _joined(streams: Sequence[Float[Tensor, "row node *width"]]) -> Float[Tensor, "1 stream *width"]:
    return torch.cat([stream.flatten(0, 1) for stream in streams])[None]


def _apart(joined: Float[Tensor, "1 stream *width"], like: Sequence[Tensor]) -> list[Float[Tensor, "row node *width"]]:
    sizes = [stream.shape[:2] for stream in like]
    parts = joined[0].split([rows * nodes for rows, nodes in sizes])
    return [part.unflatten(0, size) for part, size in zip(parts, sizes, strict=True)]


def _project(
    model: Model, clean: Clean, layer: int, steps: Sequence[Step], pre: Sequence[Float[Tensor, "row held d_model"]]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values of several groups, each [row, held, head, d_head]."""
    if not steps:
        return []
    positions = clean.tree.positions.to(model.device)
    places = torch.cat([positions[step.held].repeat(len(rows)) for step, rows in zip(steps, pre, strict=True)])
    q, k, v = (_apart(part, pre) for part in model.qkv(layer, _joined(pre), places))
    return list(zip(q, k, v, strict=True))


def _mixed_values(
    model: Model,
    clean: Clean,
    layer: int,
    group: Group,
    qkv: tuple[Tensor, Tensor, Tensor] | None,
    watch: Sequence[Site],
) -> Float[Tensor, "row out head d_head"]:
    """z of the leaving nodes, after the edits to patterns and to z itself; what is watched here goes into `seen`.

    qkv: of the held nodes; None where they are the clean run's.
    """
    step, cache = group.plan.steps[layer], clean.layers[layer]
    if qkv is not None:
        q, k, v = qkv
        if len(step.context):
            k = torch.cat([_rows(cache.k, step.context, group.n_rows), k], dim=1)
            v = torch.cat([_rows(cache.v, step.context, group.n_rows), v], dim=1)
        z = attend(model, layer, q[:, step.out], k, v, step.mask)
        if any(site.layer == layer for site in watch):
            group.seen.update(watched_attention(model, clean, step, q[:, step.out], k, watch))
    else:
        v = cache.v[torch.cat([step.context, step.held])].expand(group.n_rows, -1, -1, -1)
        z = group.clean_out(cache.z, layer)
    pinned = group.edits[layer, Hook.pattern]
    if pinned:
        keys = clean.tree.positions.to(model.device)[torch.cat([step.context, step.held])]
        longest = clean.tree.paths.shape[1]
        _apply(z, [_attended(model, edit, v, keys, longest, step) for edit in pinned], step.index_out)
    _apply(z, group.edits[layer, Hook.z], step.index_out)
    return z


@dataclass(frozen=True, eq=False)
class Stack:
    """The changes of several rows at one place and the same nodes, made in one assignment."""

    rows: Int[Tensor, " change"]
    heads: Int[Tensor, " change"] | None
    nodes: Int[Tensor, " edited"]
    """On the CPU, where they are looked up."""
    value: Float[Tensor, "change edited width"]
    add: bool


Stacks = Mapping[tuple[int, Hook], list[Stack]]


def _stack(variants: Sequence[Placed], device: torch.device) -> Stacks:
    alike: dict[tuple[object, ...], list[tuple[int, Change]]] = defaultdict(list)
    for row, variant in enumerate(variants):
        for change in variant.changes:
            key = (change.site.layer, change.site.hook, change.add, change.nodes, change.value.shape)
            alike[key].append((row, change))
    stacks: dict[tuple[int, Hook], list[Stack]] = defaultdict(list)
    # What is set comes before what is added to it.
    for changes in sorted(alike.values(), key=lambda changes: changes[0][1].add):
        first = changes[0][1]
        heads = [change.site.head for _, change in changes if change.site.head is not None]
        stacks[first.site.layer, first.site.hook].append(
            Stack(
                rows=torch.tensor([row for row, _ in changes]).to(device),
                heads=torch.tensor(heads).to(device) if heads else None,
                nodes=torch.tensor(first.nodes),
                value=torch.stack([change.value for _, change in changes]),
                add=first.add,
            )
        )
    return stacks


def _rows(activation: Float[Tensor, "node *width"], nodes: Tensor, n_rows: int) -> Float[Tensor, "row held *width"]:
    """A clean activation as the start of every row; a copy, for edits are made in place."""
    return activation[nodes].repeat(n_rows, *(1,) * activation.ndim)


def _apply(
    activation: Float[Tensor, "row held *head width"], edits: Sequence[Stack], index: Int[Tensor, " node"]
) -> None:
    """Make edits in place. index: where a node lies in the activation; edits at nodes that are not held are void."""
    for edit in edits:
        where = index[edit.nodes]
        kept = where >= 0
        value = edit.value if bool(kept.all()) else edit.value[:, kept.to(edit.value.device)]
        at: tuple[Tensor, ...] = (edit.rows[:, None], where[kept].to(edit.value.device)[None])
        if edit.heads is not None:
            at = (*at, edit.heads[:, None])
        activation.index_put_(at, value, accumulate=edit.add)


def _attended(
    model: Model,
    edit: Stack,
    v: Float[Tensor, "row key kv_head d_head"],
    key_positions: Int[Tensor, " key"],
    n_positions: int,
    step: Step,
) -> Stack:
    """The edit of z that an edited row of attention amounts to: the values of the positions, weighted and summed."""
    assert edit.heads is not None
    where = step.index_out[edit.nodes]
    kept = where >= 0
    # Positions that the value leaves out have weight 0; so has every position that is not this node's own ancestor.
    weights = pad(edit.value[:, kept], (0, n_positions))[:, :, key_positions] * step.ancestors[where[kept]]
    kv_heads = edit.heads // (model.shape.n_heads // model.shape.n_kv_heads)
    return Stack(edit.rows, edit.heads, edit.nodes[kept], weights @ v[edit.rows, :, kv_heads], add=False)
