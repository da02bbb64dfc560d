"""Random models of every family: sizes, biases, windows, rope kinds, activations, tied or not."""

import copy
from collections.abc import Callable
from typing import Any

import torch
import transformers
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

from fuzz.draw import Draw
from fuzz.families import LISTED, draw_listed
from fuzz.ropes import draw_rope
from vitro.models import Model
from vitro.models.load import family_of

# Its remarks on parameters that no trained model would have.
transformers.utils.logging.set_verbosity_error()


def draw_model(draw: Draw, *, max_layers: int = 4) -> Model:
    """A model of any family with every parameter drawn, large enough that attention is far from uniform."""
    model_type, n_layers = draw.one_of(MODEL_TYPES), draw.integer(1, max_layers)
    made = (
        MAKERS[model_type](draw, n_layers)
        if model_type in MAKERS
        else draw_listed(draw, model_type, n_layers, _tokens(draw))
    )
    hf = made.eval().requires_grad_(False)
    scale = draw.real(0.1, 0.4)
    for name, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=draw.generator)
        norm = "norm" in name or "ln_" in name
        weight.copy_(1.0 + 0.2 * noise if norm and "weight" in name else scale * noise)
    return family_of(hf.config.model_type).of(hf, tokenizer=None)


def plain(model: Model) -> Model:
    """A copy of a model for the slow way to hook, which runs every prompt as if it were the first.

    transformers' dynamic rope remembers the longest prompt so far; a prompt's own numbers are those of a fresh model.
    Its experts run one after the other, which is how they are defined.
    """
    hf = copy.deepcopy(model.hf)
    hf.set_experts_implementation("eager")
    for module in hf.modules():
        if "dynamic" in str(getattr(module, "rope_type", "")):
            module.register_forward_pre_hook(_forget)
    return family_of(hf.config.model_type).of(hf, tokenizer=None)


def _forget(rotary: Any, args: Any) -> None:
    for kind in ("", "full_attention_", "sliding_attention_"):
        if hasattr(rotary, f"{kind}original_inv_freq"):
            setattr(rotary, f"{kind}inv_freq", getattr(rotary, f"{kind}original_inv_freq").clone())
            setattr(rotary, f"{kind}max_seq_len_cached", rotary.original_max_seq_len)


def describe(model: Model) -> str:
    """The options that differ from the family's own, for a failure to be made again by hand."""
    config = model.hf.config.to_diff_dict()
    left_out = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "architectures")
    return str({name: value for name, value in config.items() if name not in left_out})


def _tokens(draw: Draw) -> dict[str, Any]:
    # Now and then more than are unembedded at once.
    n_vocab = draw.integer(4090, 4200) if draw.chance(0.03) else draw.integer(8, 60)
    return {"vocab_size": n_vocab, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}


def _gpt2(draw: Draw, n_layers: int) -> Any:
    n_heads, d_head = draw.integer(1, 4), draw.one_of((3, 4, 5, 8))
    config = GPT2Config(
        **_tokens(draw),
        n_layer=n_layers,
        n_head=n_heads,
        n_embd=n_heads * d_head,
        n_inner=draw.one_of((None, draw.integer(4, 40))),
        n_positions=draw.integer(4, 32),
        activation_function=draw.one_of(("gelu_new", "gelu", "relu", "silu", "tanh", "gelu_pytorch_tanh")),
        layer_norm_epsilon=draw.one_of((1e-5, 1e-3)),
        scale_attn_weights=draw.chance(0.8),
        scale_attn_by_inverse_layer_idx=draw.chance(0.3),
        tie_word_embeddings=draw.chance(0.5),
    )
    return GPT2LMHeadModel(config)


def _llama(draw: Draw, n_layers: int) -> Any:
    options = {"attention_bias": draw.chance(0.5), "mlp_bias": draw.chance(0.5)}
    return LlamaForCausalLM(LlamaConfig(**_llama_like(draw, n_layers), **options))


def _mistral(draw: Draw, n_layers: int) -> Any:
    window = None if draw.chance(0.2) else draw.integer(1, 14)
    return MistralForCausalLM(MistralConfig(**_llama_like(draw, n_layers), sliding_window=window))


def _qwen2(draw: Draw, n_layers: int) -> Any:
    options: dict[str, Any] = {"use_sliding_window": draw.chance(0.7), "sliding_window": draw.integer(1, 14)}
    if draw.chance(0.5):
        options["max_window_layers"] = draw.integer(0, n_layers)
    elif options["use_sliding_window"]:
        kinds = ("full_attention", "sliding_attention")
        options["layer_types"] = [draw.one_of(kinds) for _ in range(n_layers)]
    return Qwen2ForCausalLM(Qwen2Config(**_llama_like(draw, n_layers), **options))


def _llama_like(draw: Draw, n_layers: int) -> dict[str, Any]:
    n_kv_heads, group, d_head = draw.integer(1, 3), draw.integer(1, 3), draw.one_of((4, 6, 8))
    n_heads = n_kv_heads * group
    longest = draw.integer(4, 32)
    return {
        **_tokens(draw),
        "hidden_size": n_heads * draw.integer(max(1, -(-4 // n_heads)), 8),
        "head_dim": d_head,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "intermediate_size": draw.integer(4, 40),
        "max_position_embeddings": longest,
        "hidden_act": draw.one_of(("silu", "gelu", "relu", "gelu_pytorch_tanh")),
        "rms_norm_eps": draw.one_of((1e-6, 1e-5, 1e-3)),
        "tie_word_embeddings": draw.chance(0.5),
        "rope_parameters": draw_rope(draw, longest, d_head),
    }


def _neox(draw: Draw, n_layers: int) -> Any:
    n_heads, d_head = draw.integer(1, 4), draw.one_of((4, 5, 7, 8))
    rotary = draw.one_of([size for size in (2, 4, 6, 8) if size <= d_head])
    longest = draw.integer(4, 32)
    config = GPTNeoXConfig(
        **_tokens(draw),
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        hidden_size=n_heads * d_head,
        intermediate_size=draw.integer(4, 40),
        max_position_embeddings=longest,
        hidden_act=draw.one_of(("gelu", "gelu_new", "relu", "silu")),
        layer_norm_eps=draw.one_of((1e-5, 1e-3)),
        use_parallel_residual=draw.chance(0.6),
        attention_bias=draw.chance(0.7),
        tie_word_embeddings=draw.chance(0.3),
        # A little more, since the share is cut down to a whole number.
        rope_parameters=draw_rope(draw, longest, rotary)
        | {"partial_rotary_factor": min(1.0, (rotary + 0.01) / d_head)},
    )
    return GPTNeoXForCausalLM(config)


MAKERS: dict[str, Callable[[Draw, int], Any]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "gpt_neox": _neox,
}
MODEL_TYPES = (*MAKERS, *LISTED)
"""All that are read."""
