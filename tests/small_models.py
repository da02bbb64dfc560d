"""Small random models of every family, with every weight random: default initialisations leave biases at zero."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import families_gpt
import families_llama
from vitro.models import Model
from vitro.models.load import family_of

VOCAB = 60
_TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}


def _gpt2(**options: Any) -> Any:
    sizes = {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 32}
    return GPT2LMHeadModel(GPT2Config(**{**_TOKENS, **sizes, **options}))


def _llama(model: Any = LlamaForCausalLM, config: Any = LlamaConfig, **options: Any) -> Any:
    sizes = {
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "hidden_size": 48,
        "intermediate_size": 80,
        "max_position_embeddings": 32,
    }
    return model(config(**{**_TOKENS, **sizes, **options}))


def _neox(**options: Any) -> Any:
    sizes = {
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_size": 64,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
    }
    return GPTNeoXForCausalLM(GPTNeoXConfig(**{**_TOKENS, **sizes, **options}))


MAKERS = {
    "gpt2": lambda: _gpt2(),
    "gpt2-untied-one-head": lambda: _gpt2(tie_word_embeddings=False, n_head=1, n_embd=24, n_layer=2),
    "gpt2-odd": lambda: _gpt2(scale_attn_by_inverse_layer_idx=True, activation_function="relu", n_inner=40, n_layer=4),
    "llama-gqa-3": lambda: _llama(),
    "llama-gqa-1-tied": lambda: _llama(num_key_value_heads=6, tie_word_embeddings=True),
    "llama-gqa-2-biases-wide-heads": lambda: _llama(
        num_key_value_heads=3, attention_bias=True, mlp_bias=True, head_dim=16, num_hidden_layers=4
    ),
    "mistral-window": lambda: _llama(MistralForCausalLM, MistralConfig, sliding_window=3, head_dim=8),
    "qwen2": lambda: _llama(Qwen2ForCausalLM, Qwen2Config, tie_word_embeddings=True),
    "qwen2-window-above": lambda: _llama(
        Qwen2ForCausalLM, Qwen2Config, use_sliding_window=True, sliding_window=2, max_window_layers=1
    ),
    "neox-parallel": lambda: _neox(),
    "neox-sequential-full-rotation": lambda: _neox(
        use_parallel_residual=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
    ),
    "neox-no-bias-tied": lambda: _neox(attention_bias=False, tie_word_embeddings=True, num_hidden_layers=2),
}
"""Name -> a function that makes the model: shapes, biases or none, tied or not, grouped keys 1:1, 2:1 and 3:1."""


KINDS: dict[str, Callable[..., Any]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "mistral": partial(_llama, MistralForCausalLM, MistralConfig),
    "qwen2": partial(_llama, Qwen2ForCausalLM, Qwen2Config),
    "gpt_neox": _neox,
}
"""Model type -> a function of fields of its configuration that makes the model."""


def hf_model(model_type: str, seed: int = 0, **fields: Any) -> Any:
    """transformers' own small model of a type, with these fields and random weights."""
    return _filled(KINDS[model_type](**fields), seed)


def random_model(name: str, seed: int = 0) -> Model:
    """A small model with every parameter drawn anew, large enough that attention is far from uniform.

    name: one of MAKERS, or of those of `families_gpt` and `families_llama`.
    """
    makers: dict[str, Callable[[], Any]] = {**families_gpt.MAKERS, **families_llama.MAKERS, **MAKERS}
    return filled_model(makers[name](), seed)


def filled_model(hf: Any, seed: int = 0) -> Model:
    """A transformers model with every parameter drawn anew, as `random_model`."""
    family = family_of(hf.config.model_type)
    return family.of(_filled(hf, seed), tokenizer=None)


def _filled(hf: Any, seed: int) -> Any:
    hf.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if parameter_name.endswith("sinks"):
            weight.copy_(noise)
            continue
        norm = "norm" in parameter_name or "ln_" in parameter_name
        holder = type(hf.get_submodule(parameter_name.rpartition(".")[0])).__name__
        gain = 0.0 if holder.startswith("Gemma") or holder.endswith("1P") else 1.0
        weight.copy_(gain + 0.2 * noise if norm and "weight" in parameter_name else 0.2 * noise)
    return hf
