"""No size and no key of a GGUF file is believed before its tensors say the same: milliseconds, one line, no memory."""

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from command import is_one_line
from gguf_families import MODELS as FAMILIES
from gguf_families import keys_of as family_keys
from gguf_families import model_of
from gguf_families import tensors_of as family_tensors
from gguf_files import keys_of, tensors_of, write_gguf
from small_models import hf_model
from vitro.models import ModelError, find, load, load_tokenizer

BILLION = 10**9


def written(folder: Path, name: str = "llama", keys: dict[str, Any] | None = None) -> Path:
    """A file of a small model, with some keys changed."""
    hf = hf_model(name)
    return write_gguf(folder / "m.gguf", hf.config.model_type, keys_of(hf.config) | (keys or {}), tensors_of(hf))


def refused_at_once(path: Path) -> str:
    """What loading a file says, without the time and memory that it would take to believe it."""
    tracemalloc.start()
    before = time.process_time()
    with pytest.raises(ModelError) as caught:
        load(str(path))
    assert time.process_time() - before < 1.0
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert is_one_line(str(caught.value)), str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("size", [BILLION, 2**62, 2**64 - 1, 1, 4])
@pytest.mark.parametrize(
    "key", ["block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv"]
)
def test_a_size_that_is_not_that_of_the_tensors_is_refused_at_once(
    tmp_path: Path, name: str, key: str, size: int
) -> None:
    if name == "gpt2" and key.startswith("attention") and size < BILLION:
        pytest.skip("GPT-2's tensors are the same however many heads they are cut into")
    assert "m.gguf" in refused_at_once(written(tmp_path, name, {key: size}))


@pytest.mark.parametrize("key", ["attention.key_length", "attention.value_length", "rope.dimension_count"])
def test_a_width_of_heads_that_is_not_that_of_the_tensors_is_refused_at_once(tmp_path: Path, key: str) -> None:
    assert "m.gguf" in refused_at_once(written(tmp_path, keys={key: BILLION}))


def test_a_size_is_named_with_the_one_that_the_tensors_have(tmp_path: Path) -> None:
    error = refused_at_once(written(tmp_path, keys={"block_count": BILLION}))
    assert "m.gguf says llama.block_count = 1000000000, and holds the tensors of a model in which it is 3" in error
    error = refused_at_once(written(tmp_path, keys={"embedding_length": 64}))
    assert "m.gguf says llama.embedding_length = 64, and holds the tensors of a model in which it is 48" in error
    error = refused_at_once(written(tmp_path, keys={"feed_forward_length": 81}))
    assert (
        "m.gguf holds blk.0.ffn_gate.weight with the shape (80, 48); in the model that it describes it has (81, 48)"
        in error
    )
    error = refused_at_once(written(tmp_path, keys={"vocab_size": 10**8}))
    assert "m.gguf says llama.vocab_size = 100000000" in error


def test_a_context_longer_than_the_learned_positions_is_refused(tmp_path: Path) -> None:
    said = refused_at_once(written(tmp_path, "gpt2", {"context_length": BILLION}))
    assert "says gpt2.context_length = 1000000000, and holds the tensors of a model in which it is 32" in said


def test_more_tokens_than_embeddings_are_refused(tmp_path: Path) -> None:
    hf = hf_model("llama", vocab_size=20)
    tensors = tensors_of(hf)
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors)
    path.write_bytes(replaced_shape(path.read_bytes(), b"token_embd.weight", (48, 20), (48, 19)))
    assert "m.gguf lists 20 tokens, and holds token_embd.weight with the shape (19, 48)" in refused_at_once(path)
    with pytest.raises(ModelError, match="lists 20 tokens"):
        load_tokenizer(find(str(path)))


def replaced_shape(content: bytes, name: bytes, old: tuple[int, int], new: tuple[int, int]) -> bytes:
    before, after = (name + struct.pack("<IQQ", 2, *shape) for shape in (old, new))
    assert content.count(before) == 1
    return content.replace(before, after)


