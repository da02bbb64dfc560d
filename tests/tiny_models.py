"""The smallest random model of each model type whose fields are known, made by transformers alone.

Weights are drawn by their names, so that two models share those that both have.
"""

import zlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
import transformers

VOCAB, LONGEST = 40, 32
_TOKENS = {"vocab_size": VOCAB, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": True}
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
_BODY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": LONGEST}
_NEOX = _TOKENS | _BODY | {"intermediate_size": 48} | _ROPE
_LLAMA = _NEOX | {"num_key_value_heads": 2, "head_dim": 8}
_GPT = _TOKENS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LONGEST, "n_inner": 48}
_KINDS = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]}
_ROPES = {"rope_parameters": dict.fromkeys(("sliding_attention", "full_attention"), _ROPE["rope_parameters"])}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_SPARSE = _EXPERTS | {"moe_intermediate_size": 12}
_GEMMA3 = _LLAMA | _KINDS | _ROPES
_SCALED = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 4,
}

SIZES: Mapping[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "llama": _LLAMA,
    "mistral": _LLAMA | {"sliding_window": 3},
    "qwen2": _LLAMA | _KINDS | {"use_sliding_window": True},
    "gpt_neox": _NEOX,
    "gemma": _LLAMA,
    "gemma2": _LLAMA | _KINDS,
    "gemma3_text": _GEMMA3,
    "gemma3": {
        "text_config": _GEMMA3,
        "vision_config": {
            **{"model_type": "siglip_vision_model", "image_size": 16, "patch_size": 8, "hidden_size": 16},
            **{"intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        },
        "mm_tokens_per_image": 4,
        **{"image_token_index": 39, "boi_token_index": 38, "eoi_token_index": 37},
    },
    "qwen3": _LLAMA | _KINDS | {"use_sliding_window": True},
    "qwen3_moe": _LLAMA | _SPARSE | {"use_sliding_window": True, "sliding_window": 3},
    "mixtral": _LLAMA | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": _LLAMA | _KINDS | _ROPES,
    "phi": _LLAMA,
    "phi3": _LLAMA | {"original_max_position_embeddings": 8},
    "opt": _TOKENS | _BODY | {"ffn_dim": 48},
    "gptj": _GPT | {"rotary_dim": 4},
    "gpt_neo": {
        **_TOKENS,
        **{"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": LONGEST},
        **{"intermediate_size": 48, "attention_types": [[["global", "local"], 1]], "window_size": 3},
    },
    "falcon": _TOKENS | _BODY | _ROPE | {"ffn_hidden_size": 48},
    "bloom": _TOKENS | {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mpt": _TOKENS | {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": LONGEST},
    "stablelm": _LLAMA,
    "granite": _LLAMA,
    "cohere": _LLAMA,
    "cohere2": _LLAMA | _KINDS,
    "starcoder2": _LLAMA,
    "codegen": _GPT | {"rotary_dim": 4},
    "smollm3": _LLAMA | _KINDS,
    "ministral": _LLAMA | _KINDS,
    "ministral3": _LLAMA | {"rope_parameters": _SCALED},
    "gpt_oss": _LLAMA | _KINDS | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt_bigcode": _GPT,
    "arcee": _LLAMA,
    "helium": _LLAMA,
    "seed_oss": _LLAMA,
    "glm": _LLAMA,
    "glm4": _LLAMA,
    "nemotron": _LLAMA,
    "qwen2_moe": _LLAMA | _SPARSE | _KINDS | {"shared_expert_intermediate_size": 20, "use_sliding_window": True},
    "olmoe": _LLAMA | _EXPERTS,
    "exaone4": _LLAMA | _KINDS,
    "apertus": _LLAMA,
    "ernie4_5": _LLAMA,
}
"""Model type -> the fields of its smallest configuration."""


def tiny_config(model_type: str, **fields: Any) -> Any:
    """The smallest configuration of a model type, with these fields."""
    # A configuration fills in the dictionaries that it is made from.
    return transformers.AutoConfig.for_model(model_type, **deepcopy({**SIZES[model_type], **fields}))


def tiny_model(config: Any) -> Any:
    """transformers' model of a configuration, its attention computed plainly, every weight random by its name."""
    hf = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    for name, weight in hf.named_parameters():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + float("norm" in name or "ln_" in name))
    return hf
