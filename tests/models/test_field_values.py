"""A configuration that no model has, or that Vitro does not compute, is refused in one line by the field's name."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tiny_models import SIZES, tiny_config, tiny_model
from vitro.models import ModelError
from vitro.models.fields import REFUSED, USED, check_fields, check_only
from vitro.models.fields.layers import check_repeats
from vitro.models.fields.rope import KINDS

NAN = float("nan")
SLIDING, FULL = "sliding_attention", "full_attention"
PROMPT = torch.tensor([[0, 5, 9, 3, 7]])


def rope(**fields: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, **fields}


@pytest.mark.parametrize("model_type", SIZES)
def test_a_sound_configuration_is_read(model_type: str) -> None:
    check_fields("small", tiny_config(model_type))


SCALING = {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
FOUND: list[tuple[str, dict[str, Any]]] = [
    *((model_type, {}) for model_type in USED),
    ("gemma", {"hidden_act": "gelu", "hidden_activation": None}),
    ("falcon", {"hidden_size": 2048, "num_attention_heads": 32, "alibi": True, "multi_query": False}),
    ("falcon", {"new_decoder_architecture": True, "num_attention_heads": 128, "num_kv_heads": 8, "hidden_size": 8192}),
    ("exaone4", {"sliding_window_pattern": "LLLG", "layer_types": [SLIDING, FULL] * 16, "rope_scaling": SCALING}),
    ("gemma3_text", {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_local_base_freq": 1e4}),
    ("phi3", {"rope_scaling": {"type": "longrope", "long_factor": [1.0] * 48, "short_factor": [1.0] * 48}}),
    ("qwen2_moe", {"use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 21}),
    ("smollm3", {"use_sliding_window": False, "sliding_window": None, "rope_scaling": None, "rope_theta": 5e6}),
    ("cohere2", {"sliding_window_pattern": 4, "rotary_pct": 1.0, "head_dim": 128}),
    ("bloom", {"n_embed": 1024, "n_head": 16, "pretraining_tp": 4, "masked_softmax_fusion": True}),
    (
        "gpt_neo",
        {"num_layers": 2, "attention_layers": ["global", "local"], "attention_types": [[["global", "local"], 1]]},
    ),
]
"""What files of released models hold, and what transformers takes where they hold nothing."""


@pytest.mark.parametrize(("model_type", "fields"), FOUND, ids=str)
def test_what_files_of_released_models_hold_is_read(model_type: str, fields: dict[str, Any]) -> None:
    check_fields("released", AutoConfig.for_model(model_type, **deepcopy(fields)))


ASKED = {
    **{"expansion_ratio": 2, "embedding_fraction": 0.5, "logit_scale": 0.5, "norm_type": "rmsnorm"},
    **{"attn_config.attn_type": "multiquery_attention", "attn_config.alibi_bias_max": 4},
    **{"attn_logit_softcapping": 50.0, "text_config.final_logit_softcapping": 30.0},
}


@pytest.mark.parametrize(("model_type", "field"), [(kind, field) for kind, some in REFUSED.items() for field in some])
def test_a_field_that_is_not_followed_is_refused_with_what_works(model_type: str, field: str) -> None:
    config, allowed = tiny_config(model_type), REFUSED[model_type][field]
    flag = isinstance(allowed[-1], bool)
    value: Any = not allowed[-1] if flag else ASKED[field]
    *within, last = field.split(".")
    setattr(getattr(config, within[0]) if within else config, last, value)
    with pytest.raises(ModelError, match=f"sets {field} to {value}; Vitro reads models where it is {allowed[0]}"):
        check_fields("small", config)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar to 0; Vitro reads numbers above 0 there$"),
    (
        "gemma2",
        {"final_logit_softcapping": NAN},
        "final_logit_softcapping to nan; Vitro reads numbers above 0",
    ),
    (
        "gemma2",
        {"attn_logit_softcapping": -1.0},
        "attn_logit_softcapping to -1.0; Vitro reads numbers above 0",
    ),
    ("gemma2", {"sliding_window": -2}, "sliding_window to -2; Vitro reads windows of 1"),
    ("gemma2", {"sliding_window": None}, r"layer_types \(sliding_window None\) to sliding_attention; Vitro reads full"),
    ("granite", {"embedding_multiplier": NAN}, "embedding_multiplier to nan; Vitro reads numbers above 0"),
    ("granite", {"logits_scaling": 0.0}, "logits_scaling to 0.0; Vitro reads numbers above 0"),
    ("cohere", {"logit_scale": -1.0}, "logit_scale to -1.0; Vitro reads numbers above 0"),
    (
        "cohere",
        {"num_key_value_heads": 3},
        r"num_key_value_heads to 3; Vitro reads divisors of",
    ),
    ("olmo", {"clip_qkv": 0.0}, "clip_qkv to 0.0; Vitro reads numbers above 0 there, or none"),
    ("mpt", {"attn_config": {"clip_qkv": -1.0}}, "attn_config.clip_qkv to -1.0; Vitro reads numbers above 0"),
    ("mpt", {"attn_config": {"softmax_scale": 0.0}}, "attn_config.softmax_scale to 0.0; Vitro reads numbers above 0"),
    ("mpt", {"n_heads": 5}, r"n_heads to 5; Vitro reads divisors of d_model \(32\) there"),
    ("mpt", {"max_seq_len": 0}, "max_seq_len to 0; Vitro reads whole numbers from 1"),
    ("bloom", {"n_layer": -1}, "n_layer to -1; Vitro reads whole numbers from 1"),
    ("starcoder2", {"norm_epsilon": -1.0}, "norm_epsilon to -1.0; Vitro reads numbers from 0 up"),
    ("nemotron", {"norm_eps": NAN}, "norm_eps to nan; Vitro reads numbers from 0 up"),
    ("falcon", {"activation": "swoosh"}, "activation to swoosh; Vitro reads gelu"),
    ("gemma2", {"hidden_activation": "swoosh"}, "hidden_activation to swoosh; Vitro reads gelu"),
    ("falcon", {"new_decoder_architecture": True, "parallel_attn": False}, "parallel_attn to False; Vitro reads True"),
    ("falcon", {"num_ln_in_parallel_attn": 2}, "num_ln_in_parallel_attn to 2; Vitro reads 1 there"),
    ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 3}, "num_kv_heads to 3; Vitro reads num_attention"),
    ("falcon", {"multi_query": False, "num_kv_heads": 2}, "num_kv_heads to 2; Vitro reads num_attention_heads there"),
    ("opt", {"word_embed_proj_dim": 16}, "word_embed_proj_dim to 16; Vitro reads models where it is hidden_size"),
    ("gptj", {"rotary_dim": 3}, "rotary_dim to 3; Vitro reads even numbers from 2"),
    ("gptj", {"rotary_dim": 0}, "rotary_dim to 0; Vitro reads even numbers from 2"),
    ("codegen", {"rotary_dim": 10}, "rotary_dim to 10; Vitro reads even numbers from 2"),
    ("codegen", {"n_head": 2, "rotary_dim": 4}, "n_head to 2; Vitro reads multiples of 4"),
    ("helium", {"head_dim": 12}, "head_dim to 12; Vitro reads hidden_size / num_attention_heads"),
    ("olmoe", {"head_dim": 12}, "head_dim to 12; Vitro reads hidden_size / num_attention_heads"),
    ("stablelm", {"head_dim": 12}, "head_dim to 12; Vitro reads hidden_size / num_attention_heads"),
    ("phi", {"head_dim": 12, "qk_layernorm": True}, "head_dim to 12; Vitro reads hidden_size / num_attention_heads"),
    (
        "phi",
        {"rope_parameters": rope(partial_rotary_factor=0.4)},
        "rope_parameters.partial_rotary_factor to 0.4; Vitro reads an even",
    ),
    ("gpt_neox", {"head_dim": 64}, "head_dim to 64; Vitro reads widths whose rotated part"),
    ("mixtral", {"num_experts_per_tok": 5}, "num_experts_per_tok to 5; Vitro reads numbers up to that of the experts"),
    ("qwen3_moe", {"num_experts_per_tok": 0}, "num_experts_per_tok to 0; Vitro reads whole numbers from 1"),
    ("qwen3_moe", {"num_experts": 0}, "num_experts to 0; Vitro reads whole numbers from 1"),
    ("qwen2_moe", {"use_sliding_window": False}, "sliding_window to 0; Vitro reads windows of 1"),
    ("gpt_oss", {"swiglu_limit": -7.0}, "swiglu_limit to -7.0; Vitro reads numbers above 0"),
    ("smollm3", {"no_rope_layers": [1]}, r"no_rope_layers to \[1\]; Vitro reads lists of 2 there"),
    ("smollm3", {"no_rope_layers": [1, 2]}, "no_rope_layers to 2; Vitro reads 0 and 1"),
    (
        "gpt_neo",
        {"attention_layers": ["global", "strided"]},
        "attention_layers to strided; Vitro reads global",
    ),
    ("gpt_neo", {"window_size": 0}, "window_size to 0; Vitro reads whole numbers from 1"),
    ("cohere2", {"layer_types": ["chunked_attention", FULL]}, r"layer_types \(sliding_window 3\) to chunked_"),
    ("gemma3", {"text_config": SIZES["gemma3_text"] | {"rms_norm_eps": NAN}}, "rms_norm_eps to nan; Vitro reads"),
    (
        "gemma3_text",
        {"rope_parameters": {SLIDING: rope(), FULL: rope(rope_theta=-1.0)}},
        "rope_theta to -1.0; Vitro reads numbers above 0",
    ),
    (
        "mistral",
        {"rope_parameters": {"full_attention": rope()}},
        "rope_parameters.full_attention to .*; Vitro reads mistral models with one rope for all layers",
    ),
    (
        "ministral3",
        {"rope_parameters": rope(original_max_position_embeddings=4)},
        "rope_parameters.llama_4_scaling_beta to None; Vitro reads numbers from 0 up there",
    ),
]


@pytest.mark.parametrize(("model_type", "fields", "message"), WRONG, ids=str)
def test_a_value_that_no_model_has_is_refused(model_type: str, fields: dict[str, Any], message: str) -> None:
    config = tiny_config(model_type, **fields)
    with pytest.raises(ModelError, match=f"model 'small': its configuration sets (a layer's |){message}") as error:
        check_fields("small", config)
    assert "\n" not in str(error.value)


CRASHING = [case for case in WRONG if case[0] in ("falcon", "codegen", "helium", "phi", "stablelm", "olmoe")]


@pytest.mark.parametrize(("model_type", "fields"), [(kind, fields) for kind, fields, _ in CRASHING[1:]], ids=str)
def test_what_is_refused_because_fields_disagree_transformers_cannot_run(model_type: str, fields: Any) -> None:
    with pytest.raises((RuntimeError, AttributeError, UnboundLocalError, IndexError, TypeError, ValueError)):
        tiny_model(tiny_config(model_type, **fields))(PROMPT)


def test_layer_types_of_another_length_are_refused() -> None:
    for model_type in (kind for kind, used in USED.items() if "layer_types" in used):
        config = tiny_config(model_type)
        config.layer_types = [FULL] * 3
        with pytest.raises(
            ModelError, match=r"sets layer_types to .*; Vitro reads lists of 2 there, one for each layer"
        ):
            check_fields("small", config)


@pytest.mark.parametrize("repeats", [[[["global", "local"], 10**12]], [["global", 1]], 7, [[["global"], "2"]]])
def test_kinds_that_are_repeated_too_often_are_not_written_out(repeats: Any) -> None:
    said = {"model_type": "gpt_neo", "num_layers": 2, "attention_types": repeats}
    with pytest.raises(
        ModelError, match=r"sets attention_types to .*; Vitro reads kinds and repeats there that make 2"
    ):
        check_only("small", said)
    with pytest.raises(ModelError, match="that make 24"):
        check_only("small", {"model_type": "gpt_neo", "attention_types": repeats})
    check_repeats("small", {**said, "attention_types": [[["global", "local"], 1]]})


def test_every_kind_of_rope_is_known() -> None:
    assert set(KINDS) == {"default", *ROPE_INIT_FUNCTIONS}


def test_a_rope_parameter_that_its_kind_does_not_read_may_be_anything() -> None:
    yarn = rope(rope_type="yarn", factor=2.0, original_max_position_embeddings=16, mscale=1.0, mscale_all_dim=0.0)
    check_fields("small", tiny_config("arcee", rope_parameters=yarn))
