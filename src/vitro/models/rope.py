"""Rotary positions whose angles depend on the length of the prompt: each prompt is rotated as if it ran alone."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch

_UNLIMITED = 2048
"""Tokens: what the longest prompt is taken to be where a checkpoint has no limit. BLOOM was trained on so many."""


def length_class(config: Any, n_tokens: int) -> tuple[int, ...]:
    """The class of a prompt's length: prompts of one class are rotated alike. Empty where the length does not matter.

    config: of transformers. "longrope" has one set of angles up to its original context and one beyond it; "dynamic"
    has angles of its own for every length beyond it.
    """
    kind: list[int] = []
    for rope in _ropes(config):
        match rope.get("rope_type"):
            case "longrope":
                kind.append(int(n_tokens > rope["original_max_position_embeddings"]))
            case "dynamic":
                kind.append(max(n_tokens, int(config.max_position_embeddings)))
    return tuple(kind)


def context(config: Any) -> int:
    """The longest prompt, in tokens: the checkpoint's limit, times the factor by which a dynamic rope extends it."""
    stretched = max((rope["factor"] for rope in _ropes(config) if rope.get("rope_type") == "dynamic"), default=1)
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len", "seq_length"))
    return int((next(filter(None, limits), _UNLIMITED)) * stretched)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """The parameters of a model's ropes: one, or one for each type of layer."""
    ropes = getattr(config, "rope_parameters", None) or {}
    return [ropes] if "rope_type" in ropes else [rope for rope in ropes.values() if isinstance(rope, dict)]


def turn_of(hf: Any) -> Callable[..., Any]:
    """The function by which a checkpoint's own architecture rotates queries and keys, [row, node, head, d_head]."""
    return partial(import_module(type(hf).__module__).apply_rotary_pos_emb, unsqueeze_dim=2)


# Not under `inference_mode`, even where the caller is: its tensors could not be used where gradients are taken.
@torch.inference_mode(False)
def alone(rotary: Any, n_tokens: int) -> Any:
    """transformers' module of angles as it is after one prompt of `n_tokens` tokens and nothing else.

    transformers changes the module with each prompt that it runs, and by the longest of a batch. The returned module no
    longer changes.
    """
    fresh, prompt = type(rotary)(rotary.config), torch.arange(n_tokens)[None]
    if isinstance(fresh.rope_type, dict):
        for kind in fresh.rope_type:
            fresh(torch.zeros(1), prompt, kind)
        fresh.rope_type = dict.fromkeys(fresh.rope_type, "default")
    else:
        fresh(torch.zeros(1), prompt)
        fresh.rope_type = "default"
    return fresh.to(next(rotary.buffers()).device)
