"""Weights and tokenizers are, bit for bit, what transformers' own reader makes of a GGUF file."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from gguf_files import keys_of, tensors_of, write_gguf
from small_models import hf_model
from vitro.models import find, load
from vitro.models.config import quiet_transformers
from vitro.models.gguf.config import config_of
from vitro.models.gguf.header import read_header

WIDE: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 4}
UNPACKED = [kind for kind in Kind if kind.name not in {"I8", "I16", "I32", "I64", "F64", "Q1_0", "Q8_1", "Q8_K"}]


def theirs(path: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A file's weights, read by transformers."""
    checkpoint = find(str(path))
    config = config_of(checkpoint, read_header(checkpoint))
    with quiet_transformers():
        hf = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            config=config,
            dtype=dtype,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
    state: dict[str, Tensor] = hf.state_dict()
    return state


def assert_same_bits(ours: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert ours.keys() == expected.keys()
    for name, weight in expected.items():
        assert ours[name].dtype == weight.dtype
        # As bytes: NaN is the same as itself.
        assert torch.equal(*(w.contiguous().view(torch.uint8) for w in (ours[name], weight))), name


def of_random_model(path: Path, kind: Kind, name: str = "llama", **options: Any) -> Path:
    hf = hf_model(name, **options)
    return write_gguf(path, hf.config.model_type, keys_of(hf.config), tensors_of(hf), kind)


@pytest.mark.parametrize("kind", UNPACKED, ids=lambda kind: kind.name)
def test_every_number_format_is_unpacked_as_transformers_unpacks_it(tmp_path: Path, kind: Kind) -> None:
    path = of_random_model(tmp_path / "m.gguf", kind, **WIDE)
    assert_same_bits(load(str(path)).hf.state_dict(), theirs(path))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0])
def test_a_shorter_format_is_rounded_once(tmp_path: Path, kind: Kind, dtype: str) -> None:
    path = of_random_model(tmp_path / "m.gguf", kind, **WIDE)
    assert_same_bits(load(str(path), dtype=dtype).hf.state_dict(), theirs(path, getattr(torch, dtype)))


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_architecture_is_laid_out_as_transformers_lays_it_out(tmp_path: Path, name: str, tied: bool) -> None:
    path = of_random_model(tmp_path / "m.gguf", Kind.F16, name, tie_word_embeddings=tied)
    assert_same_bits(load(str(path)).hf.state_dict(), theirs(path))


def test_a_long_tensor_is_unpacked_to_its_end(tmp_path: Path) -> None:
    path = of_random_model(tmp_path / "m.gguf", Kind.Q4_0, **{**WIDE, "vocab_size": 3001})
    assert_same_bits(load(str(path)).hf.state_dict(), theirs(path))
