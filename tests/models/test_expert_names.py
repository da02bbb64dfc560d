"""Mixtures of experts are read as hubs hold them, a weight for each expert, and refused where one does not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from families_llama import MAKERS
from fuzz.folders import TOKENIZERS
from small_models import filled_model
from vitro.models import Model, ModelError, load

MIXTURES = ["mixtral", "olmoe", "qwen2_moe-dense-between", "qwen3_moe-dense-between", "gpt_oss"]


def saved(name: str, folder: Path) -> Model:
    model = filled_model(MAKERS[name]())
    model.hf.save_pretrained(folder)
    TOKENIZERS["words"]().save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", MIXTURES)
def test_a_checkpoint_with_experts_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    model = saved(name, tmp_path)
    if name != "gpt_oss":
        assert any(".experts.0." in weight for weight in load_file(tmp_path / "model.safetensors"))
    again, tokens = load(str(tmp_path)), torch.tensor([[0, 5, 9, 3]])
    with torch.no_grad():
        torch.testing.assert_close(again.hf(tokens).logits, model.hf(tokens).logits, atol=1e-5, rtol=0)


Weights = dict[str, torch.Tensor]
LAYER = "model.layers.1.block_sparse_moe"
FAULTS: dict[str, tuple[Callable[[Weights], object], str]] = {
    "an expert in the middle is missing": (lambda held: held.pop(f"{LAYER}.experts.1.w2.weight"), "no place for"),
    "the last expert is missing": (
        lambda held: [held.pop(f"{LAYER}.experts.3.{part}.weight") for part in ("w1", "w2", "w3")],
        "have another shape",
    ),
    "an expert has another shape": (
        lambda held: held.update({f"{LAYER}.experts.1.w2.weight": torch.zeros(48, 16)}),
        "no place for",
    ),
    "all experts have another shape": (
        lambda held: held.update({f"{LAYER}.experts.{i}.w2.weight": torch.zeros(48, 16) for i in range(4)}),
        "have another shape",
    ),
    "a router is there twice": (
        lambda held: held.update({"model.layers.1.mlp.gate.weight": torch.zeros(4, 48)}),
        "no place for",
    ),
    "an expert is there twice": (
        lambda held: held.update({"model.layers.1.mlp.experts.1.down_proj.weight": torch.zeros(48, 24)}),
        "no place for",
    ),
    "an expert is packed": (
        lambda held: held.update({f"{LAYER}.experts.1.w2.weight": torch.zeros(48, 24, dtype=torch.int8)}),
        "is quantised",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_experts_that_do_not_fit_are_refused(fault: str, tmp_path: Path) -> None:
    saved("mixtral", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    damage, said = FAULTS[fault]
    damage(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=said) as error:
        load(str(tmp_path))
    assert "\n" not in str(error.value)
