"""Attention from the final streams during a run: what heads attend to when something before them is edited."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.engine.cone import Step
from vitro.engine.edit import Site
from vitro.engine.forward import Clean, clean_attention
from vitro.models import attention


def clean_final_attention(clean: Clean, layer: int) -> Float[Tensor, "head prompt position"]:
    """Every head's attention from each prompt's final stream, in the clean run; 0 after a prompt's end.

    >>> clean_final_attention(vitro.engine.alone(model, [0, 5, 9]), layer=1).shape
    torch.Size([4, 1, 3])
    """
    return at_finals(clean_attention(clean, layer), clean.there.finals, clean.there.paths)


def watched_attention(
    clean: Clean,
    step: Step,
    q: Float[Tensor, "row out head d_key"],
    k: Float[Tensor, "row key kv_head d_key"],
    watch: Mapping[Site, Float[Tensor, "prompt position"]],
) -> dict[Site, Float[Tensor, "row prompt position"]]:
    """The same under edits, for the patterns watched in a step's layer.

    watch: the clean run's of each pattern, which prompts out of reach keep.
    """
    if not q.shape[1]:
        # No final stream attends to what is edited, so no node that is read leaves the last block.
        return {}
    tree = clean.there
    leaves = _places(step.held[step.out], len(tree.tokens))[tree.finals]
    keys = _places(step.keys, len(tree.tokens))[tree.paths]
    after = at_finals(attention(clean.model, step.layer, q, k, step.mask), leaves.clamp_min(0), keys)
    return {
        site: torch.where((leaves >= 0)[:, None], after[:, site.head], before)
        for site, before in watch.items()
        if site.layer == step.layer and site.head is not None
    }


def _places(nodes: Int[Tensor, " place"], n_nodes: int) -> Int[Tensor, " _node"]:
    """The index of each node of the tree among `nodes`, or -1; the last entry, -1, is for node -1."""
    places = torch.full((n_nodes + 1,), -1, device=nodes.device)
    places[nodes] = torch.arange(len(nodes), device=nodes.device)
    return places


def at_finals(
    weights: Float[Tensor, "*row head query key"],
    queries: Int[Tensor, " prompt"],
    keys: Int[Tensor, "prompt position"],
) -> Float[Tensor, "*row head prompt position"]:
    """Attention between nodes as attention from each prompt's final stream to its positions; 0 where `keys` is -1.

    queries: the index of each prompt's final node among the queries. keys: the indices of its tokens among the keys.
    """
    rows = weights[..., queries, :]
    index = keys.clamp_min(0).expand(*rows.shape[:-1], -1)
    return rows.gather(-1, index).masked_fill(keys < 0, 0.0)
