"""Variants of a run as rows of a batch: what the edits reach is computed, the rest is the clean run's."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from vitro.engine.batches import picked
from vitro.engine.cone import Plan, Step, Target
from vitro.engine.edit import Hook, Site
from vitro.engine.forward import Clean
from vitro.engine.place import Change, Placed
from vitro.engine.readout import Reached
from vitro.engine.watch import watched_attention
from vitro.models import Model, attend


def run_variants(
    clean: Clean, variants: Sequence[tuple[Plan, Placed]], watch: Mapping[Site, Float[Tensor, "prompt position"]]
) -> tuple[Float[Tensor, "stream d_model"], Reached, dict[Site, Float[Tensor, "row prompt position"]]]:
    """The final streams that variants reach, and the row and prompt of each. variants: in the order of plans' entries.

    An activation is the clean run's until an edit has reached it, and computed from then on. What works on each stream
    alone (norms, projections, MLPs) is done for all streams of the batch at once, whatever their plans: matrix
    libraries are fastest at large products. Only attention is done plan by plan.
    watch: patterns whose attention from the final streams is returned too, as the softmax gives it, before any edit of
    the pattern itself; each with the clean run's.
    """
    model = clean.model
    groups = [
        Group.of(model, plan, [variant for _, variant in members], watch)
        for plan, members in groupby(variants, lambda pair: pair[0])
    ]
    for _ in run_blocks(clean, groups, watch):
        pass
    final, rows, prompts = [clean.resid_final[:0]], [], []
    first = 0
    for group in groups:
        reached = group.plan.prompts
        if group.resid is not None:
            final.append(group.resid[:, group.plan.finals].flatten(0, 1))
        last = first + group.n_rows
        rows.append(torch.arange(first, last, device=model.device).repeat_interleave(len(reached)))
        prompts.append(reached.repeat(group.n_rows))
        first = last
    seen = {site: torch.cat([group.seen[site] for group in groups]) for site in watch}
    return torch.cat(final), (torch.cat(rows), torch.cat(prompts)), seen


def run_blocks(clean: Clean, groups: Sequence["Group"], watch: Mapping[Site, Tensor]) -> Iterator[int]:
    """Take groups, in the order of their plans' entries, through the blocks; gives each layer when it is done."""
    for layer in range(clean.model.shape.n_layers):
        entered = [group for group in groups if layer in group.plan.steps]
        if entered:
            _run_block(clean, layer, entered, watch)
            yield layer


@dataclass(eq=False)
class Group:
    """Variants of the same plan, consecutive rows of a batch, on their way through the blocks."""

    plan: Plan
    n_rows: int
    edits: "Stacks"
    seen: dict[Site, Float[Tensor, "row prompt position"]]
    resid: Float[Tensor, "row out d_model"] | None = None
    """The stream as it left the last block; None before the first."""

    @classmethod
    def of(cls, model: Model, plan: Plan, members: Sequence[Placed], watch: Mapping[Site, Tensor]) -> "Group":
        """Variants before their first block."""
        n_rows = len(members)
        seen = {site: weights.expand(n_rows, -1, -1) for site, weights in watch.items()}
        return cls(plan, n_rows, _stack(members, model.device), seen)

    def entering(self, clean: Clean, layer: int) -> Float[Tensor, "row held d_model"]:
        """The stream as it enters a block: what left the block before; clean at nodes that are new to the cone."""
        step = self.plan.steps[layer]
        pre = self.resid
        if pre is None or len(step.carried) < len(step.held):
            pre = _rows(clean.layers[layer].resid_pre, step.held, self.n_rows)
            if self.resid is not None:
                pre[:, step.carried] = self.resid
        self.edit(pre, layer, Hook.resid_pre)
        return pre

    def clean_out(self, activation: Float[Tensor, "node *width"], layer: int) -> Float[Tensor, "row out *width"]:
        """A clean activation at the nodes that leave a block."""
        step = self.plan.steps[layer]
        return _rows(activation, step.held[step.out], self.n_rows)

    def edit(self, activation: Float[Tensor, "row node *head width"], layer: int, hook: Hook) -> None:
        """Make this group's edits at a place, in the activation itself."""
        targets = self.plan.steps[layer].targets
        for edit in self.edits[layer, hook]:
            target = targets[hook, edit.nodes]
            edit.make(activation, target.at, edit.value[:, target.kept])

    def edit_experts(
        self,
        model: Model,
        mlp_out: Float[Tensor, "row node d_model"],
        read: Float[Tensor, "row node d_model"],
        layer: int,
    ) -> None:
        """Make this group's edits of single experts, in what the MLP writes. read: the stream that it reads."""
        for edit in self.edits[layer, Hook.expert_out]:
            target = self.plan.steps[layer].targets[Hook.expert_out, edit.nodes]
            assert edit.expert is not None
            change = edit.value[:, target.kept]
            if not edit.add:
                change = change - model.expert_out(layer, read[edit.rows][:, target.at], edit.expert)
            replace(edit, add=True).make(mlp_out, target.at, change)


