"""The weights of experts as a checkpoint holds them, one for each expert, under the names of those that a model has."""

import re
from collections import defaultdict
from collections.abc import Mapping

from vitro.models.headers import PLAIN, Stored

_EXPERT = re.compile(
    r"(?P<layer>.*)\.(mlp|block_sparse_moe)\.experts\.(?P<expert>0|[1-9]\d{0,5})\."
    r"(?P<part>gate_proj|up_proj|down_proj|w1|w2|w3)\.weight"
)
_ROUTER = re.compile(r"(?P<layer>.*)\.block_sparse_moe\.gate\.weight")
_NAMES = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
"""Mixtral's names of the parts of an expert, in Qwen's."""
_MADE_OF = {"down_proj": ["down_proj"], "gate_up_proj": ["gate_proj", "up_proj"]}


def together(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """The weights of a mixture of experts as transformers puts them together: gates and ups of all, and downs of all.

    What does not fit together (an expert that is missing, or of another shape) is left as it is.

    >>> held = {f"layers.0.mlp.experts.{i}.down_proj.weight": Stored("F32", (48, 20)) for i in range(4)}
    >>> together(held)
    {'layers.0.mlp.experts.down_proj': Stored(kind='F32', shape=(4, 48, 20))}
    """
    left, parts = dict(stored), defaultdict[str, dict[tuple[str, int], str]](dict)
    for name in stored:
        if match := _EXPERT.fullmatch(name):
            part = _NAMES.get(match["part"], match["part"])
            parts[match["layer"]].setdefault((part, int(match["expert"])), name)
        elif (match := _ROUTER.fullmatch(name)) and (router := f"{match['layer']}.mlp.gate.weight") not in stored:
            left[router] = left.pop(name)
    for layer, held in parts.items():
        for whole, made_of in _MADE_OF.items():
            n_experts = sum(part == made_of[0] for part, _ in held)
            needed = [(part, expert) for part in made_of for expert in range(n_experts)]
            weights = [stored[held[one]] for one in needed if one in held]
            name = f"{layer}.mlp.experts.{whole}"
            if name not in stored and len(weights) == len(needed) and len({weight.shape for weight in weights}) == 1:
                n_out, *n_in = weights[0].shape
                _, kind = min((weight.kind in PLAIN, weight.kind) for weight in weights)
                left[name] = Stored(kind, (n_experts, n_out * len(made_of), *n_in))
                for one in needed:
                    del left[held[one]]
    return left
