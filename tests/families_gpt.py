"""Small configurations of the families that are built like GPT: every special on and off, and odd sizes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

VOCAB = 60
_TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
SIZES: dict[str, dict[str, Any]] = {
    "gpt_neo": {"num_layers": 4, "num_heads": 4, "hidden_size": 32, "max_position_embeddings": 32, "window_size": 3}
    | {"attention_types": [[["global", "local"], 2]]},
    "gpt_bigcode": {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 32},
    "opt": {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "ffn_dim": 48}
    | {"word_embed_proj_dim": 32, "max_position_embeddings": 32},
    "gptj": {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 32, "rotary_dim": 4},
    "codegen": {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 32, "rotary_dim": 4},
    "phi": {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}
    | {"max_position_embeddings": 32},
    "bloom": {"n_layer": 3, "n_head": 4, "hidden_size": 32},
    "mpt": {"n_layers": 3, "n_heads": 4, "d_model": 32, "max_seq_len": 32},
    "falcon": {"num_hidden_layers": 3, "num_attention_heads": 6, "hidden_size": 48, "max_position_embeddings": 32},
}


def made(model_type: str, **fields: Any) -> Any:
    """A transformers model of a type, of small sizes but for these fields.

    With the attention that transformers picks: its eager attention of Falcon counts ALiBi twice.
    """
    config = CONFIG_MAPPING[model_type](**{**_TOKENS, **SIZES[model_type], **fields})
    return AutoModelForCausalLM.from_config(config)


_ROPE = {"rope_type": "default", "rope_theta": 1e4}
CONFIGS: dict[str, dict[str, dict[str, Any]]] = {
    "gpt_neo": {
        "": {},
        "one-head-one-layer": {"num_heads": 1, "num_layers": 1, "attention_types": [[["local"], 1]]},
        "all-global-wide": {"attention_types": [[["global"], 4]], "intermediate_size": 40},
        "relu": {"activation_function": "relu", "window_size": 2},
        "untied": {"tie_word_embeddings": False, "num_heads": 2},
        "window-of-one": {"window_size": 1, "layer_norm_epsilon": 1e-2},
    },
    "gpt_bigcode": {
        "": {},
        "a-key-for-each-head": {"multi_query": False},
        "one-head-one-layer": {"n_head": 1, "n_layer": 1},
        "without-scale": {"scale_attn_weights": False},
        "wide": {"n_inner": 40, "activation_function": "relu"},
        "untied": {"tie_word_embeddings": False, "n_head": 8},
    },
    "opt": {
        "": {},
        "no-biases": {"enable_bias": False},
        "no-norm-weights": {"layer_norm_elementwise_affine": False},
        "one-head-one-layer": {"num_attention_heads": 1, "num_hidden_layers": 1},
        "gelu": {"activation_function": "gelu", "ffn_dim": 20},
        "untied": {"tie_word_embeddings": False, "num_attention_heads": 2},
    },
    "gptj": {
        "": {},
        "whole-heads": {"rotary_dim": 8},
        "wide-heads": {"n_head": 1, "rotary_dim": 16},
        "one-head-one-layer": {"n_head": 1, "n_layer": 1},
        "wide": {"n_inner": 40, "activation_function": "relu"},
        "two-coordinates": {"rotary_dim": 2, "n_head": 2},
    },
    "codegen": {
        "": {},
        "whole-heads": {"rotary_dim": 8},
        "eight-heads": {"n_head": 8, "rotary_dim": 2},
        "one-layer": {"n_layer": 1},
        "wide": {"n_inner": 40, "activation_function": "relu"},
        "wide-heads": {"n_embd": 64, "rotary_dim": 10},
    },
    "phi": {
        "": {"rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5}},
        "grouped": {"num_key_value_heads": 2, "rope_parameters": {**_ROPE, "partial_rotary_factor": 0.25}},
        "normed": {"qk_layernorm": True, "rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5}},
        "normed-grouped": {
            "qk_layernorm": True,
            "num_key_value_heads": 1,
            "rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5},
        },
        "whole-heads": {"rope_parameters": {**_ROPE, "partial_rotary_factor": 1.0}, "hidden_act": "relu"},
        "one-head-one-layer": {
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5},
        },
        "linear-rope": {
            "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e3, "partial_rotary_factor": 0.5}
        },
    },
    "bloom": {
        "": {},
        "three-heads": {"n_head": 3, "hidden_size": 48},
        "one-head-one-layer": {"n_head": 1, "n_layer": 1},
        "twelve-heads": {"n_head": 12, "hidden_size": 48, "n_layer": 2},
        "untied": {"tie_word_embeddings": False, "layer_norm_epsilon": 1e-2},
        "eight-narrow-heads": {"n_head": 8, "n_layer": 4},
    },
    "mpt": {
        "": {},
        "three-heads": {"n_heads": 3, "d_model": 48},
        "one-head-one-layer": {"n_heads": 1, "n_layers": 1},
        "cut-off": {"attn_config": {"clip_qkv": 0.7}},
        "own-scale": {"attn_config": {"softmax_scale": 0.2}, "n_heads": 8},
        "cut-off-twelve-heads": {"attn_config": {"clip_qkv": 1.1}, "n_heads": 12, "d_model": 48},
    },
    "falcon": {
        "": {"rope_parameters": _ROPE},
        "new-two-norms": {"new_decoder_architecture": True, "num_kv_heads": 2, "rope_parameters": _ROPE},
        "new-one-norm": {
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "num_ln_in_parallel_attn": 1,
            "bias": True,
            "rope_parameters": _ROPE,
        },
        "new-a-key-for-each": {"new_decoder_architecture": True, "num_kv_heads": 6, "rope_parameters": _ROPE},
        "alibi-sequential": {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
        "alibi-multi-query": {"alibi": True, "num_attention_heads": 3},
        "alibi-groups": {"alibi": True, "new_decoder_architecture": True, "num_kv_heads": 2},
        "sequential-rotated": {"multi_query": False, "parallel_attn": False, "rope_parameters": _ROPE},
        "one-head-one-layer": {"num_attention_heads": 1, "num_hidden_layers": 1, "rope_parameters": _ROPE},
    },
}
"""Model type -> name -> fields, which turn its specials on and off."""

MAKERS: dict[str, Callable[[], Any]] = {
    f"{model_type}-{name}" if name else model_type: partial(made, model_type, **fields)
    for model_type, configs in CONFIGS.items()
    for name, fields in configs.items()
}
"""Name -> a function that makes the model."""