KINDS: dict[str, Any] = {
    "block_count": "three",
    "embedding_length": 48.0,
    "attention.head_count": [6, 6, 6],
    "attention.head_count_kv": True,
    "attention.layer_norm_rms_epsilon": float("nan"),
    "rope.freq_base": "10000",
    "rope.scaling.type": 1,
    "rope.scaling.factor": "four",
    "attention.scale": [1.0],
    "attention.sliding_window": [5, 0, 5],
    "attention.key_length": 0,
    "context_length": 2**63,
}


@pytest.mark.parametrize("key", KINDS)
def test_a_key_of_another_kind_is_named(tmp_path: Path, key: str) -> None:
    error = refused_at_once(written(tmp_path, keys={key: KINDS[key]}))
    assert f"m.gguf describes no model: llama.{key} must be a" in error


def test_what_is_long_is_not_repeated(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": torch.zeros(4, 4)}
    error = refused_at_once(write_gguf(tmp_path / "m.gguf", "x" * 10**6, {}, tensors))
    assert f"architecture '{'x' * 60}'; what works" in error
    refused_at_once(written(tmp_path, keys={"something": ["y" * 10**6]}))
    refused_at_once(written(tmp_path, keys={"rope.scaling.type": "z" * 10**6}))
    hf = hf_model("llama")
    long = {"w" * 60: torch.ones(8)}
    refused_at_once(write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors_of(hf) | long))


def test_a_token_that_is_not_there_is_refused_without_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    number = b"tokenizer.ggml.bos_token_id" + struct.pack("<I", 4)
    path.write_bytes(path.read_bytes().replace(number + bytes(4), number + struct.pack("<I", BILLION)))
    assert "the tokenizer in m.gguf cannot be read" in refused_at_once(path)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_is_not_known_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "mamba", {"block_count": BILLION}, {"token_embd.weight": torch.zeros(4, 4)})
    assert "architecture 'mamba'; what works: GGUF files of llama, qwen2, gpt2" in refused_at_once(path)


@pytest.mark.parametrize(
    ("at", "number", "said"),
    [
        (4, struct.pack("<I", 1), "of version 1 of the format"),
        (4, struct.pack(">I", 3), "or big-endian; what works: 2 and 3, little-endian"),
        (8, struct.pack("<Q", BILLION), "cannot be read, it may be damaged or cut short"),
        (16, struct.pack("<Q", 2**64 - 1), "cannot be read, it may be damaged or cut short"),
        (24, struct.pack("<Q", 2**63), "cannot be read, it may be damaged or cut short"),
    ],
)
def test_a_count_is_not_believed(tmp_path: Path, at: int, number: bytes, said: str) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:at] + number + content[at + len(number) :])
    assert said in refused_at_once(path)


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    "value",
    [
        key("a", 9, struct.pack("<IQ", 0, BILLION)),
        key("a", 9, struct.pack("<IQ", 12, 2**64 - 1)),
        key("a", 9, struct.pack("<IQ", 8, BILLION)),
        key("a", 9, struct.pack("<IQ", 9, 1) * 10_000),
        key("a", 8, struct.pack("<Q", BILLION)),
        key("general.alignment", 4, struct.pack("<I", 0)),
        key("general.alignment", 8, struct.pack("<Q", 1) + b"a"),
        key("a", 77, b""),
    ],
)
def test_a_key_that_no_file_has_room_for_is_not_believed(tmp_path: Path, value: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + value)
    assert "cannot be read, it may be damaged or cut short" in refused_at_once(path)


def test_a_file_cut_short_among_its_numbers_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "m.gguf is damaged or cut short: m.gguf does not hold output.weight to its end" in refused_at_once(path)


@pytest.mark.parametrize("kind", [4, 999, 41, 24])
def test_a_number_format_that_is_not_unpacked_is_named(tmp_path: Path, kind: int) -> None:
    path = written(tmp_path)
    name = b"blk.1.ffn_up.weight" + struct.pack("<IQQI", 2, 48, 80, 0)
    content = path.read_bytes()
    assert content.count(name) == 1
    path.write_bytes(content.replace(name, name[:-4] + struct.pack("<I", kind)))
    error = refused_at_once(path)
    assert "m.gguf holds blk.1.ffn_up.weight in" in error
    assert "damaged" not in error


