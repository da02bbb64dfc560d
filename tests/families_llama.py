"""Small configurations of the families that are built like Llama: every special on and off, and odd sizes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCAB = 60
_TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
SIZES = {
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
    config = CONFIG_MAPPING[model_type](**{**_TOKENS, **SIZES, **fields})
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


_GEMMA = {"head_dim": 16}
_GEMMA2 = _GEMMA | _MIXED | {"query_pre_attn_scalar": 10}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "intermediate_size": 40}
_LOCAL_MOE = {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 24}
_SCALED = {"logit_scale": 0.8}
_FACTORS = {
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.6,
    "residual_multiplier": 0.7,
    "logits_scaling": 0.4,
}
_GROWING = {**_YARN, "llama_4_scaling_beta": 0.5, "original_max_position_embeddings": 3}
_WHOLE, _HALF = _ROPE | {"partial_rotary_factor": 1.0}, {"partial_rotary_factor": 0.5}
CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
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
        "logits-capped": _GEMMA2 | {"final_logit_softcapping": 3.0, "num_key_value_heads": 1, "head_dim": 10},
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
    "olmo": {
        "": {"clip_qkv": 1.0},
        "without-limit": {"num_key_value_heads": 6},
        "biases-tied": {"attention_bias": True, "tie_word_embeddings": True, "clip_qkv": 0.5},
        "one-head-one-layer": _ONE,
        "one-key-wide-heads": {"num_key_value_heads": 1, "head_dim": 10, "clip_qkv": 2.0},
        "linear-rope": {"rope_parameters": _LINEAR, "hidden_act": "relu"},
        "dynamic-above-five": {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5},
    },
    "olmo3": {
        "": _MIXED,
        "two-ropes": _MIXED | _ropes(_YARN, _ROPE | {"rope_theta": 100.0}),
        "biases-tied": _MIXED | {"attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 6},
        "wide-heads": _MIXED | {"head_dim": 10, "num_key_value_heads": 1, "hidden_act": "relu"},
        "one-head-one-layer": _MIXED | _ONE | {"layer_types": [_FULL], "rms_norm_eps": 1e-2},
        "dynamic-above-five": _MIXED | {"max_position_embeddings": 5} | _ropes(_DYNAMIC, _ROPE),
        "default-types": {"num_hidden_layers": 5, "sliding_window": 2},
    },
    "olmoe": {
        "": _MOE | {"clip_qkv": 1.0},
        "weights-normed": _MOE | {"norm_topk_prob": True, "num_key_value_heads": 6},
        "one-chosen": _MOE | {"num_experts_per_tok": 1, "attention_bias": True, "tie_word_embeddings": True},
        "all-chosen": _MOE | {"num_experts_per_tok": 4, "clip_qkv": 0.5, "hidden_act": "relu"},
        "one-head-one-layer": _MOE | _ONE | {"rms_norm_eps": 1e-2},
        "yarn": _MOE | {"rope_parameters": _YARN, "num_experts": 7, "num_experts_per_tok": 3},
    },
    "qwen2_moe": {
        "": _MOE,
        "dense-between": _MOE | {"decoder_sparse_step": 2, "num_hidden_layers": 4, "num_key_value_heads": 6},
        "dense-first": _MOE | {"mlp_only_layers": [0], "norm_topk_prob": True, "qkv_bias": False},
        "one-chosen": _MOE | {"num_experts_per_tok": 1, "tie_word_embeddings": True},
        "all-dense": _MOE | {"mlp_only_layers": [0, 1, 2], "num_key_value_heads": 1},
        "windows": _MOE | {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 3},
        "one-head-one-layer": _MOE | _ONE | {"rms_norm_eps": 1e-2, "hidden_act": "relu"},
    },
    "qwen3_moe": {
        "": _MOE | {"head_dim": 16},
        "dense-between": _MOE | {"decoder_sparse_step": 2, "num_hidden_layers": 4, "attention_bias": True},
        "dense-last": _MOE | {"mlp_only_layers": [2], "norm_topk_prob": True, "num_key_value_heads": 6},
        "one-chosen": _MOE | {"num_experts_per_tok": 1, "tie_word_embeddings": True, "head_dim": 10},
        "window": _MOE | {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 1, "head_dim": 8},
        "one-head-one-layer": _MOE | _ONE | {"head_dim": 8, "rms_norm_eps": 1e-2, "hidden_act": "relu"},
        "yarn": _MOE | {"rope_parameters": _YARN, "num_experts": 7, "num_experts_per_tok": 3},
    },
    "mixtral": {
        "": _LOCAL_MOE,
        "window": _LOCAL_MOE | {"sliding_window": 3, "head_dim": 10},
        "one-chosen": _LOCAL_MOE | {"num_experts_per_tok": 1, "tie_word_embeddings": True, "sliding_window": None},
        "all-chosen": _LOCAL_MOE | {"num_experts_per_tok": 4, "num_key_value_heads": 6, "hidden_act": "relu"},
        "one-head-one-layer": _LOCAL_MOE | _ONE | {"rms_norm_eps": 1e-2, "sliding_window": 1},
        "linear-rope": _LOCAL_MOE | {"rope_parameters": _LINEAR, "num_key_value_heads": 1},
    },
    "phi3": {
        "": {},
        "part-of-each-head": {"rope_parameters": _ROPE | {"partial_rotary_factor": 0.5}, "num_key_value_heads": 6},
        "window": {"sliding_window": 3, "num_key_value_heads": 1, "tie_word_embeddings": True},
        "longrope": {"rope_parameters": _longrope(8), "original_max_position_embeddings": 4},
        "longrope-part": {
            "rope_parameters": _longrope(6) | {"partial_rotary_factor": 0.75},
            "original_max_position_embeddings": 7,
            "hidden_act": "relu",
        },
        "one-head-one-layer": _ONE | {"rms_norm_eps": 1e-2},
    },
    "granite": {
        "": _FACTORS,
        "without-factors": {},
        "biases-tied": _FACTORS | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        "wide-heads": _FACTORS | {"head_dim": 10, "num_key_value_heads": 1, "hidden_act": "relu"},
        "one-head-one-layer": _FACTORS | _ONE | {"rms_norm_eps": 1e-2},
        "yarn": _FACTORS | {"rope_parameters": _YARN, "num_key_value_heads": 6},
    },
    "cohere": {
        "": {"use_qk_norm": True, "logit_scale": 0.5},
        "without-norms": {"use_qk_norm": False} | _SCALED,
        "biases": {"attention_bias": True, "use_qk_norm": True, "num_key_value_heads": 6, "logit_scale": 2.0},
        "untied-wide-heads": {"tie_word_embeddings": False, "use_qk_norm": True, "head_dim": 10} | _SCALED,
        "one-head-one-layer": _ONE | {"use_qk_norm": True, "layer_norm_eps": 1e-2} | _SCALED,
        "linear-rope": {"rope_parameters": _LINEAR, "num_key_value_heads": 1, "hidden_act": "relu"} | _SCALED,
        "dynamic-above-five": {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5} | _SCALED,
    },
    "cohere2": {
        "": _MIXED | _SCALED,
        "all-full": _MIXED | {"layer_types": [_FULL] * 3, "logit_scale": 0.5},
        "biases": _MIXED | {"attention_bias": True, "num_key_value_heads": 6, "logit_scale": 2.0},
        "untied": _MIXED | {"tie_word_embeddings": False, "num_key_value_heads": 1, "hidden_act": "relu"} | _SCALED,
        "one-head-one-layer": _MIXED | _ONE | {"layer_types": [_SLIDING], "layer_norm_eps": 1e-2} | _SCALED,
        "default-types": {"num_hidden_layers": 5, "sliding_window": 2, "rope_parameters": _LINEAR} | _SCALED,
    },
    "starcoder2": {
        "": {},
        "no-biases": {"use_bias": False, "num_key_value_heads": 6},
        "window": {"sliding_window": 3, "num_key_value_heads": 1},
        "untied": {"tie_word_embeddings": False, "hidden_act": "relu", "sliding_window": 2},
        "one-head-one-layer": _ONE | {"norm_epsilon": 1e-2},
        "linear-rope": {"rope_parameters": _LINEAR, "head_dim": 10},
    },
    "smollm3": {
        "": {"num_hidden_layers": 5},
        "every-second-tied": {"no_rope_layer_interval": 2, "tie_word_embeddings": True, "num_key_value_heads": 6},
        "windows": {
            "use_sliding_window": True,
            "sliding_window": 2,
            "no_rope_layers": [0, 1, 0],
            "attention_bias": True,
            "mlp_bias": True,
        },
        "types-given": _MIXED | {"no_rope_layers": [1, 0, 1], "use_sliding_window": True},
        "types-given-without-the-switch": _MIXED | {"no_rope_layers": [0, 1, 1], "num_key_value_heads": 1},
        "one-head-one-layer": _ONE | {"no_rope_layers": [1], "rms_norm_eps": 1e-2, "hidden_act": "relu"},
        "no-positions": {"no_rope_layers": [0, 0, 0], "head_dim": 10},
        "yarn": {"rope_parameters": _YARN},
    },
    "ministral": {
        "": _MIXED | {"head_dim": 8},
        "all-sliding": {"head_dim": 10, "sliding_window": 2, "num_key_value_heads": 6},
        "all-full": {"head_dim": 16, "sliding_window": 2, "layer_types": [_FULL] * 3, "tie_word_embeddings": True},
        "one-head-one-layer": _ONE | {"head_dim": 48, "sliding_window": 1, "rms_norm_eps": 1e-2},
        "linear-rope": _MIXED | {"head_dim": 8, "rope_parameters": _LINEAR, "num_key_value_heads": 1},
        "dynamic-above-five": _MIXED
        | {"head_dim": 8, "rope_parameters": _DYNAMIC, "max_position_embeddings": 5, "hidden_act": "relu"},
    },
    "ministral3": {
        "": {"head_dim": 16, "rope_parameters": _GROWING},
        "window": {"head_dim": 8, "rope_parameters": _GROWING, "sliding_window": 3, "num_key_value_heads": 6},
        "fast": {"head_dim": 8, "rope_parameters": _GROWING | {"llama_4_scaling_beta": 2.0}, "num_key_value_heads": 1},
        "slow-tied": {
            "head_dim": 10,
            "rope_parameters": _GROWING | {"original_max_position_embeddings": 1},
            "tie_word_embeddings": True,
        },
        "one-head-one-layer": _ONE | {"head_dim": 8, "rope_parameters": _GROWING, "rms_norm_eps": 1e-2},
        "own-size": {
            "head_dim": 8,
            "rope_parameters": _GROWING | {"mscale": 0.7, "mscale_all_dim": 1.3, "beta_fast": 8.0},
            "hidden_act": "relu",
        },
    },
    "gpt_oss": {
        "": _LOCAL_MOE | {"head_dim": 16, "sliding_window": 3},
        "no-biases": _LOCAL_MOE
        | {"head_dim": 8, "attention_bias": False, "sliding_window": 2, "rope_parameters": _ROPE},
        "one-chosen": _LOCAL_MOE | {"head_dim": 8, "num_experts_per_tok": 1, "num_key_value_heads": 6},
        "all-chosen": _LOCAL_MOE | {"head_dim": 10, "num_experts_per_tok": 4, "num_key_value_heads": 1},
        "one-head-one-layer": _LOCAL_MOE | _ONE | {"head_dim": 8, "sliding_window": 1, "rms_norm_eps": 1e-2},
        "cut-off": _LOCAL_MOE | _MIXED | {"head_dim": 8, "swiglu_limit": 0.5, "swiglu_alpha": 0.7},
        "yarn": _LOCAL_MOE
        | {"head_dim": 16, "rope_parameters": _YARN, "num_local_experts": 7}
        | {"tie_word_embeddings": True, "layer_types": [_FULL] * 3},
    },
    "stablelm": {
        "": {"num_key_value_heads": 6},
        "parallel": {"use_parallel_residual": True, "rope_parameters": _ROPE | {"partial_rotary_factor": 0.5}},
        "normed": {"qk_layernorm": True, "use_qkv_bias": True},
        "normed-parallel": {"qk_layernorm": True, "use_parallel_residual": True, "num_key_value_heads": 1},
        "whole-heads": {
            "rope_parameters": _ROPE | {"partial_rotary_factor": 1.0},
            "tie_word_embeddings": True,
            "hidden_act": "relu",
        },
        "one-head-one-layer": _ONE | {"layer_norm_eps": 1e-2, "use_qkv_bias": True},
    },
    "arcee": {
        "": {},
        "biases-tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        "wide-heads": {"head_dim": 10, "num_key_value_heads": 1, "hidden_act": "silu"},
        "one-head-one-layer": _ONE | {"rms_norm_eps": 1e-2},
        "llama3-rope": {"rope_parameters": _LLAMA3, "num_key_value_heads": 6},
        "dynamic-above-five": {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5},
    },
    "helium": {
        "": {"head_dim": 8},
        "biases-tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "head_dim": 8},
        "one-key": {"head_dim": 8, "num_key_value_heads": 1, "hidden_act": "relu"},
        "one-head-one-layer": _ONE | {"head_dim": 48, "rms_norm_eps": 1e-2},
        "linear-rope": {"rope_parameters": _LINEAR, "head_dim": 8, "num_key_value_heads": 6},
        "three-heads": {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 16},
    },
    "seed_oss": {
        "": {"head_dim": 16},
        "no-biases-tied": {"attention_bias": False, "tie_word_embeddings": True, "head_dim": 8},
        "all-biases": {"attention_out_bias": True, "mlp_bias": True, "head_dim": 10, "num_key_value_heads": 1},
        "one-head-one-layer": _ONE | {"head_dim": 8, "rms_norm_eps": 1e-2},
        "yarn": {"rope_parameters": _YARN, "head_dim": 8, "num_key_value_heads": 6},
        "relu": {"hidden_act": "relu", "head_dim": 8, "rope_parameters": _LINEAR},
    },
    "glm": {
        "": {"head_dim": 8},
        "no-biases-tied": {"attention_bias": False, "tie_word_embeddings": True, "head_dim": 16},
        "whole-heads": {"head_dim": 8, "num_key_value_heads": 1, "rope_parameters": _WHOLE},
        "one-head-one-layer": _ONE | {"head_dim": 8, "rms_norm_eps": 1e-2},
        "linear-rope": {"head_dim": 8, "rope_parameters": _LINEAR | _HALF, "num_key_value_heads": 6},
        "quarter": {"head_dim": 16, "rope_parameters": _ROPE | {"partial_rotary_factor": 0.25}, "hidden_act": "relu"},
    },
    "glm4": {
        "": {"head_dim": 8},
        "no-biases-tied": {"attention_bias": False, "tie_word_embeddings": True, "head_dim": 16},
        "whole-heads": {"head_dim": 8, "num_key_value_heads": 1, "rope_parameters": _WHOLE},
        "one-head-one-layer": _ONE | {"head_dim": 8, "rms_norm_eps": 1e-2},
        "linear-rope": {"head_dim": 8, "rope_parameters": _LINEAR | _HALF, "num_key_value_heads": 6},
        "relu": {"head_dim": 10, "hidden_act": "relu", "rope_parameters": _ROPE | {"partial_rotary_factor": 0.4}},
    },
    "nemotron": {
        "": {},
        "biases-tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
        "wide-heads": {"head_dim": 16, "num_key_value_heads": 1, "hidden_act": "silu"},
        "one-head-one-layer": _ONE | {"norm_eps": 1e-2},
        "whole-heads": {"rope_parameters": _WHOLE, "num_key_value_heads": 6},
        "linear-rope": {"rope_parameters": _LINEAR | _HALF},
    },
    "exaone4": {
        "": _MIXED | {"head_dim": 16},
        "without-windows": {"sliding_window": None, "layer_types": [_FULL] * 3, "num_key_value_heads": 6},
        "all-full": {"sliding_window": 3, "layer_types": [_FULL] * 3, "tie_word_embeddings": True},
        "default-types": {"num_hidden_layers": 5, "sliding_window": 2, "num_key_value_heads": 1},
        "one-head-one-layer": _MIXED | _ONE | {"layer_types": [_SLIDING], "rms_norm_eps": 1e-2},
        "llama3-rope": _MIXED | {"rope_parameters": _LLAMA3, "hidden_act": "relu"},
    },
    "apertus": {
        "": {},
        "biases-tied": {"attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 6},
        "wide-heads": {"head_dim": 10, "num_key_value_heads": 1},
        "one-head-one-layer": _ONE | {"rms_norm_eps": 1e-2},
        "llama3-rope": {"rope_parameters": _LLAMA3},
        "relu": {"hidden_act": "relu2", "rope_parameters": _ROPE},
    },
    "ernie4_5": {
        "": {},
        "biases": {"use_bias": True, "num_key_value_heads": 6},
        "untied-wide-heads": {"tie_word_embeddings": False, "head_dim": 10, "num_key_value_heads": 1},
        "one-head-one-layer": _ONE | {"rms_norm_eps": 1e-2},
        "linear-rope": {"rope_parameters": _LINEAR, "use_bias": True, "hidden_act": "relu"},
        "dynamic-above-five": {"rope_parameters": _DYNAMIC, "max_position_embeddings": 5},
    },
}
"""Model type -> name -> fields, which turn its specials on and off."""

MAKERS: dict[str, Callable[[], Any]] = {
    f"{model_type}-{name}" if name else model_type: partial(made, model_type, **fields)
    for model_type, configs in CONFIGS.items()
    for name, fields in configs.items()
}
"""Name -> a function that makes the model."""
