"""The rope parameters of a configuration: one rotation for all layers, or one for each kind of layer."""

from collections.abc import Collection, Mapping
from typing import Any

from vitro.models.fields.lists import names
from vitro.models.fields.values import check_known, is_number, refuse

_YARN = names("attention_factor mscale mscale_all_dim beta_fast beta_slow")
"""Those that may be left open, of which the scales may be 0 to say so."""
KINDS: Mapping[str, frozenset[str]] = {
    "default": names(),
    **dict.fromkeys(["linear", "dynamic", "proportional"], names("factor")),
    "llama3": names("factor original_max_position_embeddings low_freq_factor high_freq_factor"),
    "longrope": names("factor original_max_position_embeddings attention_factor short_factor long_factor"),
    "yarn": names("factor original_max_position_embeddings") | _YARN,
}
"""Kind of rope (`rope_type`) -> its parameters beside those that all have; what others a file holds has no effect."""


def check_rope(name: str, config: Any, used: Collection[str]) -> None:
    """Raises ModelError, by name, for rope parameters that no model has or that Vitro does not follow.

    name: what the user typed. used: the fields that the configuration's model type uses; it has a rope for each kind of
    layer if they name one, and turns a part of each head if they name that part.
    """
    rope = config.rope_parameters
    if not isinstance(rope, Mapping):
        refuse(name, "rope_parameters", rope, "rope_type, rope_theta and the like there")
    if "rope_parameters.full_attention" in used:
        for kind in sorted(set(config.layer_types)):
            if not isinstance(rope.get(kind), Mapping):
                refuse(name, f"rope_parameters.{kind}", rope.get(kind), "rope_type, rope_theta and the like there")
            _check_one(name, config, used, rope[kind])
        return
    for field, value in rope.items():
        if isinstance(value, Mapping):
            refuse(name, f"rope_parameters.{field}", value, f"{config.model_type} models with one rope for all layers")
    _check_one(name, config, used, rope)


def head_width(config: Any) -> int:
    """The dimensions of a head by its configuration: `head_dim`, or an even part of the stream."""
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return width


def turned_width(config: Any) -> int:
    """The dimensions of a head that a partial rope turns."""
    return int(head_width(config) * config.rope_parameters.get("partial_rotary_factor", 1.0))


def _check_one(name: str, config: Any, used: Collection[str], rope: Mapping[str, Any]) -> None:
    kind, share = rope.get("rope_type"), rope.get("partial_rotary_factor", 1.0)
    check_known(name, "rope_type", kind, KINDS.keys())
    _check_numbers(name, rope)
    if share > 1.0:
        refuse(name, "partial_rotary_factor", share, "shares of a head, up to 1.0")
    whole = "rope_parameters.partial_rotary_factor" not in used
    if share != 1.0 and kind != "default" and (whole or kind == "proportional"):
        refuse(name, "partial_rotary_factor", share, f"{config.model_type} models whose heads are rotated whole")
    width = head_width(config)
    turned = width if whole else turned_width(config)
    if turned + turned % 2 > width:
        refuse(name, "head_dim", width, f"an even number of rotated dimensions in heads of {width}")
    for field in ("short_factor", "long_factor"):
        factors = rope.get(field)
        if kind == "longrope" and not (isinstance(factors, list) and len(factors) == turned // 2):
            refuse(name, field, factors, f"lists of {turned // 2} numbers there")


def _check_numbers(name: str, rope: Mapping[str, Any]) -> None:
    kind = rope["rope_type"]
    unset = _YARN | {"factor"} if kind in ("longrope", "yarn") else _YARN
    for field in sorted(rope.keys() & (KINDS[kind] | names("rope_theta partial_rotary_factor"))):
        value = rope[field]
        numbers = value if field in ("short_factor", "long_factor") and isinstance(value, list) else [value]
        is_open = (value is None and field in unset) or (value == 0 and field in ("mscale", "mscale_all_dim"))
        if not is_open and not all(map(is_number, numbers)):
            refuse(name, field, value, "numbers above 0 there")
