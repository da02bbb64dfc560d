"""Small models of every architecture whose GGUF files are read, and what llama.cpp's converter writes of each.

Names come from gguf-py's own map, which the converter uses; layouts are done here as the converter does them.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gguf
import torch
import transformers
from torch import Tensor

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_MOE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mixtral": ("llama", "mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2moe": ("qwen2moe", "qwen2_moe", {**_MOE, "num_experts": 4, "shared_expert_intermediate_size": 40}),
    "qwen3": ("qwen3", "qwen3", {"head_dim": 16}),
    "qwen3moe": ("qwen3moe", "qwen3_moe", {**_MOE, "num_experts": 4, "head_dim": 16, "norm_topk_prob": True}),
    "gemma": ("gemma", "gemma", {"head_dim": 16}),
    "gemma2": ("gemma2", "gemma2", {"head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16}),
    "gemma3": (
        "gemma3",
        "gemma3_text",
        {"head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16, "num_hidden_layers": 7},
    ),
    "phi3": ("phi3", "phi3", {"sliding_window": 9}),
    "phi3, part of a head": ("phi3", "phi3", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "falcon": ("falcon", "falcon", {"tie_word_embeddings": True}),
    "falcon, groups": ("falcon", "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon, groups, one norm": (
        "falcon",
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
    ),
    "bloom": ("bloom", "bloom", {"n_layer": 3, "n_head": 6}),
    "stablelm": ("stablelm", "stablelm", {"use_qkv_bias": True}),
    "stablelm, parallel": (
        "stablelm",
        "stablelm",
        {"use_parallel_residual": True, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "starcoder2": ("starcoder2", "starcoder2", {"sliding_window": None, "rope_parameters": {"rope_theta": 3e5}}),
    "nemotron": ("nemotron", "nemotron", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "gpt-oss": (
        "gpt-oss",
        "gpt_oss",
        {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 8},
    ),
}
"""Name -> architecture, model type, fields."""
_UNKNOWN = {
    "bloom": (
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "max_position_embeddings",
    ),
    "falcon": ("num_key_value_heads", "intermediate_size"),
}
"""Sizes that a model type has no field for."""


def model_of(name: str, **more: Any) -> Any:
    """A small model with every weight random. more: fields beside those of MODELS, or in place of them."""
    _, model_type, fields = MODELS[name]
    unknown = _UNKNOWN.get(model_type, ())
    sizes = {field: size for field, size in SIZES.items() if field not in unknown}
    hf = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(model_type, **{**sizes, **fields, **more})
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in hf.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return hf.eval()


def keys_of(hf: Any) -> dict[str, Any]:
    """What the converter says of a model."""
    config, kind = hf.config, hf.config.model_type
    rope = getattr(config, "rope_parameters", None) or {}
    keys: dict[str, Any] = {
        "context_length": getattr(config, "max_position_embeddings", 64),
        "block_count": config.num_hidden_layers,
        "embedding_length": config.hidden_size,
        "feed_forward_length": getattr(config, "intermediate_size", 4 * config.hidden_size),
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": getattr(config, "num_key_value_heads", config.num_attention_heads),
    }
    for field in ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps"):
        if hasattr(config, field):
            keys[f"attention.layer_norm_{'rms_' if 'rms' in field else ''}epsilon"] = getattr(config, field)
    if kind not in ("falcon", "bloom", "gemma", "gemma2", "stablelm"):
        keys["rope.freq_base"] = rope.get("full_attention", rope)["rope_theta"]
    if kind not in ("bloom", "falcon", "phi3", "stablelm", "starcoder2", "qwen2_moe", "mixtral"):
        keys |= {"attention.key_length": config.head_dim, "attention.value_length": config.head_dim}
    if kind in ("phi3", "stablelm", "nemotron"):
        keys["rope.dimension_count"] = (
            int(rope["partial_rotary_factor"] * config.hidden_size) // config.num_attention_heads
        )
    experts = getattr(config, "num_local_experts", getattr(config, "num_experts", None))
    if experts:
        keys |= {"expert_count": experts, "expert_used_count": config.num_experts_per_tok}
        keys["expert_feed_forward_length"] = getattr(config, "moe_intermediate_size", config.intermediate_size)
    return keys | _MORE.get(kind, lambda config: {})(config)


_MORE: dict[str, Callable[[Any], dict[str, Any]]] = {
    "mixtral": lambda config: {"expert_feed_forward_length": None},
    "qwen2_moe": lambda config: {"expert_shared_feed_forward_length": config.shared_expert_intermediate_size},
    "gemma2": lambda config: {
        "attention.sliding_window": config.sliding_window,
        "attn_logit_softcapping": config.attn_logit_softcapping,
        "final_logit_softcapping": config.final_logit_softcapping,
    },
    "gemma3_text": lambda config: {"attention.sliding_window": config.sliding_window},
    "phi3": lambda config: {
        "attention.sliding_window": config.sliding_window or 0,
        "rope.scaling.original_context_length": config.original_max_position_embeddings,
    },
    "falcon": lambda config: {
        "tensor_data_layout": "jploski",
        "attention.head_count_kv": config.num_kv_heads if config.new_decoder_architecture else 1,
    },
    "stablelm": lambda config: {"use_parallel_residual": config.use_parallel_residual},
    "nemotron": lambda config: {"rope.scaling.type": "none", "vocab_size": config.vocab_size},
    "gpt_oss": lambda config: {
        "attention.sliding_window": config.sliding_window,
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": config.rope_parameters["factor"],
        "rope.scaling.original_context_length": config.rope_parameters["original_max_position_embeddings"],
    },
}


def tensors_of(hf: Any, architecture: str) -> dict[str, Tensor]:
    """A model's weights under GGUF's names and in its layout."""
    kind = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, hf.config.num_hidden_layers)
    tensors = {}
    for name, weight in hf.state_dict().items():
        if name == "lm_head.weight" and hf.config.tie_word_embeddings:
            continue
        for said, numbers in _written(hf.config, name, weight):
            tried = (said, said.removeprefix("transformer."))
            place = next(filter(None, (names.get_name(one, try_suffixes=(".weight", ".bias")) for one in tried)), None)
            assert place is not None, said
            tensors[place] = numbers.contiguous()
    return tensors


def _written(config: Any, name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A weight under the names and in the layouts in which the converter writes it."""
    kind, heads = config.model_type, config.num_attention_heads
    if name.endswith("experts.gate_up_proj") or name.endswith("gate_up_proj_bias"):
        base, end = name.split("gate_up_proj")[0], ".bias" if name.endswith("bias") else ".weight"
        if kind == "gpt_oss":
            rows = weight.mT if weight.ndim == 3 else weight
            gate, up = rows[:, ::2], rows[:, 1::2]
        else:
            gate, up = weight.chunk(2, dim=1)
        yield f"{base}gate_proj{end}", gate
        yield f"{base}up_proj{end}", up
    elif "experts.down_proj" in name:
        end = ".bias" if name.endswith("_bias") else ".weight"
        yield (
            f"{name.removesuffix('_bias')}{end}",
            weight.mT if kind == "gpt_oss" and weight.ndim == 3 else weight,
        )
    elif kind == "mixtral" and name.endswith("mlp.gate.weight"):
        yield name.replace("mlp.gate", "block_sparse_moe.gate"), weight
    elif kind == "mixtral" and ("q_proj" in name or "k_proj" in name):
        n_heads = heads if "q_proj" in name else config.num_key_value_heads
        yield name, weight.reshape(n_heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
    elif kind in ("gemma", "gemma2", "gemma3_text", "nemotron") and name.endswith("norm.weight"):
        yield name, weight + 1
    elif kind == "bloom" and "query_key_value" in name:
        qkv = weight.reshape(heads, 3, config.hidden_size // heads, -1)
        yield name, torch.cat([qkv[:, part].flatten(0, 1) for part in range(3)]).reshape(weight.shape)
    elif kind == "falcon" and "query_key_value" in name:
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
        qkv = weight.view(groups, heads // groups + 2, config.hidden_size // heads, config.hidden_size)
        yield name, torch.cat([part.flatten(0, 2) for part in (qkv[:, :-2], qkv[:, [-2]], qkv[:, [-1]])])
    elif name.endswith("shared_expert_gate.weight"):
        yield name, weight[0]
    elif name.endswith("sinks"):
        yield f"{name}.weight", weight
    else:
        yield name, weight
