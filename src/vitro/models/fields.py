"""Every field of a configuration that transformers reads: used, without effect here, or refused.

The families call the checkpoint's own modules, so most fields take effect there. What a model's forward pass does
beside its modules (masks, windows, the order of steps) the engine does itself, so a field that asks for something else
there must not be overlooked: it is refused, by name, with the value found.
"""

from collections.abc import Collection, Mapping
from typing import Any

from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from vitro.models.errors import ModelError
from vitro.models.places import quantised


def _fields(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_ROTARY = _fields(
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_act",
    "max_position_embeddings tie_word_embeddings rope_parameters head_dim",
)
_LLAMA = _ROTARY | {"num_key_value_heads", "rms_norm_eps"}
USED: Mapping[str, frozenset[str]] = {
    "gpt2": _fields(
        "vocab_size n_positions n_embd n_layer n_head n_inner activation_function layer_norm_epsilon",
        "scale_attn_weights scale_attn_by_inverse_layer_idx tie_word_embeddings",
    ),
    "llama": _LLAMA | {"attention_bias", "mlp_bias"},
    "mistral": _LLAMA | {"sliding_window"},
    "qwen2": _LLAMA | {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"},
    "gpt_neox": _ROTARY | {"layer_norm_eps", "attention_bias", "use_parallel_residual"},
}
"""Model type -> the fields that change its logits, in transformers and in Vitro alike."""

_ANSWERS = "output_attentions output_hidden_states output_cross_attentions return_dict use_cache"
_TRAINING = (
    "attention_dropout hidden_dropout classifier_dropout attn_pdrop embd_pdrop resid_pdrop summary_first_dropout "
    "initializer_range gradient_checkpointing chunk_size_feed_forward pretraining_tp"
)
_OTHER_HEADS = (
    "id2label label2id num_labels problem_type summary_type summary_use_proj summary_activation summary_proj_to_labels"
)
_TEXT = "bos_token_id eos_token_id pad_token_id"
_PROVENANCE = "architectures auto_map dtype transformers_version name_or_path is_decoder"
# How transformers computes attention, which the engine does not call.
_KERNELS = "reorder_and_upcast_attn attn_implementation experts_implementation"
# Used by some model types (see USED); elsewhere read only by the cache of keys and values, or not at all.
_ELSEWHERE = "sliding_window layer_types rope_parameters head_dim"
_CACHE = "attention_chunk_size mlp_layer_types mtp_layer_types"
_OTHER_KINDS = "vision_aspect_ratio vision_feature_layer vision_feature_select_strategy num_heads"
WITHOUT_EFFECT = _fields(
    _ANSWERS, _TRAINING, _OTHER_HEADS, _TEXT, _PROVENANCE, _KERNELS, _ELSEWHERE, _CACHE, _OTHER_KINDS
)
"""Fields that change no logit that Vitro computes, for model types whose USED does not list them."""
IGNORED = WITHOUT_EFFECT - _fields(_TEXT)
"""Those of them that are not even read: kernels that would be fetched, lists as long as a number in the file says."""

ONLY: Mapping[str, tuple[Any, ...]] = {
    "is_causal": (True,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "decoder": (None,),
    "fusion_config": (None,),
    "generator": (None,),
    "kv_sharing_modes": (None,),
    "per_layer_config": (None,),
    "quantization_config": (None,),
    "compression_config": (None,),
    "text_config": (None,),
    "transformers_weights": (None,),
}
"""Fields that Vitro does not implement, with the values at which there is nothing to implement."""


_SIZES = _fields(
    "vocab_size n_positions n_embd n_layer n_head n_inner hidden_size intermediate_size num_hidden_layers",
    "num_attention_heads num_key_value_heads head_dim max_position_embeddings",
)
_EPSILONS = _fields("layer_norm_epsilon rms_norm_eps layer_norm_eps")
# Of rope parameters, those that are numbers or lists of numbers, and those that may be left open.
_TURNS = _fields(
    "rope_theta factor original_max_position_embeddings partial_rotary_factor short_factor long_factor",
    "low_freq_factor high_freq_factor",
)
_OPEN = _fields("attention_factor mscale mscale_all_dim beta_fast beta_slow")
_LARGEST = 1e18
"""Beyond every size and every number that a rotation is made from, and short of where the arithmetic of torch ends."""


def check_model_type(model_type: str) -> None:
    """Raises ModelError, which lists those that are known, for a `model_type` that no family reads."""
    if model_type not in USED:
        raise ModelError(
            f"model family {model_type[:60]!r} is not known to Vitro; known families: {', '.join(USED)} "
            "(model_type in config.json)"
        )


def check_only(name: str, fields: Mapping[str, Any]) -> None:
    """Raises ModelError, by name, for a field of ONLY that has another value. name: what the user typed."""
    for field in ("quantization_config", "compression_config"):
        if (how := fields.get(field)) is not None:
            method = how.get("quant_method") if isinstance(how, dict) else how
            raise quantised(name, f"{str(method)[:60]}, by {field} in config.json")
    for field, allowed in ONLY.items():
        if fields.get(field, allowed[0]) not in allowed:
            _refuse(name, field, fields[field], f"models where it is {allowed[0]}, or not there")


def check_fields(name: str, config: Any) -> None:
    """Raises ModelError where a configuration asks for something that Vitro does not compute, or that no model has.

    name: what the user typed.
    """
    check_model_type(config.model_type)
    check_only(name, config.to_dict())
    sizes = {field: getattr(config, field) for field in USED[config.model_type] & _SIZES if hasattr(config, field)}
    for field, size in sorted(sizes.items()):
        if size is not None and not (type(size) is int and 1 <= size <= _LARGEST):
            _refuse(name, field, size, f"whole numbers from 1 to {_LARGEST:.0e} there")
    for field in USED[config.model_type] & _EPSILONS:
        if not _is_number(epsilon := getattr(config, field)) and epsilon != 0:
            _refuse(name, field, epsilon, "numbers from 0 up there")
    for field in USED[config.model_type] & _fields("hidden_act activation_function"):
        _check_known(name, field, getattr(config, field), ACT2FN)
    n_heads, n_groups = config.num_attention_heads, sizes.get("num_key_value_heads") or 1
    if n_heads % n_groups:
        _refuse(name, "num_key_value_heads", n_groups, f"divisors of num_attention_heads ({n_heads}) there")
    if config.model_type in ("mistral", "qwen2"):
        _check_windows(name, config)
    if "rope_parameters" in USED[config.model_type]:
        _check_rope(name, config)


def _check_rope(name: str, config: Any) -> None:
    rope = config.rope_parameters
    kind, share = rope.get("rope_type"), rope.get("partial_rotary_factor", 1.0)
    _check_known(name, "rope_type", kind, {"default", *ROPE_INIT_FUNCTIONS})
    unset = _OPEN | {"factor"} if kind == "longrope" else _OPEN
    for field in rope.keys() & (_TURNS | _OPEN):
        value = rope[field]
        numbers = value if field in ("short_factor", "long_factor") and isinstance(value, list) else [value]
        if not (value is None and field in unset) and not all(map(_is_number, numbers)):
            _refuse(name, field, value, "numbers above 0 there")
    if share > 1.0:
        _refuse(name, "partial_rotary_factor", share, "shares of a head, up to 1.0")
    whole = config.model_type in ("llama", "mistral", "qwen2")
    if whole and kind != "default" and share != 1.0:
        _refuse(name, "partial_rotary_factor", share, f"{config.model_type} models whose heads are rotated whole")
    head = config.hidden_size // config.num_attention_heads
    width = getattr(config, "head_dim", None) or head
    turned = int(width if whole else width * share)
    if turned + turned % 2 > (width if whole else head):
        _refuse(name, "head_dim", width, f"an even number of rotated dimensions in heads of {head}")
    for field in ("short_factor", "long_factor"):
        factors = rope.get(field)
        if kind == "longrope" and not (isinstance(factors, list) and len(factors) == turned // 2):
            _refuse(name, field, factors, f"lists of {turned // 2} numbers there")


def _check_known(name: str, field: str, value: object, known: Collection[str]) -> None:
    if not isinstance(value, str) or value not in known:
        _refuse(name, field, value, ", ".join(sorted(known)))


def _is_number(value: object) -> bool:
    """Whether it is a number above 0, and no NaN or infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LARGEST


def _check_windows(name: str, config: Any) -> None:
    window, kinds = config.sliding_window, getattr(config, "layer_types", None) or []
    if window is not None and not 1 <= window <= _LARGEST:
        _refuse(name, "sliding_window", window, f"windows of 1 to {_LARGEST:.0e} positions")
    if config.model_type == "qwen2":
        known = {"full_attention"} if window is None else {"full_attention", "sliding_attention"}
        for kind in kinds:
            if kind not in known:
                _refuse(name, f"a layer's layer_types (sliding_window {window})", kind, " and ".join(sorted(known)))


def _refuse(name: str, field: str, value: Any, works: str) -> None:
    raise ModelError(f"model {name!r}: its configuration sets {field} to {str(value)[:60]}; Vitro reads {works}")
