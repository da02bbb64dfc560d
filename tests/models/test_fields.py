"""Every field of a configuration that transformers reads is used, is without effect, or is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedConfig

from planted import plant
from small_models import KINDS, hf_model
from vitro.engine import sweep
from vitro.models import ModelError, load
from vitro.models.fields import ONLY, USED, WITHOUT_EFFECT, check_fields
from vitro.models.load import family_of

PROMPTS = [[0, 5, 9, 3, 7, 8, 11, 12, 13, 40, 2], [0, 6, 2]]

# What belongs to the class of a configuration, not to a model's own; or is made from fields by transformers.
OF_THE_CLASS = set(dir(PreTrainedConfig)) - set(PreTrainedConfig.__dataclass_fields__) | {
    name for name, field in PreTrainedConfig.__dataclass_fields__.items() if "ClassVar" in str(field.type)
}
LEGACY_ROPE = {"rope_theta", "partial_rotary_factor", "rope_scaling"}
"""Read when a configuration is made, and then part of rope_parameters."""


def known(model_type: str) -> frozenset[str]:
    aliases = KINDS[model_type]().config.attribute_map
    named = USED[model_type] | WITHOUT_EFFECT | ONLY.keys()
    return named | {alias for alias, field in aliases.items() if field in named}


@pytest.mark.parametrize("model_type", KINDS)
def test_no_field_that_transformers_reads_while_loading_is_unknown(
    model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf_model(model_type).save_pretrained(tmp_path)
    read: set[str] = set()
    plain = PreTrainedConfig.__getattribute__

    def noting(config: PreTrainedConfig, name: str) -> Any:
        read.add(name)
        return plain(config, name)

    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedConfig, "__getattribute__", noting)
        hf = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
        with torch.no_grad():
            hf(torch.tensor(PROMPTS[:1]))
    asked = {name for name in read if not name.startswith("_")} - OF_THE_CLASS - LEGACY_ROPE - dir_of(hf.config)
    assert "is_causal" in asked
    assert asked <= known(model_type), asked - known(model_type)


def dir_of(config: Any) -> set[str]:
    """Methods and class attributes of a configuration's own class."""
    return {name for name in dir(type(config)) if name not in type(config).__dataclass_fields__}


def logits(hf: Any, prompts: list[list[int]]) -> list[Tensor]:
    with torch.no_grad():
        return [hf(torch.tensor([prompt])).logits[0, -1] for prompt in prompts]


def assert_same(hf: Any) -> None:
    check_fields("small", hf.config)
    model = family_of(hf.config.model_type).of(hf, tokenizer=None)
    results = sweep(model, PROMPTS, [()], lambda finals: {"logits": finals.logits})["logits"][0]
    for result, reference in zip(results, logits(hf, PROMPTS), strict=True):
        torch.testing.assert_close(result, reference, atol=1e-4, rtol=0)


def rope(rope_type: str, **more: Any) -> dict[str, Any]:
    return {"rope_type": rope_type, "rope_theta": 1000.0, **more}


