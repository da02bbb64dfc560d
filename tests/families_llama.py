"""Small configurations of the families that are built like Llama: every special on and off, and odd sizes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCAB = 60
_TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
_SIZES = {
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "hidden_size": 48,
    "intermediate_size": 80,
    "max_position_embeddings": 32,
}
_ONE = {"num_attention_heads": 1, "num_key_value_heads": 1, "num_hidden_layers": 1}
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e3}
_YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 8}
_DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "rope_theta": 1e4,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_FULL, _SLIDING = "full_attention", "sliding_attention"
_MIXED = {"layer_types": [_SLIDING, _FULL, _SLIDING], "sliding_window": 3}


def _longrope(width: int) -> dict[str, Any]:
    """Angles for prompts up to four tokens, and others beyond. width: how many coordinates of a head are turned."""
    return {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 8.0,
        "original_max_position_embeddings": 4,
        "short_factor": [1.0 + 0.1 * i for i in range(width // 2)],
        "long_factor": [2.0 + 0.5 * i for i in range(width // 2)],
    }


def _ropes(full: dict[str, Any], sliding: dict[str, Any]) -> dict[str, Any]:
    return {"rope_parameters": {_FULL: full, _SLIDING: sliding}}


def made(model_type: str, **fields: Any) -> Any:
    """A transformers model of a type, of small sizes but for these fields, that computes attention step by step."""
    config = CONFIG_MAPPING[model_type](**{**_TOKENS, **_SIZES, **fields})
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


_GEMMA = {"head_dim": 16}
_GEMMA2 = _GEMMA | _MIXED | {"query_pre_attn_scalar": 10}
_CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "gemma": {
        "": _GEMMA,
        "one-key": {"head_dim": 8, "num_key_value_heads": 1},
        "biases": _GEMMA | {"attention_bias": True, "num_key_value_heads": 6},
        "untied-relu": _GEMMA | {"tie_word_embeddings": False, "hidden_act": "relu"},
        "one-head-one-layer": _GEMMA | _ONE,
        "linear-rope": _GEMMA | {"rope_parameters": _LINEAR, "rms_norm_eps": 1e-2},
        "dynamic-rope": _GEMMA | {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5},
    },
    "gemma2": {
        "": _GEMMA2 | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        "without-caps": _GEMMA2 | {"attn_logit_softcapping": None, "final_logit_softcapping": None},
        "scores-capped": _GEMMA2
        | {"attn_logit_softcapping": 1.0, "final_logit_softcapping": None, "attention_bias": True, "head_dim": 10},
        "logits-capped": _GEMMA2
        | {"attn_logit_softcapping": None, "final_logit_softcapping": 5.0, "tie_word_embeddings": False},
        "one-head-one-layer": _GEMMA2 | _ONE | {"layer_types": [_SLIDING], "sliding_window": 1},
        "all-full-relu": _GEMMA2 | {"layer_types": [_FULL] * 3, "hidden_activation": "relu", "rms_norm_eps": 1e-2},
        "linear-rope": _GEMMA2 | {"rope_parameters": _LINEAR, "num_key_value_heads": 6},
    },
    "gemma3_text": {
        "": _GEMMA2,
        "two-ropes": _GEMMA2 | _ropes(_LINEAR, _ROPE | {"rope_theta": 100.0}),
        "capped": _GEMMA2
        | {"attn_logit_softcapping": 1.0, "final_logit_softcapping": 3.0, "num_key_value_heads": 1, "head_dim": 10},
        "yarn-biases-untied": _GEMMA2 | {"attention_bias": True, "tie_word_embeddings": False} | _ropes(_YARN, _ROPE),
        "dynamic-above-five": _GEMMA2 | {"max_position_embeddings": 5} | _ropes(_DYNAMIC, _ROPE),
        "longrope": _GEMMA2 | _ropes(_longrope(16), _ROPE),
        "one-head-one-layer": _GEMMA2 | _ONE | {"layer_types": [_SLIDING], "sliding_window": 2, "rms_norm_eps": 1e-2},
        "default-types": _GEMMA
        | {"num_hidden_layers": 7, "sliding_window": 2, "hidden_activation": "relu", "num_key_value_heads": 6},
    },
    "olmo2": {
        "": {},
        "biases-tied": {"attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 6},
        "wide-heads": {"head_dim": 10, "num_key_value_heads": 1},
        "one-head-one-layer": _ONE,
        "linear-rope": {"rope_parameters": _LINEAR, "rms_norm_eps": 1e-2},
        "dynamic-above-five": {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5, "hidden_act": "relu"},
    },
    "qwen3": {
        "": {"head_dim": 16},
        "biases-tied": {"attention_bias": True, "tie_word_embeddings": True, "head_dim": 8, "num_key_value_heads": 6},
        "window-above": {
            "use_sliding_window": True,
            "sliding_window": 2,
            "max_window_layers": 1,
            "head_dim": 10,
        },
        "mixed": _MIXED | {"use_sliding_window": True, "head_dim": 8, "num_key_value_heads": 1},
        "one-head-one-layer": _ONE | {"head_dim": 8, "rms_norm_eps": 1e-2},
        "yarn": {"rope_parameters": _YARN, "head_dim": 8, "hidden_act": "relu"},
        "longrope": {"rope_parameters": _longrope(8), "head_dim": 8},
    },
}

MAKERS: dict[str, Callable[[], Any]] = {
    f"{model_type}-{name}" if name else model_type: partial(made, model_type, **fields)
    for model_type, configs in _CONFIGS.items()
    for name, fields in configs.items()
}
"""Name -> a function that makes the model."""
