"""Whether a configuration describes a model that Vitro computes: every field is used, without effect, or refused.

The families call the checkpoint's own modules, so most fields take effect there. What a model's forward pass does
beside its modules (masks, windows, the order of steps) the engine does itself, so a field that asks for something else
there must not be overlooked: it is refused, by name, with the value found. Which field is which is in fields/lists.py.
"""

from collections.abc import Mapping
from typing import Any

from vitro.models.fields.layers import check_local_layers, check_repeats, check_turned_layers, check_windows
from vitro.models.fields.lists import ONLY, REFUSED, USED
from vitro.models.fields.rope import check_rope
from vitro.models.fields.rules import check_heads, check_rules
from vitro.models.fields.values import check_value, refuse, value_of
from vitro.models.places import quantised


def check_only(name: str, fields: Mapping[str, Any]) -> None:
    """Raises ModelError, by name, for a field of ONLY that has another value. name: what the user typed.

    fields: as a file says them; of no size in them is anything made here.
    """
    for field in ("quantization_config", "compression_config"):
        if (how := fields.get(field)) is not None:
            method = how.get("quant_method") if isinstance(how, dict) else how
            raise quantised(name, f"{str(method)[:60]}, by {field} in config.json")
    for field, allowed in ONLY.items():
        used = field in USED.get(str(fields.get("model_type")), ())
        if not used and fields.get(field, allowed[0]) not in allowed:
            refuse(name, field, fields[field], f"models where it is {allowed[0]}, or not there")
    if "attention_types" in USED.get(str(fields.get("model_type")), ()):
        check_repeats(name, fields)


def check_fields(name: str, config: Any) -> None:
    """Raises ModelError where a configuration asks for something that Vitro does not compute, or that no model has.

    name: what the user typed. config: of a model type whose fields are listed.
    """
    check_only(name, config.to_dict())
    used = USED[config.model_type]
    for field, allowed in REFUSED.get(config.model_type, {}).items():
        if (value := value_of(config, field)) not in allowed:
            refuse(name, field, value, f"models where it is {' or '.join(map(str, allowed))}")
    if "text_config" in used:
        check_fields(name, config.text_config)
        return
    for field in sorted(used):
        check_value(name, config, field)
    check_heads(name, config, own_width="head_dim" in used)
    if "sliding_window" in used:
        check_windows(name, config, used)
    if "no_rope_layers" in used:
        check_turned_layers(name, config)
    if "attention_types" in used:
        check_local_layers(name, config)
    if "rope_parameters" in used:
        check_rope(name, config, used)
    # Last: what they compare has sound values by now.
    check_rules(name, config)
