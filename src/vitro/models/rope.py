"""Rotary positions whose angles follow the length of the prompt: each prompt is turned as when it is alone."""

from typing import Any

import torch


def length_class(config: Any, n_tokens: int) -> int | None:
    """Prompts of one class are turned alike; None where the rope does not ask how long a prompt is.

    config: of transformers. "longrope" has one set of angles up to its original context and one beyond it; "dynamic"
    has angles of its own for every length beyond it.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    match rope.get("rope_type"):
        case "longrope":
            return int(n_tokens > rope["original_max_position_embeddings"])
        case "dynamic":
            return max(n_tokens, int(config.max_position_embeddings))
    return None


def context(config: Any) -> int:
    """The longest prompt, in tokens: what the checkpoint says, stretched where its rope does that by the length."""
    rope = getattr(config, "rope_parameters", None) or {}
    stretched = rope["factor"] if rope.get("rope_type") == "dynamic" else 1
    return int(config.max_position_embeddings * stretched)


# Not under `inference_mode`, even where the caller is: what it makes could not be used where gradients are.
@torch.inference_mode(False)
def alone(rotary: Any, n_tokens: int) -> Any:
    """transformers' module of angles as it is when it has seen one prompt of so many tokens, and nothing before.

    transformers changes the module with each prompt that it sees, and chooses by the longest of a batch. This one
    changes no more.
    """
    fresh = type(rotary)(rotary.config)
    fresh(torch.zeros(1), torch.arange(n_tokens)[None])
    fresh.rope_type = "default"
    return fresh.to(rotary.inv_freq.device)
