"""`auto` is the number format in which a checkpoint is stored, and the same study as that format by its name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import vitro
from planted import plant
from small_models import hf_model
from vitro.identity import identity
from vitro.models import ModelError, find, load
from vitro.models.formats import number_format

FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def stored(folder: Path, dtype: torch.dtype, **others: torch.dtype) -> str:
    """A checkpoint in a number format; others: the formats of weights whose names end so."""
    plant(folder)
    hf_model("llama").to(dtype).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for end, other in others.items():
        weights |= {name: weight.to(other) for name, weight in weights.items() if name.endswith(f"{end}.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_auto_reads_a_checkpoint_as_it_is_stored(name: str, tmp_path: Path) -> None:
    folder = stored(tmp_path / "model", FORMATS[name])
    model = load(folder, dtype="auto")
    assert {weight.dtype for weight in model.hf.parameters()} == {FORMATS[name]}
    assert model.origin is not None
    assert (model.origin.asked, model.origin.parity.dtype) == ("auto", name)
    assert load(folder).dtype == torch.float32


@pytest.mark.parametrize(
    ("dtype", "others", "comes_to"),
    [
        (torch.bfloat16, {"norm": torch.float32, "layernorm": torch.float32}, "bfloat16"),
        (torch.float32, {"norm": torch.float16}, "float32"),
        (torch.float32, {"lm_head": torch.bfloat16, "proj": torch.bfloat16}, "bfloat16"),
        (torch.float64, {}, "float32"),
    ],
)
def test_of_mixed_formats_it_is_that_of_most_numbers(
    dtype: torch.dtype, others: dict[str, Any], comes_to: str, tmp_path: Path
) -> None:
    model = load(stored(tmp_path / "model", dtype, **others), dtype="auto")
    assert {weight.dtype for weight in model.hf.parameters()} == {FORMATS[comes_to]}


def test_eight_bits_are_refused_whatever_is_asked_for(tmp_path: Path) -> None:
    folder = stored(tmp_path / "model", torch.bfloat16, proj=torch.float8_e4m3fn)
    for dtype in ("auto", "bfloat16"):
        with pytest.raises(ModelError, match="is quantised"):
            load(folder, dtype=dtype)


def test_a_gguf_file_is_unpacked_to_float32(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    assert number_format(find(str(tmp_path / "tiny.gguf")), "auto") == "float32"


def test_a_format_that_there_is_not_is_told_with_those_that_there_are(
    planted_folder: Path, planted_model: object
) -> None:
    with pytest.raises(ModelError, match="'int3' is not known; what works: float32, bfloat16, float16, auto"):
        load(str(planted_folder), dtype="int3")


def test_auto_and_the_format_by_its_name_are_one_study(tmp_path: Path) -> None:
    checkpoint = find(stored(tmp_path / "model", torch.bfloat16))
    auto, named = (identity(checkpoint, vitro.Options(), "cpu", dtype) for dtype in ("auto", "bfloat16"))
    assert auto == named
    assert auto["dtype"] == "bfloat16"


def test_a_study_in_auto_goes_on_under_the_name_and_says_both(
    planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    options = vitro.Options(samples=4)
    begun = vitro.run_study(str(planted_folder), "days", tmp_path, options, experiments=["clean"], dtype="auto")
    assert begun.record.settings.dtype == "float32"
    assert begun.record.loaded is not None
    assert (begun.record.loaded.asked_dtype, begun.record.loaded.trusted) == ("auto", False)
    assert "float32, as the checkpoint is stored (--dtype auto)" in begun.report.read_text("utf-8")
    again = vitro.run_study(str(planted_folder), "days", tmp_path, options, experiments=["clean"], dtype="float32")
    assert again.record == begun.record
