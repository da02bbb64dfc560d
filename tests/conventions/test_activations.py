"""Activations have TransformerLens's names, shapes and numbers (make_transformer_lens.py wrote them)."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from vitro.engine import activations
from vitro.models.load import family_of

STORED = Path(__file__).parent / "transformer_lens"
# Attention before the softmax: what is not attended to is minus infinity there.
NOT_OURS = ("attn.hook_attn_scores",)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "qwen2"])
def test_every_activation_that_transformer_lens_caches_has_the_same_name_shape_and_numbers(name: str) -> None:
    with safe_open(STORED / f"{name}.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    hf.load_state_dict({key.removeprefix("weights."): one for key, one in values.items() if key.startswith("weights.")})
    model = family_of(hf.config.model_type).of(hf.eval().requires_grad_(False), None)
    cache = {key.removeprefix("cache."): value for key, value in values.items() if key.startswith("cache.")}
    cache = {key: value for key, value in cache.items() if not key.endswith((*NOT_OURS, ".hook_in"))}
    assert len(cache) >= 2 * 10
    given = activations(model, values["prompts"][:2].tolist(), list(cache))
    for key, theirs in cache.items():
        assert given[key].shape == theirs.shape, key
        assert (given[key] - theirs).abs().max() <= 2e-5, key