def _run_block(clean: Clean, layer: int, groups: Sequence[Group], watch: Mapping[Site, Tensor]) -> None:
    """Run a block. Groups are ordered by where they entered, so those that need a part of it computed come first."""
    model = clean.model
    steps, cache = [group.plan.steps[layer] for group in groups], clean.layers[layer]

    def edit(hook: Hook, activations: Sequence[Tensor]) -> None:
        # Groups beyond the activations enter after this place.
        for group, activation in zip(groups, activations, strict=False):
            group.edit(activation, layer, hook)

    pre = [group.entering(clean, layer) for group in groups]
    resid = [stream[:, step.out] for stream, step in zip(pre, steps, strict=True)]

    n_attending, n_writing, n_thinking = (
        sum(hook in step.recomputed for step in steps) for hook in (Hook.z, Hook.resid_mid, Hook.mlp_out)
    )
    qkv = _project(clean, layer, steps[:n_attending], pre[:n_attending])
    z = [
        _mixed_values(clean, layer, group, qkv[number] if number < n_attending else None, watch)
        for number, group in enumerate(groups[:n_writing])
    ]
    heads = _together(partial(model.attn_out, layer), z)
    edit(Hook.attn_out, heads)
    mid = [written.add_(stream) for written, stream in zip(heads, resid, strict=False)]
    mid += [group.clean_out(cache.resid_mid, layer) for group in groups[n_writing:]]
    edit(Hook.resid_mid, mid)

    read = (resid if model.parallel else mid)[:n_thinking]
    mlp = _together(partial(model.mlp_out, layer), read)
    mlp += [group.clean_out(cache.mlp_out, layer) for group in groups[n_thinking:]]
    for group, activation, stream in zip(groups, mlp, resid if model.parallel else mid, strict=True):
        group.edit_experts(model, activation, stream, layer)
    edit(Hook.mlp_out, mlp)

    left = [written.add_(stream) for written, stream in zip(mlp, mid, strict=True)]
    edit(Hook.resid_post, left)
    for group, stream in zip(groups, left, strict=True):
        group.resid = stream


def _together(work: Callable[[Tensor], Tensor], streams: Sequence[Tensor]) -> list[Tensor]:
    """Work that treats each stream alone, done for the streams [row, node, ...] of several groups at once."""
    if not streams:
        return []
    return _apart(work(_joined(streams)), streams)


def _joined(streams: Sequence[Float[Tensor, "_row _node *width"]]) -> Float[Tensor, "1 stream *width"]:
    return torch.cat([stream.flatten(0, 1) for stream in streams])[None]


def _apart(
    joined: Float[Tensor, "1 stream *width"], like: Sequence[Tensor]
) -> list[Float[Tensor, "_row _node *width"]]:
    sizes = [stream.shape[:2] for stream in like]
    parts = joined[0].split([rows * nodes for rows, nodes in sizes])
    return [part.unflatten(0, size) for part, size in zip(parts, sizes, strict=True)]


