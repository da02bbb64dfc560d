"""Weights in several files, as they come from the hub: each is read once, and none is lost."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from planted import plant
from small_models import hf_model
from vitro.models import ModelError, load

INDEX = "model.safetensors.index.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def in_shards(folder: Path, hf: Any, size: str = "40KB") -> Path:
    """A model as it comes from the hub, in several files."""
    plant(folder)
    (folder / "model.safetensors").unlink()
    hf.save_pretrained(folder, max_shard_size=size)
    assert len(list(folder.glob("model-*.safetensors"))) > 3
    return folder


def index(folder: Path, **changed: str) -> None:
    said = json.loads((folder / INDEX).read_text())
    said["weight_map"].update(changed)
    (folder / INDEX).write_text(json.dumps(said))


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        load(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_in_several_files_is_read_as_transformers_reads_it(dtype: str, tied: bool, tmp_path: Path) -> None:
    hf = hf_model("llama", tie_word_embeddings=tied).to(DTYPES[dtype])
    model = load(str(in_shards(tmp_path / "model", hf)), dtype="auto")
    assert model.dtype == DTYPES[dtype]
    for name, weight in hf.named_parameters():
        assert torch.equal(model.hf.get_parameter(name), weight), name
    assert (model.hf.lm_head.weight is model.hf.model.embed_tokens.weight) == tied


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = in_shards(tmp_path / "model", hf_model("llama"))
    gone = sorted(folder.glob("model-*.safetensors"))[1]
    gone.unlink()
    assert refused(folder).endswith(f"the weight file {gone.name} is missing")


def test_an_index_that_names_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = in_shards(tmp_path / "model", hf_model("llama"))
    index(folder, **{"model.norm.weight": "model-00099-of-00099.safetensors"})
    assert refused(folder).endswith("the weight file model-00099-of-00099.safetensors is missing")


def test_a_weight_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = in_shards(tmp_path / "model", hf_model("llama"))
    first, second = sorted(folder.glob("model-*.safetensors"))[:2]
    weights = load_file(first)
    name = sorted(weights)[0]
    save_file({**load_file(second), name: weights[name]}, second, metadata={"format": "pt"})
    assert f"holds the weight {name} in two files" in refused(folder)


def test_a_weight_under_two_names_is_refused(tmp_path: Path) -> None:
    folder = in_shards(tmp_path / "model", hf_model("llama"))
    first = sorted(folder.glob("model-*.safetensors"))[0]
    weights = load_file(first)
    name = sorted(name for name in weights if name.startswith("model."))[0]
    save_file({**weights, name.removeprefix("model."): weights[name].clone()}, first, metadata={"format": "pt"})
    assert "holds a weight twice" in refused(folder)
