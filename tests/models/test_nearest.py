"""A model type that is not known is refused with the known one that is nearest, and with what differs."""

import time
from pathlib import Path
from typing import Any

import pytest
import transformers

from planted import plant
from vitro.models import ModelError, load
from vitro.models.nearest import unknown

KNOWN = ("gpt2", "llama", "qwen2", "gpt_neox")


def said(kind: str, weights: tuple[str, ...] = (), **fields: Any) -> str:
    message = str(unknown(kind, fields, weights, KNOWN))
    assert "\n" not in message
    return message


def test_what_transformers_knows_is_compared_by_its_skeleton() -> None:
    assert said("qwen3") == (
        "model type 'qwen3' is not known to Vitro; nearest is llama (12 of 14 weights have names alike): it has "
        "besides model.layers.N.self_attn.k_norm.weight, model.layers.N.self_attn.q_norm.weight; vitro models lists "
        "what is known"
    )
    message = said("olmo2")
    assert "nearest is llama" in message
    assert "; it lacks model.layers.N.input_layernorm.weight" in message


def test_what_has_the_same_names_is_still_not_known() -> None:
    assert "the names are the same, and what it computes by them is not known" in said("granite")


def test_a_switch_of_the_configuration_counts_and_a_size_does_not() -> None:
    assert "nearest is qwen2" in said("granite", attention_bias=True, num_hidden_layers=10**12, hidden_size=10**9)


@pytest.mark.parametrize("kind", ["mamba", "bert", "t5", "clip", "whisper", "nemotron", "no such type", "None"])
def test_recurrent_models_encoders_and_what_cannot_be_built_are_refused_too(kind: str) -> None:
    assert f"model type {kind!r} is not known to Vitro" in said(kind)


def test_what_transformers_does_not_know_is_compared_by_the_names_of_its_weights() -> None:
    weights = [f"transformer.h.{n}.{part}.weight" for n in range(3) for part in ("ln_1", "ln_2", "attn.c_attn", "moe")]
    weights += [f"transformer.h.{n}.attn.c_attn.bias" for n in range(3)]
    message = said("grok9", (*weights, "transformer.wte.weight", "transformer.ln_f.weight"))
    assert "nearest is gpt2 (6 of 7 weights have names alike): it has besides transformer.h.N.moe.weight; it lacks" in (
        message
    )


def test_a_type_that_says_nothing_is_refused_with_where_those_that_are_known_stand() -> None:
    assert said("grok9") == (
        "model type 'grok9' is not known to Vitro, and no known one is like it; vitro models lists what is known"
    )


def test_no_skeleton_is_built_for_a_type_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*given: object) -> None:
        raise AssertionError("a skeleton was built")

    monkeypatch.setattr("vitro.models.nearest._skeleton", built)
    assert load(str(plant(tmp_path / "model"))).shape.n_layers == 3


def test_a_model_in_memory_is_told_of_in_the_same_way() -> None:
    config = transformers.Qwen3NextConfig(
        num_hidden_layers=4, hidden_size=16, intermediate_size=16, vocab_size=8, num_experts=2, moe_intermediate_size=4
    )
    start = time.process_time()
    with pytest.raises(ModelError, match="model type 'qwen3_next' is not known to Vitro"):
        load(transformers.Qwen3NextForCausalLM(config))
    assert time.process_time() - start < 20