def test_a_weight_that_is_missing_is_named(tmp_path: Path) -> None:
    hf = hf_model("llama")
    tensors = {name: tensor for name, tensor in tensors_of(hf).items() if name != "blk.1.ffn_up.weight"}
    path = write_gguf(tmp_path / "m.gguf", "llama", keys_of(hf.config), tensors)
    assert "m.gguf holds no blk.1.ffn_up.weight, which the model that it describes needs" in refused_at_once(path)


def split(folder: Path) -> Path:
    hf = hf_model("llama")
    return write_gguf(folder / "m.gguf", "llama", keys_of(hf.config), tensors_of(hf), split=10)


def test_a_model_in_several_files_is_the_one_that_it_was_before(tmp_path: Path) -> None:
    whole, first = load(str(written(tmp_path))), split(tmp_path)
    assert first.name == "m-00001-of-00003.gguf"
    for part in sorted(tmp_path.glob("m-*.gguf")):
        model = load(str(part))
        for name, weight in whole.hf.state_dict().items():
            assert torch.equal(model.hf.state_dict()[name], weight)
        assert model.tokenizer("AB").input_ids == whole.tokenizer("AB").input_ids
        assert find(str(part)).weights_hash() == find(str(first)).weights_hash()


def taken_away(first: Path) -> Path:
    first.with_name("m-00002-of-00003.gguf").unlink()
    return first


def alone(first: Path) -> Path:
    return first.rename(first.with_name("part.gguf"))


def exchanged(first: Path) -> Path:
    second, third = (first.with_name(f"m-0000{number}-of-00003.gguf") for number in (2, 3))
    content = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(content)
    return first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (taken_away, "another is missing: m-00002-of-00003.gguf"),
        (
            alone,
            "is one of several parts of a model (part.gguf is part 0, from 0, of 3); put all of them in one folder",
        ),
        (exchanged, "is one of several parts of a model (m-00002-of-00003.gguf is part 2, from 0, of 3)"),
    ],
)
def test_parts_that_do_not_make_a_model_are_told_apart(
    tmp_path: Path, change: Callable[[Path], Path], said: str
) -> None:
    assert said in refused_at_once(change(split(tmp_path)))


def written_of(folder: Path, name: str) -> Path:
    """A file of a small model of any architecture."""
    if name not in FAMILIES:
        return written(folder, name)
    hf, architecture = model_of(name), FAMILIES[name][0]
    return write_gguf(folder / "m.gguf", architecture, family_keys(hf), family_tensors(hf, architecture))


@pytest.mark.parametrize("seed", range(60))
def test_a_header_with_a_changed_byte_is_a_model_or_one_line(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = written_of(tmp_path, chance.choice(["llama", "qwen2", "gpt2", *FAMILIES]))
    content = bytearray(path.read_bytes())
    end = content.index(b"blk.2.") + 1500
    for _ in range(chance.choice([1, 1, 3])):
        content[chance.randrange(4, end)] = chance.choice([0, 1, 9, 127, 128, 255, chance.randrange(256)])
    path.write_bytes(content)
    before, said = time.process_time(), "nothing"
    try:
        load(str(path))
    except ModelError as error:
        said = str(error)
    assert is_one_line(said), said
    assert time.process_time() - before < 2.0


@pytest.mark.parametrize("kind", [Kind.Q4_K, Kind.IQ4_XS, Kind.Q5_1])
def test_packed_rows_that_are_no_whole_blocks_are_refused(tmp_path: Path, kind: Kind) -> None:
    path = written(tmp_path)
    name = b"blk.1.ffn_up.weight" + struct.pack("<IQQI", 2, 48, 80, 0)
    path.write_bytes(path.read_bytes().replace(name, name[:-4] + struct.pack("<I", kind)))
    assert "does not hold blk.1.ffn_up.weight" in refused_at_once(path)
