"""Fields that say of each layer what it is: which see a window, which turn their heads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from transformers import GPTNeoConfig

from vitro.models.fields.values import LARGEST, refuse


def check_windows(name: str, config: Any, used: Collection[str]) -> None:
    """Raises ModelError for a window that no model has, and for kinds of layers that Vitro does not know.

    name: what the user typed. used: the fields that the configuration's model type uses; if `layer_types` is among them
    it says which layers see a window, otherwise all do.
    """
    window = config.sliding_window
    kinds = config.layer_types if "layer_types" in used else ["sliding_attention"]
    if "layer_types" in used:
        _check_length(name, config, "layer_types", kinds)
    # A window of 0 is how qwen2_moe says that it has none.
    none = window is None or (window == 0 and "sliding_attention" not in kinds)
    if not none and not 1 <= window <= LARGEST:
        refuse(name, "sliding_window", window, f"windows of 1 to {LARGEST:.0e} positions")
    if "layer_types" in used:
        known = ["full_attention"] if none else ["full_attention", "sliding_attention"]
        _check_each(name, f"layer_types (sliding_window {window})", kinds, known)


def check_turned_layers(name: str, config: Any) -> None:
    """Raises ModelError unless `no_rope_layers` says of each layer whether it is turned (1) or not (0)."""
    _check_length(name, config, "no_rope_layers", config.no_rope_layers)
    _check_each(name, "no_rope_layers", config.no_rope_layers, [0, 1])


def check_local_layers(name: str, config: Any) -> None:
    """Raises ModelError unless `attention_layers` says of each layer whether it is "global" or "local"."""
    _check_length(name, config, "attention_layers", config.attention_layers)
    _check_each(name, "attention_layers", config.attention_layers, ["global", "local"])


def check_repeats(name: str, fields: Mapping[str, Any]) -> None:
    """Raises ModelError unless `attention_types` stands for as many layers as there are, before they are written out.

    It holds pairs of kinds and how often they are repeated, [[["global", "local"], 12]].
    """
    repeats = fields.get("attention_types")
    if repeats is None:
        return
    n_layers = fields.get("num_layers", fields.get("num_hidden_layers", GPTNeoConfig.num_layers))
    try:
        written = sum(len(kinds) * times for kinds, times in repeats)
    except (TypeError, ValueError):
        written = None
    if written != n_layers:
        refuse(name, "attention_types", repeats, f"kinds and repeats there that make {str(n_layers)[:20]} layers")


def _check_length(name: str, config: Any, field: str, kinds: object) -> None:
    if not isinstance(kinds, list | tuple) or len(kinds) != config.num_hidden_layers:
        refuse(name, field, kinds, f"lists of {config.num_hidden_layers} there, one for each layer")


def _check_each(name: str, field: str, kinds: Sequence[object], known: Sequence[object]) -> None:
    for kind in kinds:
        if kind not in known:
            refuse(name, f"a layer's {field}", kind, " and ".join(map(str, known)))
