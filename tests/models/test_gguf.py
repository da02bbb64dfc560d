"""A model read from a GGUF file is the model that the file describes, or is refused with what is not carried."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gguf_files import keys_of, tensors_of, write_gguf
from small_models import hf_model
from vitro.engine import sweep
from vitro.models import ModelError, load

PROMPT = [0, 5, 9, 3, 7, 8, 11, 12, 13, 40, 2, 1, 0, 5, 9, 3, 7, 33]
ROPE = {"rope_theta": 10000.0}


def last_logits(path: Path) -> Tensor:
    logits = sweep(load(str(path)), [PROMPT], [()], lambda finals: {"logits": finals.logits})["logits"]
    return logits[0, 0]


def assert_same(path: Path, hf: Any) -> None:
    with torch.no_grad():
        expected = hf(torch.tensor([PROMPT])).logits[0, -1]
    torch.testing.assert_close(last_logits(path), expected, atol=1e-4, rtol=0)


MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "llama": ("llama", {}, {}),
    "tied, ungrouped": ("llama", {"num_key_value_heads": 6, "tie_word_embeddings": True}, {}),
    "base and epsilon": ("llama", {"rope_parameters": {"rope_theta": 500.0}, "rms_norm_eps": 0.03}, {}),
    "wide heads": (
        "llama",
        {"head_dim": 16},
        {"attention.key_length": 16, "attention.value_length": 16, "rope.dimension_count": 16},
    ),
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}, {}),
    "linear": (
        "llama",
        {"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 4.0}},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    ),
    "a factor without a type is linear": (
        "llama",
        {"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 4.0}},
        {"rope.scaling.factor": 4.0},
    ),
    "the old name of the factor": (
        "llama",
        {"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 4.0}},
        {"rope.scale_linear": 4.0},
    ),
    "a factor of the type none": ("llama", {}, {"rope.scaling.type": "none", "rope.scaling.factor": 4.0}),
    "yarn": (
        "llama",
        {
            "rope_parameters": {
                **ROPE,
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 8,
                "beta_fast": 3.0,
                "beta_slow": 0.5,
            }
        },
        {
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 8,
            "rope.scaling.yarn_beta_fast": 3.0,
            "rope.scaling.yarn_beta_slow": 0.5,
        },
    ),
    "a window as wide as the context": ("llama", {}, {"attention.sliding_window": 32}),
    "keys that change nothing": (
        "llama",
        {},
        {"attention.causal": True, "expert_count": 0, "attention.scale": 8**-0.5, "rope.scaling.finetuned": False},
    ),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}, {}),
    "qwen2, linear": (
        "qwen2",
        {"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 4.0}},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
    ),
    "gpt2": ("gpt2", {}, {}),
    "gpt2, narrow": ("gpt2", {"n_inner": 40, "tie_word_embeddings": False, "layer_norm_epsilon": 0.02}, {}),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_gguf_file_gives_the_model_that_it_describes(tmp_path: Path, case: str) -> None:
    name, options, keys = MODELS[case]
    hf = hf_model(name, **options)
    architecture = hf.config.model_type
    path = write_gguf(tmp_path / "m.gguf", architecture, keys_of(hf.config) | keys, tensors_of(hf))
    assert_same(path, hf)


def test_rope_freqs_divide_the_frequencies_as_llama_3_scales_them(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    hf = hf_model("llama", rope_parameters={**ROPE, **rope, "original_max_position_embeddings": 16}, head_dim=16)
    plain = hf_model("llama", head_dim=16)
    freqs = plain.model.rotary_emb.inv_freq / hf.model.rotary_emb.inv_freq
    assert freqs.max() > 2.0
    keys = keys_of(hf.config) | {"attention.key_length": 16, "attention.value_length": 16}
    assert_same(write_gguf(tmp_path / "m.gguf", "llama", keys, tensors_of(hf) | {"rope_freqs.weight": freqs}), hf)


def test_a_gguf_llama_has_the_biases_that_it_has(tmp_path: Path) -> None:
    hf = hf_model("llama", attention_bias=True)
    for block in hf.model.layers:
        block.self_attn.o_proj.bias.zero_()
    tensors = {name: tensor for name, tensor in tensors_of(hf).items() if not name.endswith("attn_output.bias")}
    assert_same(write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors), hf)


REFUSED_KEYS: dict[str, Any] = {
    "attention.sliding_window": 5,
    "attention.causal": False,
    "attention.scale": 0.5,
    "attention.value_length": 4,
    "rope.dimension_count": 4,
    "rope.scaling.type": "longrope",
    "rope.scaling.attn_factor": 2.0,
    "logit_scale": 0.5,
    "vocab_size": 61,
    "something_new": 1,
}


@pytest.mark.parametrize("key", REFUSED_KEYS)
def test_a_key_that_is_not_carried_is_refused_by_name(tmp_path: Path, key: str) -> None:
    hf = hf_model("llama")
    keys = keys_of(hf.config) | {key: REFUSED_KEYS[key]}
    path = write_gguf(tmp_path / "m.gguf", "llama", keys, tensors_of(hf))
    with pytest.raises(ModelError, match=rf"m\.gguf says llama\.{key} = .* not carried into the model"):
        load(str(path))


@pytest.mark.parametrize("key", ["attention.head_count_kv", "attention.layer_norm_rms_epsilon", "context_length"])
def test_a_key_that_is_missing_is_not_filled_with_another_models(tmp_path: Path, key: str) -> None:
    hf = hf_model("llama")
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config) | {key: None}, tensors_of(hf))
    with pytest.raises(
        ModelError, match=rf"m\.gguf describes no model: llama\.{key} must be a .*, and it is not there"
    ):
        load(str(path))


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q_norm.weight", "blk.3.attn_q.weight", "cls.weight", "blk.0.attn_norm.bias"]
)
def test_a_tensor_without_a_place_is_refused_by_name(tmp_path: Path, name: str) -> None:
    hf = hf_model("llama")
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors_of(hf) | {name: torch.ones(8)})
    with pytest.raises(ModelError, match=rf"m\.gguf holds 1 tensors that a llama model has no place for \({name}\)"):
        load(str(path))


def test_an_architecture_that_is_not_read_is_named_with_those_that_are(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": torch.zeros(4, 4)}
    path = write_gguf(tmp_path / "m.gguf", "gptneox", {}, tensors)
    with pytest.raises(ModelError, match="architecture 'gptneox'; what works: GGUF files of llama, qwen2, gpt2"):
        load(str(path))


def test_without_the_extra_a_gguf_file_says_which_one_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = hf_model("llama")
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors_of(hf))
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.delitem(sys.modules, "vitro.models.gguf.weights", raising=False)
    with pytest.raises(ModelError, match=r"to read m\.gguf, pip install 'vitro\[gguf\]'$"):
        load(str(path))


@pytest.mark.parametrize("keep", [8, 24, 100, 1000])
def test_a_gguf_file_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    hf = hf_model("llama")
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors_of(hf))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"m\.gguf cannot be read, it may be damaged or cut short"):
        load(str(path))
