"""Every weight of a checkpoint has exactly one place in the model, or is known not to need one.

transformers drops weights for which its model has no place, and does not report all of them; a model without them is
another model.
"""

import re
from collections.abc import Collection
from typing import Any

from safetensors import safe_open

from vitro.models.checkpoint import Checkpoint, ModelError

_HARMLESS = re.compile(
    # Causal masks and their fill values, which older GPT-2 and GPT-NeoX stored with the weights.
    r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)"
    r"|(gpt_neox\.)?layers\.\d+\.attention\.(bias|masked_bias)"
    # Frequencies and positions, which follow from the configuration.
    r"|.*\brotary_emb\.inv_freq|.*\bposition_ids"
    # A classifier's last layer.
    r"|score\.weight"
)
_OLD_NAMES = {"gpt_neox": {"embed_out.weight": "lm_head.weight"}}
"""Model type -> other names that transformers accepts for a weight."""


def check_places(checkpoint: Checkpoint, skeleton: Any) -> None:
    """Raises ModelError, with the first names, where safetensors hold weights that the model has no place for.

    skeleton: the model of the checkpoint's configuration, with weights on the `meta` device.
    """
    names = []
    for path in checkpoint.weights:
        with safe_open(path, framework="pt") as file:
            names += list(file.keys())
    old, prefix = _OLD_NAMES.get(skeleton.config.model_type, {}), f"{skeleton.base_model_prefix}."
    places = set(skeleton.state_dict())
    taken: dict[str, str] = {}
    for name in sorted(names):
        place = _place(old.get(name, name), prefix, places)
        if place in taken:
            raise ModelError(f"model {checkpoint.name!r} holds a weight twice, as {taken[place]} and as {name}")
        if place is not None:
            taken[place] = name
    strange = sorted(set(names) - set(taken.values()) - {name for name in names if _HARMLESS.fullmatch(name)})
    if strange:
        raise ModelError(
            f"model {checkpoint.name!r} holds {len(strange)} weights that the model made from config.json has no place "
            f"for ({', '.join(strange[:3])}); without them it would be another model: correct config.json"
        )


def _place(name: str, prefix: str, places: Collection[str]) -> str | None:
    """A weight's name in the model: its own, or with the body's prefix, or without it."""
    return next((place for place in (name, prefix + name, name.removeprefix(prefix)) if place in places), None)
