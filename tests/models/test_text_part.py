"""Of a checkpoint that also sees, the text part is read: its numbers are those of the whole given text alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from planted import plant
from vitro.models import FAMILIES, ModelError, find, load, load_tokenizer
from vitro.models.headers import Stored, read_headers
from vitro.models.text_part import TEXT_PARTS, read_stored, text_fields, text_weights
from vitro.record import Loaded

TEXT = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
SEES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def _gemma3(tied: bool) -> Any:
    text, sees = transformers.Gemma3TextConfig(**TEXT), transformers.SiglipVisionConfig(**SEES)
    config = transformers.Gemma3Config(text_config=text, vision_config=sees, tie_word_embeddings=tied)
    return transformers.Gemma3ForConditionalGeneration(config)


def _mistral3(tied: bool) -> Any:
    text, sees = transformers.MistralConfig(**TEXT), transformers.PixtralVisionConfig(**SEES)
    config = transformers.Mistral3Config(text_config=text, vision_config=sees, tie_word_embeddings=tied)
    return transformers.Mistral3ForConditionalGeneration(config)


MAKERS = {"gemma3": _gemma3, "mistral3": _mistral3}
READ = {kind for family in FAMILIES for kind in family.model_types}


def saved(kind: str, folder: Path, tied: bool = True, dtype: torch.dtype = torch.float32) -> Any:
    """A small random model of a kind, in a folder with a tokenizer."""
    plant(folder)
    torch.manual_seed(0)
    hf = MAKERS[kind](tied).eval().requires_grad_(False)
    for name, weight in hf.named_parameters():
        weight.copy_((1.0 if "norm" in name else 0.0) + 0.2 * torch.randn(weight.shape))
    hf.to(dtype).save_pretrained(folder)
    return hf


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_its_weights_are_found_under_the_names_of_a_text_model_of_its_own(
    kind: str, tied: bool, tmp_path: Path
) -> None:
    saved(kind, tmp_path / "model", tied)
    stored = read_stored(find(str(tmp_path / "model")))
    config = transformers.AutoConfig.for_model(TEXT_PARTS[kind][0], **TEXT, tie_word_embeddings=tied)
    with torch.device("meta"):
        plain = transformers.AutoModelForCausalLM.from_config(config)
    assert {name: weight.shape for name, weight in stored.items()} == {
        name: tuple(weight.shape) for name, weight in plain.named_parameters()
    }
    fields = text_fields({"model_type": kind, "text_config": {**TEXT, "tie_word_embeddings": not tied}}, stored)
    assert fields is not None
    assert (fields["model_type"], fields["tie_word_embeddings"]) == (TEXT_PARTS[kind][0], tied)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
def test_the_names_of_the_hub_and_of_transformers_are_both_known(prefix: str) -> None:
    weight = Stored("BF16", (4,))
    others = ("vision_tower.a", "model.vision_tower.a", "multi_modal_projector.b", "model.multi_modal_projector.b")
    head = "language_model.lm_head.weight" if prefix.startswith("language") else "lm_head.weight"
    stored = dict.fromkeys((f"{prefix}norm.weight", head, *others, "audio_tower.c"), weight)
    assert list(text_weights(stored)) == ["model.norm.weight", "lm_head.weight", "audio_tower.c"]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", sorted(kind for kind in MAKERS if TEXT_PARTS[kind][0] in READ))
def test_the_text_part_computes_what_the_whole_does_on_text(kind: str, tied: bool, tmp_path: Path) -> None:
    whole = saved(kind, tmp_path / "model", tied)
    model = load(str(tmp_path / "model"))
    tokens = torch.tensor([[5, 9, 2, 250, 31]])
    with torch.no_grad():
        assert torch.allclose(model.hf(tokens).logits, whole(input_ids=tokens).logits, atol=1e-5)
    assert model.origin is not None
    assert (model.origin.whole, model.origin.parity.holds) == (kind, True)
    assert repr(model).endswith(f"on cpu; the text part of a {kind} model")
    assert load_tokenizer(find(str(tmp_path / "model")))[1] == 64


def test_weights_that_only_pictures_need_are_not_read_and_no_other_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("mistral3", folder)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.startswith(("vision_tower", "multi_modal_projector")):
            weight.fill_(torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(str(folder)).shape.n_layers == 2
    assert any(name.startswith("vision_tower") for name in read_headers(find(str(folder))))
    save_file(
        {**weights, "language_model.model.layers.0.self_attn.q_norm.weight": torch.ones(8)},
        folder / "model.safetensors",
    )
    with pytest.raises(ModelError, match=r"has no place for \(model.layers.0.self_attn.q_norm.weight\)"):
        load(str(folder))


def test_a_text_part_of_a_type_that_is_not_known_is_refused_by_that_type(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved("mistral3", folder)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"model_type": "mistral"', '"model_type": "mamba"'))
    with pytest.raises(ModelError, match="model type 'mamba' is not known to Vitro"):
        load(str(folder))


def test_a_study_says_that_it_is_of_the_text_part(tmp_path: Path) -> None:
    saved("mistral3", tmp_path / "model", dtype=torch.bfloat16)
    origin = load(str(tmp_path / "model"), dtype="auto").origin
    assert origin is not None
    loaded = Loaded.of(origin)
    assert loaded.facts("bfloat16") == [
        ("Number format", "bfloat16, as the checkpoint is stored (--dtype auto)"),
        ("Part of the model", "its text part, out of a mistral3 checkpoint"),
    ]
