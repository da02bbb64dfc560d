"""The lists of fields are true: a field that is used changes the logits of transformers' model, the others do not.

transformers alone is asked here, of every model type whose fields are listed, whether or not a family reads it yet.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedConfig

from tiny_models import SIZES, tiny_config, tiny_model
from vitro.models.families import FAMILY_OF
from vitro.models.fields import ONLY, REFUSED, UNREAD, USED, WITHOUT_EFFECT

PROMPT = torch.tensor([[0, 5, 9, 3, 7, 8, 11, 12, 13, 30, 2]])
CLASSES = {
    "attn_config": "MptAttentionConfig",
    "text_config": "Gemma3TextConfig",
    "vision_config": "SiglipVisionConfig",
}

# What belongs to the class of a configuration, not to a model's own; or is made from fields by transformers.
OF_THE_CLASS = set(dir(PreTrainedConfig)) - set(PreTrainedConfig.__dataclass_fields__) | {
    name for name, field in PreTrainedConfig.__dataclass_fields__.items() if "ClassVar" in str(field.type)
}
LEGACY_ROPE = {"rope_theta", "partial_rotary_factor", "rope_scaling"}
"""Read when a configuration is made, and then part of rope_parameters."""


def unused(model_type: str) -> frozenset[str]:
    return (WITHOUT_EFFECT | UNREAD.get(model_type, frozenset())) - USED[model_type]


def own_fields(config: PreTrainedConfig) -> set[str]:
    return set(type(config).__dataclass_fields__) - OF_THE_CLASS


def named(model_type: str) -> set[str]:
    """Every field of a type's class, those of configurations within it with a dot, by the class's own names."""
    config = tiny_config(model_type)
    within = {
        f"{name}.{field}"
        for name in type(config).sub_configs
        if name == "attn_config"
        for field in own_fields(getattr(config, name)) - own_fields(PreTrainedConfig())
    }
    return own_fields(config) | within


def test_every_model_type_of_every_family_has_its_fields() -> None:
    # The text of a model that also sees is read by another type; of the whole, fields are looked at.
    assert set(USED) - {"gemma3"} == set(FAMILY_OF)
    assert set(USED) == set(SIZES) >= REFUSED.keys() | UNREAD.keys()


@pytest.mark.parametrize("model_type", USED)
def test_every_field_is_used_or_without_effect_or_refused(model_type: str) -> None:
    lists = (USED[model_type], unused(model_type), REFUSED.get(model_type, {}).keys() | ONLY.keys() - USED[model_type])
    for field in named(model_type):
        assert sum(field in fields for fields in lists) == 1, field
    own = named(model_type) | {"head_dim", "attention_layers"}
    listed = USED[model_type] | UNREAD.get(model_type, frozenset()) | REFUSED.get(model_type, {}).keys()
    for field in listed:
        assert field in own or field.startswith(("rope_parameters.", "text_config.")), field


@pytest.mark.parametrize("model_type", USED)
def test_no_field_that_transformers_reads_is_unknown(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[tuple[str, str]] = set()
    plain = PreTrainedConfig.__getattribute__

    def noting(config: PreTrainedConfig, name: str) -> Any:
        read.add((plain(config, "__class__").__name__, name))
        return plain(config, name)

    config = tiny_config(model_type)
    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedConfig, "__getattribute__", noting)
        with torch.no_grad():
            tiny_model(config)(PROMPT)
    known: dict[str, frozenset[str]] = {type(config).__name__: known_names(model_type, config)}
    if "text_config" in USED[model_type]:
        known["Gemma3TextConfig"] = known_names("gemma3_text", config.text_config)
    if "attn_config" in USED[model_type]:
        dotted = known_names(model_type, config)
        known["MptAttentionConfig"] = dotted | {name.removeprefix("attn_config.") for name in dotted}
    assert (type(config).__name__, "is_causal") in read or model_type == "gemma3"
    for kind, name in read:
        if kind in known and not name.startswith("_") and name not in OF_THE_CLASS | LEGACY_ROPE:
            assert name in known[kind], (kind, name)


def known_names(model_type: str, config: PreTrainedConfig) -> frozenset[str]:
    listed = USED[model_type] | unused(model_type) | REFUSED.get(model_type, {}).keys() | ONLY.keys()
    aliases = {alias for alias, field in config.attribute_map.items() if field in listed or alias in listed}
    methods = {name for name in dir(type(config)) if name not in type(config).__dataclass_fields__}
    return listed | aliases | set(config.attribute_map.values()) | methods


def rope(**fields: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, **fields}


def ropes(sliding: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    return {"rope_parameters": {"sliding_attention": dict(sliding), "full_attention": dict(full)}}


SLIDING, FULL = "sliding_attention", "full_attention"
# Where original_max_position_embeddings is not given, it is max_position_embeddings.
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
LONG = {"rope_parameters": {**rope(rope_type="longrope", short_factor=[1.0] * 4, long_factor=[2.0, 3.0, 4.0, 5.0])}}
TRIED: dict[str, Any] = {
    **{
        "vocab_size": 44,
        "hidden_size": 48,
        "intermediate_size": 20,
        "num_attention_heads": 2,
        "num_key_value_heads": 4,
    },
    **{"head_dim": 12, "tie_word_embeddings": False, "rope_parameters": rope(rope_theta=100.0)},
    **{"n_positions": 10, "n_embd": 48, "n_layer": 1, "n_head": 8, "n_inner": 20, "d_model": 48, "n_layers": 1},
    **{
        "n_heads": 2,
        "max_seq_len": 10,
        "num_heads": 2,
        "ffn_dim": 20,
        "ffn_hidden_size": 20,
        "word_embed_proj_dim": 16,
    },
    **dict.fromkeys(["hidden_act", "hidden_activation", "activation_function", "activation"], "sigmoid"),
    **dict.fromkeys(["layer_norm_epsilon", "rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps"], 0.3),
    **dict.fromkeys(["mlp_bias", "use_qkv_bias", "qk_layernorm", "use_qk_norm", "bias", "alibi"], True),
    **dict.fromkeys(["norm_topk_prob", "scale_attn_by_inverse_layer_idx", "new_decoder_architecture"], True),
    **dict.fromkeys(["scale_attn_weights", "enable_bias", "layer_norm_elementwise_affine", "qkv_bias"], False),
    **dict.fromkeys(["multi_query", "parallel_attn", "use_sliding_window"], False),
    **{"attention_out_bias": True, "sliding_window": 2, "window_size": 2, "layer_types": [FULL, SLIDING]},
    **{"query_pre_attn_scalar": 4, "final_logit_softcapping": 0.5, "attn_logit_softcapping": 0.5, "clip_qkv": 0.1},
    **dict.fromkeys(["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"], 0.5),
    **{"logit_scale": 0.5, "swiglu_alpha": 0.5, "swiglu_limit": 0.1, "rotary_dim": 8},
    **{"num_experts": 5, "num_local_experts": 5, "num_experts_per_tok": 1, "moe_intermediate_size": 20},
    **{"shared_expert_intermediate_size": 12, "decoder_sparse_step": 2, "mlp_only_layers": [0]},
    **{"attention_types": [[["local", "global"], 1]], "attention_layers": ["global", "global"]},
    **{"no_rope_layers": [0, 1], "attn_config": {"softmax_scale": 0.1}},
}
"""Field -> another value than that of the smallest configuration."""
Pair = tuple[dict[str, Any], dict[str, Any]]
PAIRS: dict[str, Pair] = {
    "num_hidden_layers": ({}, {"num_hidden_layers": 1, "layer_types": [SLIDING]}),
    "num_layers": ({}, {"num_layers": 1, "attention_types": [[["global"], 1]]}),
    "max_position_embeddings": ({"rope_parameters": YARN}, {"rope_parameters": YARN, "max_position_embeddings": 4096}),
    "max_window_layers": ({"layer_types": None, "max_window_layers": 0}, {"layer_types": None, "max_window_layers": 2}),
    "attention_bias": ({"attention_bias": False}, {"attention_bias": True}),
    "use_bias": ({"use_bias": False}, {"use_bias": True}),
    "use_parallel_residual": ({"use_parallel_residual": False}, {"use_parallel_residual": True}),
    "num_kv_heads": tuple({"new_decoder_architecture": True, "num_kv_heads": n} for n in (2, 4)),  # type: ignore[dict-item]
    "num_ln_in_parallel_attn": tuple(  # type: ignore[dict-item]
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": n} for n in (1, 2)
    ),
    "rope_parameters.partial_rotary_factor": (
        {"rope_parameters": rope(partial_rotary_factor=0.5)},
        {"rope_parameters": rope(partial_rotary_factor=1.0)},
    ),
    "rope_parameters.full_attention": (ropes(rope(), rope()), ropes(rope(), rope(rope_theta=10.0))),
    "rope_parameters.sliding_attention": (ropes(rope(), rope()), ropes(rope(rope_theta=10.0), rope())),
    "rope_parameters.alpha": tuple(  # type: ignore[dict-item]
        {"rope_parameters": rope(rope_type="dynamic", factor=1.0, alpha=alpha)} for alpha in (2.0, 50.0)
    ),
    "rope_parameters.llama_4_scaling_beta": tuple(  # type: ignore[dict-item]
        {"rope_parameters": rope(llama_4_scaling_beta=beta, original_max_position_embeddings=4)} for beta in (0.1, 2.0)
    ),
    "sliding_window_pattern": tuple({"layer_types": None, "sliding_window_pattern": n} for n in (1, 2)),  # type: ignore[dict-item]
    "no_rope_layer_interval": tuple({"no_rope_layer_interval": n} for n in (2, 3)),  # type: ignore[dict-item]
    "attn_config.clip_qkv": ({}, {"attn_config": {"clip_qkv": 0.1}}),
    "attn_config.softmax_scale": ({}, {"attn_config": {"softmax_scale": 0.1}}),
    "original_max_position_embeddings": (LONG, {**LONG, "original_max_position_embeddings": 4}),
}
"""Field -> fields of two configurations that differ in it, where one of them needs others beside it."""
OF_A_TYPE: dict[tuple[str, str], Pair] = {
    **{(kind, "rope_parameters"): PAIRS["rope_parameters.full_attention"] for kind in ("gemma3_text", "olmo3")},
    **{
        (kind, "max_position_embeddings"): (
            ropes(YARN, YARN),
            {**ropes(YARN, YARN), "max_position_embeddings": 4096},
        )
        for kind in ("gemma3_text", "olmo3")
    },
    **{
        (kind, "intermediate_size"): tuple(  # type: ignore[misc]
            {"mlp_only_layers": [0], "intermediate_size": size} for size in (20, 48)
        )
        for kind in ("qwen2_moe", "qwen3_moe")
    },
    **{(kind, "attention_bias"): ({}, {"attention_bias": False}) for kind in ("glm", "glm4", "gpt_oss")},
    ("phi3", "max_position_embeddings"): (LONG, {**LONG, "max_position_embeddings": 64}),
    ("ministral3", "max_position_embeddings"): tuple(  # type: ignore[dict-item]
        {"rope_parameters": {**YARN, "llama_4_scaling_beta": 0.1}, "max_position_embeddings": n} for n in (32, 4096)
    ),
    ("ministral3", "rope_parameters"): PAIRS["rope_parameters.llama_4_scaling_beta"],
    ("opt", "max_position_embeddings"): ({}, {"max_position_embeddings": 16}),
    ("gpt_neo", "max_position_embeddings"): ({}, {"max_position_embeddings": 16}),
    ("gpt_neox", "head_dim"): ({}, {"head_dim": 16}),
    # By their own share, a quarter, they turn one pair of these heads, by an angle that is that of every base.
    **{
        (kind, "rope_parameters"): tuple(  # type: ignore[misc]
            {"rope_parameters": rope(rope_theta=theta, partial_rotary_factor=0.5)} for theta in (1e4, 100.0)
        )
        for kind in ("gpt_neox", "stablelm")
    },
    **{
        (kind, "max_position_embeddings"): tuple(  # type: ignore[misc]
            {"rope_parameters": YARN | {"partial_rotary_factor": 1.0}, "max_position_embeddings": n} for n in (32, 4096)
        )
        for kind in ("gpt_neox", "stablelm")
    },
    ("smollm3", "use_sliding_window"): tuple(  # type: ignore[dict-item]
        {"use_sliding_window": slides, "layer_types": None, "no_rope_layers": [0, 1]} for slides in (True, False)
    ),
    **{
        (kind, "use_sliding_window"): tuple(  # type: ignore[misc]
            {"use_sliding_window": slides, "layer_types": None, "max_window_layers": 1} for slides in (True, False)
        )
        for kind in ("qwen2", "qwen3", "qwen2_moe")
    },
    ("gemma3", "text_config"): ({}, {"text_config": SIZES["gemma3_text"] | {"query_pre_attn_scalar": 4}}),
}


def pair(model_type: str, field: str) -> Pair:
    """The fields of two configurations of a type that differ in one field."""
    return OF_A_TYPE.get((model_type, field)) or PAIRS.get(field) or ({}, {field: TRIED[field]})


def shapes(config: Any) -> dict[str, torch.Size]:
    """Name -> shape of every weight of the model that a configuration describes."""
    with torch.device("meta"):
        hf = transformers.AutoModelForCausalLM.from_config(config)
    return {name: weight.shape for name, weight in hf.named_parameters()}


def logits(config: Any) -> Tensor | str:
    """Those of the prompt; or the error, in a word, where the prompt is too long for the model."""
    with torch.no_grad():
        try:
            answer: Tensor = tiny_model(config)(PROMPT).logits
        except (RuntimeError, IndexError) as error:
            return type(error).__name__
    return answer


@pytest.mark.parametrize("model_type", USED)
def test_every_used_field_changes_the_model(model_type: str) -> None:
    assert not [field for field in sorted(USED[model_type]) if not differ(*pair(model_type, field), model_type)]


def differ(one: dict[str, Any], other: dict[str, Any], model_type: str) -> bool:
    """Whether models with these fields have other weights, or other logits."""
    before, after = tiny_config(model_type, **one), tiny_config(model_type, **other)
    if shapes(before) != shapes(after):
        return True
    was, now = logits(before), logits(after)
    assert isinstance(was, Tensor), was
    return isinstance(now, str) or bool((was - now).abs().max() > 1e-4)


ODD: dict[str, Any] = {
    **dict.fromkeys(["attention_dropout", "hidden_dropout", "classifier_dropout", "attn_pdrop", "embd_pdrop"], 0.9),
    **dict.fromkeys(["emb_pdrop", "resid_pdrop", "resid_dropout", "residual_dropout", "embed_dropout"], 0.9),
    **dict.fromkeys(["embedding_dropout", "dropout", "layerdrop", "summary_first_dropout"], 0.9),
    **{"router_jitter_noise": 0.9, "initializer_range": 0.5, "init_std": 0.5, "chunk_size_feed_forward": 2},
    **{"pretraining_tp": 4, "use_cache": False, "output_hidden_states": True, "output_router_logits": True},
    **{"router_aux_loss_coef": 0.5, "pad_token_id": 3, "bos_token_id": 5, "eos_token_id": 6, "is_decoder": True},
    **{"id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 0, "b": 1, "c": 2}, "problem_type": "regression"},
    **{"summary_type": "mean", "summary_use_proj": False, "summary_activation": "tanh"},
    **{"summary_proj_to_labels": False, "reorder_and_upcast_attn": True, "n_ctx": 7, "learned_pos_emb": False},
    **{"init_device": "meta", "attn_config.attn_impl": "flash", "attn_config.attn_pdrop": 1, "hidden_act": "relu"},
    **{"attention_softmax_in_fp32": False, "scale_attention_softmax_in_fp32": False, "eod_token_id": 7},
    **{"mm_tokens_per_image": 1, "image_token_index": 45, "boi_token_index": 46, "eoi_token_index": 47},
    **{"vision_config": SIZES["gemma3"]["vision_config"] | {"num_hidden_layers": 2}},
    **{"architectures": ["Other"], "transformers_version": "4.0.0"},
}
NOT_TRIED = {"dtype", "return_dict"}
"""Set by who reads a model: the format of its numbers, and of the answer."""


@pytest.mark.parametrize("model_type", USED)
def test_fields_without_effect_change_no_logit(model_type: str) -> None:
    plain = logits(tiny_config(model_type))
    odd = {field: ODD[field] for field in named(model_type) & unused(model_type) - NOT_TRIED}
    within = {field.partition(".")[2]: odd.pop(field) for field in sorted(odd) if "." in field}
    changed = tiny_config(model_type, **odd, **({"attn_config": within} if within else {}))
    assert len(odd) > 5
    assert isinstance(plain, Tensor)
    assert torch.equal(plain, torch.as_tensor(logits(changed)))
