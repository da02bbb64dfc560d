"""Attention from the final streams, as a run goes by: what heads look at when something is edited before them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.engine.cone import Step
from vitro.engine.edit import Site
from vitro.engine.forward import Clean, attention, clean_attention
from vitro.engine.tree import Tree
from vitro.models import Model


def clean_final_attention(model: Model, clean: Clean, layer: int) -> Float[Tensor, "head prompt position"]:
    """Every head's attention from each prompt's final stream, in the clean run; 0 after a prompt's end."""
    return at_finals(clean_attention(model, clean, layer), clean.tree.finals, clean.tree.paths)


def watched_attention(
    model: Model,
    clean: Clean,
    step: Step,
    q: Float[Tensor, "row out head d_head"],
    k: Float[Tensor, "row key kv_head d_head"],
    watch: Sequence[Site],
) -> dict[Site, Float[Tensor, "row prompt position"]]:
    """The same under edits, for the patterns watched in a step's layer. Prompts out of reach keep the clean one."""
    tree = clean.tree
    before = clean_final_attention(model, clean, step.layer)
    weights = attention(model, step.layer, q, k, step.mask)
    leaves = step.index_out[tree.finals]
    reached = (leaves >= 0).to(model.device)
    after = at_finals(weights, leaves.clamp_min(0), _columns(tree, step))
    return {
        site: torch.where(reached[None, :, None], after[:, site.head], before[None, site.head])
        for site in watch
        if site.layer == step.layer and site.head is not None
    }


def _columns(tree: Tree, step: Step) -> Int[Tensor, "prompt position"]:
    """Among a step's keys, those of each prompt's tokens; -1 for what is no key of its."""
    column = torch.full((len(tree.tokens) + 1,), -1)
    keys = torch.cat([step.context, step.held]).cpu()
    column[keys] = torch.arange(len(keys))
    return column[tree.paths]


def at_finals(
    weights: Float[Tensor, "*row head query key"],
    queries: Int[Tensor, " prompt"],
    keys: Int[Tensor, "prompt position"],
) -> Float[Tensor, "*row head prompt position"]:
    """Attention between nodes as attention from each prompt's final stream to its positions; 0 where `keys` is -1.

    queries: where among the queries each prompt's final node lies. keys: where among the keys its tokens do.
    """
    device = weights.device
    rows = weights[..., queries.to(device), :]
    index = keys.to(device).clamp_min(0).expand(*rows.shape[:-1], -1)
    return rows.gather(-1, index).masked_fill((keys < 0).to(device), 0.0)
