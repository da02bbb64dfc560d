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
from vitro.models import Model
from vitro.models.load import family_of

# Its remarks on parameters that no trained model would have.
transformers.utils.logging.set_verbosity_error()

ROPES = ("default", "linear", "yarn", "llama3", "dynamic", "longrope")


def draw_model(draw: Draw, *, max_layers: int = 4) -> Model:
    """A model of any family with every parameter drawn, large enough that attention is far from uniform."""
    hf = draw.one_of(MAKERS)(draw, draw.integer(1, max_layers)).eval().requires_grad_(False)
    scale = draw.real(0.1, 0.4)
    for name, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=draw.generator)
        norm = "norm" in name or "ln_" in name
        weight.copy_(1.0 + 0.2 * noise if norm and "weight" in name else scale * noise)
    return family_of(hf.config.model_type).of(hf, tokenizer=None)


def plain(model: Model) -> Model:
    """A copy of a model for the slow way to hook, which runs every prompt as if it were the first.

    transformers' dynamic rope remembers the longest prompt so far; a prompt's own numbers are those of a fresh model.
    """
    hf = copy.deepcopy(model.hf)
    for module in hf.modules():
        if "dynamic" in str(getattr(module, "rope_type", "")):
            module.register_forward_pre_hook(_forget)
    return family_of(hf.config.model_type).of(hf, tokenizer=None)


def ungrouped(model: Model) -> Model:
    """The same function as a model in which every head has its own keys and values, to tell a group's heads apart."""
    shape, hf = model.shape, model.hf
    if shape.n_kv_heads == shape.n_heads:
        return model
    config = copy.deepcopy(hf.config)
    config.num_key_value_heads = shape.n_heads
    wide = type(hf)(config).eval().requires_grad_(False)
    weights = hf.state_dict()
    for name, weight in weights.items():
        if "k_proj" in name or "v_proj" in name:
            heads = weight.unflatten(0, (shape.n_kv_heads, shape.d_head))
            weights[name] = heads.repeat_interleave(shape.n_heads // shape.n_kv_heads, 0).flatten(0, 1)
    wide.load_state_dict(weights)
    return type(model).of(wide, tokenizer=None)


def _forget(rotary: Any, args: Any) -> None:
    rotary.max_seq_len_cached = rotary.original_max_seq_len
    rotary.inv_freq = rotary.original_inv_freq.clone()


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
        "rope_parameters": _rope(draw, longest, d_head),
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
        rope_parameters=_rope(draw, longest, rotary) | {"partial_rotary_factor": min(1.0, (rotary + 0.01) / d_head)},
    )
    return GPTNeoXForCausalLM(config)


def _rope(draw: Draw, longest: int, rotary: int) -> dict[str, Any]:
    """Parameters of one kind of rope, of sizes that matter to prompts of a few tokens. rotary: dimensions turned."""
    kind = draw.one_of(ROPES)
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": draw.one_of((10.0, 500.0, 1e4))}
    if kind in ("linear", "yarn", "llama3", "dynamic"):
        rope["factor"] = draw.real(1.5, 8.0)
    if kind in ("yarn", "llama3", "longrope"):
        rope["original_max_position_embeddings"] = draw.integer(2, max(2, longest - 1))
    if kind == "yarn":
        rope["beta_fast"], rope["beta_slow"] = draw.real(2.0, 32.0), draw.real(0.2, 1.0)
        if draw.chance(0.5):
            rope["attention_factor"] = draw.real(0.8, 1.5)
    if kind == "llama3":
        rope["low_freq_factor"], rope["high_freq_factor"] = draw.real(0.5, 1.5), draw.real(2.0, 6.0)
    if kind == "longrope":
        rope["factor"] = draw.real(1.0, 4.0)
        for name in ("short_factor", "long_factor"):
            rope[name] = [draw.real(1.0, 4.0) for _ in range(rotary // 2)]
    # The dynamic kind's exponent is dim / (dim - 2).
    if kind == "dynamic" and rotary <= 2:
        return {"rope_type": "default", "rope_theta": rope["rope_theta"]}
    return rope


MAKERS: tuple[Callable[[Draw, int], Any], ...] = (_gpt2, _llama, _mistral, _qwen2, _neox)