def _project(
    clean: Clean, layer: int, steps: Sequence[Step], pre: Sequence[Float[Tensor, "_row _held d_model"]]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values of several groups, each [row, held, head, d_head] with rows and nodes of its own."""
    if not steps:
        return []
    positions = clean.there.positions
    places = torch.cat([positions[step.held].repeat(len(rows)) for step, rows in zip(steps, pre, strict=True)])
    q, k, v = (_apart(part, pre) for part in clean.model.qkv(layer, _joined(pre), places))
    return list(zip(q, k, v, strict=True))


def _mixed_values(
    clean: Clean,
    layer: int,
    group: Group,
    qkv: tuple[Tensor, Tensor, Tensor] | None,
    watch: Mapping[Site, Tensor],
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
        z = attend(clean.model, layer, q[:, step.out], k, v, step.mask)
        if any(site.layer == layer for site in watch):
            group.seen.update(watched_attention(clean, step, q[:, step.out], k, watch))
    else:
        v = cache.v[step.keys].expand(group.n_rows, -1, -1, -1)
        z = group.clean_out(cache.z, layer)
    for edit in group.edits[layer, Hook.pattern]:
        target = step.targets[Hook.pattern, edit.nodes]
        edit.make(z, target.at, _attended(clean, step, edit, target, v))
    group.edit(z, layer, Hook.z)
    return z


@dataclass(frozen=True, eq=False)
class Stack:
    """The changes of several rows at the same place and nodes, made in a single assignment."""

    rows: Int[Tensor, " change"]
    heads: Int[Tensor, " change"] | None
    expert: int | None
    nodes: tuple[int, ...]
    value: Float[Tensor, "change edited width"]
    add: bool

    def make(
        self,
        activation: Float[Tensor, "row node *head width"],
        at: Int[Tensor, " kept"],
        value: Float[Tensor, "change kept width"],
    ) -> None:
        """Make the changes in place. at: the indices in the activation of those nodes that it holds."""
        where: tuple[Tensor, ...] = (self.rows[:, None], at[None])
        if self.heads is not None:
            where = (*where, self.heads[:, None])
        activation.index_put_(where, value, accumulate=self.add)


Stacks = Mapping[tuple[int, Hook], list[Stack]]


def _stack(variants: Sequence[Placed], device: torch.device) -> Stacks:
    groups: dict[tuple[object, ...], list[tuple[int, Change]]] = defaultdict(list)
    for row, variant in enumerate(variants):
        for change in variant.changes:
            expert = change.site.head if change.site.hook is Hook.expert_out else None
            key = (change.site.layer, change.site.hook, expert, change.add, change.nodes, change.value.shape)
            groups[key].append((row, change))
    stacks: dict[tuple[int, Hook], list[Stack]] = defaultdict(list)
    # What is set comes before what is added to it.
    for changes in sorted(groups.values(), key=lambda changes: changes[0][1].add):
        first = changes[0][1]
        of_expert = first.site.hook is Hook.expert_out
        heads = [change.site.head for _, change in changes if change.site.head is not None and not of_expert]
        stacks[first.site.layer, first.site.hook].append(
            Stack(
                rows=picked([row for row, _ in changes], device),
                heads=picked(heads, device) if heads else None,
                expert=first.site.head if of_expert else None,
                nodes=first.nodes,
                value=torch.stack([change.value for _, change in changes]),
                add=first.add,
            )
        )
    return stacks


def _rows(activation: Float[Tensor, "node *width"], nodes: Tensor, n_rows: int) -> Float[Tensor, "row held *width"]:
    """A clean activation as the start of every row; a copy, because edits are made in place."""
    return activation[nodes].repeat(n_rows, *(1,) * activation.ndim)


def _attended(
    clean: Clean, step: Step, edit: Stack, target: Target, v: Float[Tensor, "row key kv_head d_head"]
) -> Float[Tensor, "change kept d_head"]:
    """The new z where a row of attention is edited: the values of the positions, weighted and summed."""
    assert edit.heads is not None
    positions = clean.there.positions[step.keys]
    longest = clean.there.paths.shape[1]
    # Positions that the value leaves out have weight 0; so does every position that is not this node's own ancestor.
    weights = pad(edit.value[:, target.kept], (0, longest))[:, :, positions] * step.ancestors[target.at]
    model = clean.model
    kv_heads = edit.heads // (model.shape.n_heads // model.shape.n_kv_heads)
    return weights @ v[edit.rows, :, kv_heads]