ROPES = [
    rope("linear", factor=3.0),
    rope("yarn", factor=4.0, original_max_position_embeddings=8),
    rope("yarn", factor=4.0, original_max_position_embeddings=8, attention_factor=0.7, truncate=False),
    rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8),
]
LLAMA: list[dict[str, Any]] = [
    {"vocab_size": 44, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 1, "hidden_act": "gelu"},
    {"num_attention_heads": 4, "num_key_value_heads": 1, "max_position_embeddings": 12, "tie_word_embeddings": True},
    {"rms_norm_eps": 0.3, "head_dim": 10},
    *({"rope_parameters": parameters} for parameters in ROPES),
]
VALUES: dict[str, list[dict[str, Any]]] = {
    "gpt2": [
        {"vocab_size": 44, "n_positions": 12, "n_embd": 24, "n_layer": 1, "n_head": 3, "n_inner": 30},
        {"activation_function": "gelu", "layer_norm_epsilon": 0.3, "tie_word_embeddings": False},
        {"scale_attn_weights": False},
        {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
        {"sliding_window": 2},
    ],
    "llama": [
        *LLAMA,
        {"attention_bias": True},
        {"mlp_bias": True},
        # Fields of other model types, left in a Llama's: Llama has neither window nor kinds of layers.
        {"sliding_window": 2},
        {"sliding_window": 2, "layer_types": ["sliding_attention"] * 3},
        {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 0},
        {"attention_chunk_size": 2, "pretraining_tp": 2, "chunk_size_feed_forward": 1, "partial_rotary_factor": 0.5},
    ],
    "mistral": [
        *LLAMA,
        {"sliding_window": None},
        {"sliding_window": 2},
        {"sliding_window": 2, "layer_types": ["full_attention"] * 3},
        {"sliding_window": None, "layer_types": ["sliding_attention"] * 3, "use_cache": False},
    ],
    "qwen2": [
        *LLAMA,
        {"use_sliding_window": False, "sliding_window": 2, "max_window_layers": 0},
        {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 2},
        {
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ],
    "gpt_neox": [
        {"vocab_size": 44, "hidden_size": 32, "intermediate_size": 36, "num_hidden_layers": 1, "hidden_act": "relu"},
        {"num_attention_heads": 2, "max_position_embeddings": 12, "tie_word_embeddings": True, "layer_norm_eps": 0.3},
        {"attention_bias": False, "use_parallel_residual": False},
        {"rope_parameters": rope("default", partial_rotary_factor=0.5)},
        {"rotary_pct": 1.0, "rotary_emb_base": 500},
        {"head_dim": 8},
        *({"rope_parameters": parameters} for parameters in ROPES),
    ],
}


@pytest.mark.parametrize(
    ("model_type", "fields"), [(kind, fields) for kind, cases in VALUES.items() for fields in cases], ids=str
)
def test_logits_are_transformers_whatever_a_used_field_says(model_type: str, fields: dict[str, Any]) -> None:
    assert_same(hf_model(model_type, **fields))


def test_every_used_field_is_tried() -> None:
    for model_type, cases in VALUES.items():
        tried = {field for fields in cases for field in fields}
        assert {field for field in USED[model_type] if "." not in field} <= tried, model_type


@pytest.mark.parametrize("model_type", KINDS)
def test_fields_without_effect_have_none(model_type: str) -> None:
    plain = logits(hf_model(model_type), PROMPTS)
    odd: dict[str, Any] = {
        **dict.fromkeys(["attention_dropout", "hidden_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop"], 0.9),
        **{"chunk_size_feed_forward": 2, "pretraining_tp": 4, "is_decoder": True, "output_hidden_states": True},
        **{"use_cache": False, "reorder_and_upcast_attn": True, "gradient_checkpointing": True, "pad_token_id": 3},
        **{"initializer_range": 0.5, "num_labels": 5, "summary_type": "mean", "attention_chunk_size": 2},
    }
    hf = hf_model(model_type, **odd)
    hf.load_state_dict(hf_model(model_type).state_dict())
    assert set(odd) <= WITHOUT_EFFECT
    torch.testing.assert_close(logits(hf, PROMPTS), plain)
    assert_same(hf)


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation", "experts_implementation"])
def test_a_kernel_that_a_configuration_names_is_neither_needed_nor_fetched(tmp_path: Path, field: str) -> None:
    path = plant(tmp_path / "model") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: "someone/a-kernel"}))
    assert load(str(path.parent)).hf.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("is_causal", False),
        ("is_causal", None),
        ("is_encoder_decoder", True),
        ("add_cross_attention", True),
        ("per_layer_config", {"1": {"layer_norm_epsilon": 0.1}}),
        ("fusion_config", {"mlp": True}),
        ("kv_sharing_modes", ["reuse"]),
        ("text_config", {"n_layer": 3}),
        ("decoder", {"n_layer": 3}),
        ("generator", {"n_layer": 3}),
        ("transformers_weights", "other.safetensors"),
    ],
)
def test_a_field_that_is_not_followed_is_refused_with_what_was_found(tmp_path: Path, field: str, value: Any) -> None:
    path = plant(tmp_path / "model") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ModelError) as error:
        load(str(path.parent))
    assert f"its configuration sets {field} to {str(value)[:60]}; Vitro reads" in str(error.value)


@pytest.mark.parametrize(
    ("model_type", "fields", "message"),
    [
        ("mistral", {"sliding_window": 0}, "sliding_window to 0; Vitro reads windows of 1"),
        (
            "qwen2",
            {"layer_types": ["chunked_attention"] * 3},
            r"layer_types \(sliding_window None\) to chunked_attention; Vitro reads full_attention$",
        ),
        ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "to sliding_attention; Vitro reads full_attention$"),
        (
            "llama",
            {"rope_parameters": rope("linear", factor=2.0, partial_rotary_factor=0.5)},
            "partial_rotary_factor to 0.5; Vitro reads llama models whose heads are rotated whole",
        ),
    ],
)
def test_windows_and_rotations_that_no_model_has_are_refused(
    model_type: str, fields: dict[str, Any], message: str
) -> None:
    config = type(KINDS[model_type]().config)(num_hidden_layers=3, **fields)
    with pytest.raises(ModelError, match=message):
        check_fields("small", config)
