"""Variants of a run as rows of one batch: what the edits reach is computed, the rest is the clean run's."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from vitro.engine.cone import Step
from vitro.engine.edit import Hook, Site
from vitro.engine.forward import Clean, attend, read_out
from vitro.engine.place import Change, Placed
from vitro.engine.watch import clean_final_attention, watched_attention
from vitro.models import Model


def run_variants(
    model: Model,
    clean: Clean,
    logits: Float[Tensor, "prompt d_vocab"],
    steps: Sequence[Step],
    variants: Sequence[Placed],
    watch: Sequence[Site] = (),
) -> tuple[Float[Tensor, "row prompt d_vocab"], dict[Site, Float[Tensor, "row prompt position"]]]:
    """Logits at the final stream of every prompt, for variants of one signature, whose `plan` is `steps`.

    An activation is the clean run's until an edit has reached it, and computed from then on. logits: the clean run's,
    for the prompts that no edit reaches. watch: patterns whose attention from the final streams is returned too, as the
    softmax gives it, before any edit of the pattern itself.
    """
    n_rows = len(variants)
    seen = {site: clean_final_attention(model, clean, site.layer)[site.head].expand(n_rows, -1, -1) for site in watch}
    edits = _stack(variants, model.device)
    resid: Tensor | None = None
    for step in steps:
        layer, cache = step.layer, clean.layers[step.layer]
        leaving = step.held[step.out]

        pre = resid
        if pre is None or len(step.carried) < len(step.held):
            pre = _rows(cache.resid_pre, step.held, n_rows)
            if resid is not None:
                pre[:, step.carried] = resid
        _apply(pre, edits[layer, Hook.resid_pre], step.index_held)

        resid = pre[:, step.out]
        if Hook.resid_mid in step.recomputed:
            z = _mixed_values(model, clean, step, pre, edits, watch, seen)
            mid = resid + model.attn_out(layer, z)
        else:
            mid = _rows(cache.resid_mid, leaving, n_rows)
        _apply(mid, edits[layer, Hook.resid_mid], step.index_out)

        if Hook.mlp_out in step.recomputed:
            mlp = model.mlp_out(layer, resid if model.parallel else mid)
        else:
            mlp = _rows(cache.mlp_out, leaving, n_rows)
        _apply(mlp, edits[layer, Hook.mlp_out], step.index_out)
        resid = mid + mlp
        _apply(resid, edits[layer, Hook.resid_post], step.index_out)

    read = steps[-1].index_out[clean.tree.finals] if steps else torch.full_like(clean.tree.finals, -1)
    if bool((read < 0).all()) or resid is None:
        return logits.expand(n_rows, -1, -1), seen
    changed = read_out(model, resid)
    if torch.equal(read, torch.arange(changed.shape[1])):
        return changed, seen
    everything = logits.repeat(n_rows, 1, 1)
    reached = (read >= 0).nonzero()[:, 0]
    everything[:, reached.to(model.device)] = changed[:, read[reached].to(model.device)]
    return everything, seen


def _mixed_values(
    model: Model,
    clean: Clean,
    step: Step,
    pre: Float[Tensor, "row held d_model"],
    edits: "Stacks",
    watch: Sequence[Site],
    seen: dict[Site, Float[Tensor, "row prompt position"]],
) -> Float[Tensor, "row out head d_head"]:
    """z of the leaving nodes, after the edits to patterns and to z itself; what is watched here goes into `seen`."""
    layer, cache, n_rows = step.layer, clean.layers[step.layer], len(pre)
    if Hook.z in step.recomputed:
        q, k, v = model.qkv(layer, pre, clean.tree.positions.to(model.device)[step.held])
        if len(step.context):
            k = torch.cat([_rows(cache.k, step.context, n_rows), k], dim=1)
            v = torch.cat([_rows(cache.v, step.context, n_rows), v], dim=1)
        z = attend(model, layer, q[:, step.out], k, v, step.mask)
        if any(site.layer == layer for site in watch):
            seen.update(watched_attention(model, clean, step, q[:, step.out], k, watch))
    else:
        v = cache.v[torch.cat([step.context, step.held])].expand(n_rows, -1, -1, -1)
        z = _rows(cache.z, step.held[step.out], n_rows)
    pinned = edits[layer, Hook.pattern]
    if pinned:
        keys = clean.tree.positions.to(model.device)[torch.cat([step.context, step.held])]
        longest = clean.tree.paths.shape[1]
        _apply(z, [_attended(model, edit, v, keys, longest, step) for edit in pinned], step.index_out)
    _apply(z, edits[layer, Hook.z], step.index_out)
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
