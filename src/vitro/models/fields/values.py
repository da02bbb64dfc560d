"""What a single field of a configuration may be: a size, a share, a factor, the name of an activation.

Which fields a model type uses is in fields/lists.py. A value that no model has is refused in one line, by the field's
name: transformers would stop in the middle of its own code, or go on and give NaN.
"""

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from transformers.activations import ACT2FN

from vitro.models.errors import ModelError
from vitro.models.fields.lists import names

LARGEST = 1e18
"""Beyond every size and every number that a rotation is made from, and short of where the arithmetic of torch ends."""


_SIZES = names(
    "vocab_size n_positions n_embd n_layer n_head n_inner hidden_size intermediate_size num_hidden_layers",
    "num_attention_heads num_key_value_heads num_kv_heads head_dim max_position_embeddings max_seq_len d_model",
    "n_layers n_heads num_layers num_heads ffn_dim ffn_hidden_size moe_intermediate_size num_experts",
    "shared_expert_intermediate_size num_local_experts num_experts_per_tok decoder_sparse_step window_size",
    "no_rope_layer_interval original_max_position_embeddings",
)
_COUNTS = names("max_window_layers")
_EPSILONS = names("layer_norm_epsilon rms_norm_eps layer_norm_eps norm_epsilon norm_eps")
_FACTORS = names(
    "query_pre_attn_scalar embedding_multiplier attention_multiplier residual_multiplier logits_scaling logit_scale",
    "swiglu_alpha swiglu_limit",
)
_OPEN_FACTORS = names("attn_logit_softcapping final_logit_softcapping clip_qkv softmax_scale")
_ACTIVATIONS = names("hidden_act hidden_activation activation_function activation")


def check_value(name: str, config: Any, field: str) -> None:
    """Raises ModelError, by name, for a value of a field that no model has.

    name: what the user typed. field: one that the configuration's model type uses.
    """
    value, last = value_of(config, field), field.rpartition(".")[2]
    if last in _SIZES | _COUNTS:
        least = int(last in _SIZES)
        if not (type(value) is int and least <= value <= LARGEST) and not (
            value is None and _may_be_open(config, last)
        ):
            refuse(name, field, value, f"whole numbers from {least} to {LARGEST:.0e} there")
    elif last in _EPSILONS:
        if not is_number(value) and value != 0:
            refuse(name, field, value, "numbers from 0 up there")
    elif last in _FACTORS | _OPEN_FACTORS:
        if not is_number(value) and not (value is None and last in _OPEN_FACTORS):
            refuse(name, field, value, "numbers above 0 there" + ", or none" * (last in _OPEN_FACTORS))
    elif last in _ACTIVATIONS:
        check_known(name, field, value, ACT2FN)


def value_of(config: Any, field: str) -> Any:
    """The value of a field, or of one within it ("attn_config.alibi"); None where there is none."""
    value = config
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def is_number(value: object) -> bool:
    """Whether it is a number above 0, and no NaN or infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < LARGEST


def check_known(name: str, field: str, value: object, known: Collection[str]) -> None:
    """Raises ModelError, which lists those that are known, for a value that is not one of them."""
    if not isinstance(value, str) or value not in known:
        refuse(name, field, value, ", ".join(sorted(known)))


def refuse(name: str, field: str, value: object, works: str) -> NoReturn:
    """Raises the ModelError of a field: what was found, and what would work."""
    raise ModelError(f"model {name!r}: its configuration sets {field} to {str(value)[:60]}; Vitro reads {works}")


def _may_be_open(config: Any, field: str) -> bool:
    """Whether a field may be left out: its class says so, or has no such field."""
    own = type(config).__dataclass_fields__
    return field not in own or "None" in str(own[field].type)
