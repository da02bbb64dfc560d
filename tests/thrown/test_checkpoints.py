"""Folders that are no checkpoint, or not what they say: each is read, or refused in one line, in no time and memory."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bad_checkpoints import read, refused, sound
from command import is_one_line
from fuzz.faults import put_instead
from fuzz.folders import SHARDS
from vitro.models import ModelError, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sound(tmp_path / "model")


DEEP = b"[" * 100_000 + b"]" * 100_000
TEXTS = {
    "nested 100,000 deep": (b'{"model_type": ' + DEEP + b"}", "its JSON is nested more than 100 deep"),
    "nested 200 deep": (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "its JSON is nested more than 100 deep"),
    "10 MB": (b'{"x": "' + b"x" * 10**7, "it is not valid JSON"),
    "no UTF-8": (b'{"model_type": "gpt2\xff"}', "it is not UTF-8 text (byte 20)"),
    "UTF-16": ('{"model_type": "gpt2"}'.encode("utf-16"), "it is not UTF-8 text (byte 0)"),
    "a list": (b"[1, 2]", "must hold an object ({...}), and not a list"),
    "a number": (b"1e999", "must hold an object ({...}), and not a float"),
    "empty": (b"", "it is not valid JSON"),
    "half": (b'{"model_type": ', "it is not valid JSON"),
    "digits": (b'{"n_layer": ' + b"9" * 10_000 + b"}", "it is not valid JSON"),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "model.safetensors.index.json"])
def test_a_file_of_json_is_named_with_what_it_is(tmp_path: Path, file: str, text: str) -> None:
    content, words = TEXTS[text]
    model = sound(tmp_path / "model", sharded="index" in file)
    (model / file).write_bytes(content)
    assert words in refused(model).partition(file)[2]


INSTEAD = {
    "folder": ": it is a folder, not a file",
    "pipe": ": it is a pipe or device, not a file",
    "device": ": it is a pipe or device, not a file",
    "link": ": it is a link to nothing",
    "circle": ": it cannot be read (Too many levels of symbolic links)",
}


@pytest.mark.parametrize("what", INSTEAD)
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", SHARDS[1], "index"]
)
def test_what_is_no_file_is_not_opened(tmp_path: Path, file: str, what: str) -> None:
    sharded = file in (SHARDS[1], "index")
    model = sound(tmp_path / "model", sharded=sharded)
    path = model / ("model.safetensors.index.json" if file == "index" else file)
    path.unlink()
    put_instead(path, what)
    without = "has no tokenizer" if (file, what) == ("tokenizer.json", "folder") else f"{path.name}{INSTEAD[what]}"
    assert without in refused(model)


@pytest.mark.parametrize("name", ["vocab.json", "chat_template.jinja", "added_tokens.json", "merges.txt", "x.tiktoken"])
def test_a_pipe_beside_the_tokenizer_does_not_hang(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    assert f"{name}: it is a pipe or device, not a file" in refused(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("~nosuchuser/model", "no such file or folder; what works: a hub id"),
        ("x" * 300, "no such file or folder"),
        ("x/" * 3000, "no such file or folder"),
        ("a\0b", "no such file or folder"),
        ("\ud800", "no such file or folder"),
        ("a\x1b[31m\nb", "no such file or folder"),
        # Names that the hub gives to nobody.
        *((name, "no such file or folder") for name in ("my--model", "a..b", "x" * 97, "model.git", "model-", "a/é")),
        ("/dev/zero", "zero: it is a pipe or device, not a file"),
        ("/dev/null/model", "no such file or folder"),
    ],
    ids=ascii,
)
def test_a_name_that_leads_to_no_model_is_refused(name: str, words: str) -> None:
    assert words in refused(name)


@pytest.mark.parametrize("what", INSTEAD)
@pytest.mark.parametrize("name", ["model", "model.gguf"])
def test_a_name_that_leads_to_no_file_is_not_opened(tmp_path: Path, name: str, what: str) -> None:
    put_instead(tmp_path / name, what)
    words = {"folder": "the folder has no config.json", "circle": "no such file or folder"}.get(what, INSTEAD[what])
    assert words in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(28, "No space left on device", "/cache/blobs/x"),
            "(/cache/blobs/x: No space left on device); make room",
        ),
        (
            PermissionError(13, "Permission denied", "/cache"),
            "the hub's cache cannot be used (/cache: Permission denied)",
        ),
        (
            ConnectionResetError("reset by peer"),
            "the model hub is out of reach (no network?) and the model is not in the local cache; what works offline: "
            "smollm2, gemma3-270m, a local folder, or a .gguf file",
        ),
        (RuntimeError("the server speaks otherwise"), "cannot be fetched from the hub (RuntimeError: the server"),
    ],
    ids=repr,
)
def test_what_goes_wrong_while_a_model_is_fetched_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", failing)
    assert words in refused("someone/model")


def no_rights(call: Callable[[], object]) -> str:
    """What a call ends in, made by a user who is nobody: root may read everything."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setuid(65534)
            call()
            said = "no error"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork") or os.getuid() != 0, reason="who is not root cannot become another")
@pytest.mark.parametrize(
    ("file", "named"),
    [
        *((file, file) for file in ("config.json", "tokenizer.json", "model.safetensors")),
        (".", "model"),
        ("..", "model"),
    ],
)
def test_what_may_not_be_read_is_said_to_be_that(tmp_path: Path, file: str, named: str) -> None:
    # pytest's own folders are for root alone.
    home = Path("/tmp") / f"vitro-{os.getpid()}-{tmp_path.name}"
    home.mkdir()
    try:
        sound(home / "model")
        (home / "model" / file).chmod(0o000)
        said = no_rights(lambda: load(home / "model"))
    finally:
        shutil.rmtree(home)
    assert said.startswith("ModelError: ")
    assert "(Permission denied)" in said
    assert is_one_line(said)


INDEXES: dict[str, tuple[Any, str]] = {
    "no map": ({"metadata": {}}, "has no weight_map, which says what file each weight is in"),
    "a list": ({"weight_map": [SHARDS[0]]}, "has no weight_map"),
    "nothing": ({"weight_map": {}}, "has no weight_map"),
    "numbers": ({"weight_map": {"a": 1}}, "names '1', which is no safetensors file in the folder"),
    "lists": ({"weight_map": {"a": [SHARDS[0]]}}, "which is no safetensors file in the folder"),
    "nulls": ({"weight_map": {"a": None}}, "names 'None', which is no safetensors file in the folder"),
    "outside": ({"weight_map": {"a": "../model.safetensors"}}, "which is no safetensors file in the folder"),
    "a character 0": ({"weight_map": {"a": "a\0.safetensors"}}, "which is no safetensors file in the folder"),
    "not there": ({"weight_map": {"a": "model-7-of-9.safetensors"}}, "weight file model-7-of-9.safetensors is missing"),
    "long": ({"weight_map": {"a": "x" * 10**6 + ".safetensors"}}, "is missing"),
    "one of two": ({"weight_map": {"a": SHARDS[0]}}, f"weight files that are no part of it ({SHARDS[1]})"),
}


@pytest.mark.parametrize("index", INDEXES)
def test_an_index_that_leads_nowhere_is_refused(tmp_path: Path, index: str) -> None:
    content, words = INDEXES[index]
    model = sound(tmp_path / "model", sharded=True)
    (model / "model.safetensors.index.json").write_text(json.dumps(content))
    assert words in refused(model)


def test_one_weight_in_two_files_is_refused(tmp_path: Path) -> None:
    model = sound(tmp_path / "model", sharded=True)
    shutil.copy(model / SHARDS[0], model / SHARDS[1])
    assert "in two files" in refused(model)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The checkpoint with another header before its weights."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    return folder


HEADERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a shape beyond the file": lambda header: header["transformer.wte.weight"].update(shape=[10**12, 32]),
    "a shape beyond numbers": lambda header: header["transformer.wte.weight"].update(shape=[2**63, 2**63]),
    "offsets beyond the file": lambda header: header["transformer.wte.weight"].update(data_offsets=[0, 10**15]),
    "offsets backwards": lambda header: header["transformer.wte.weight"].update(data_offsets=[4, 0]),
    "offsets over others": lambda header: header["transformer.wte.weight"].update(data_offsets=[0, 7680]),
    "a format that is none": lambda header: header["transformer.wte.weight"].update(dtype="F5"),
    "a weight that is none": lambda header: header.update({"transformer.wte.weight": 3}),
    "deep": lambda header: header.update(__metadata__=json.loads("[" * 500 + "]" * 500)),
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_lies_is_said_to_be_at_fault(folder: Path, header: str) -> None:
    rewrite(folder, HEADERS[header])
    with pytest.raises(ModelError, match=r"model\.safetensors is corrupt or truncated") as error:
        read(folder)
    assert is_one_line(str(error.value))


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**31, 2**63, 2**64 - 1])
def test_a_header_of_another_length_is_refused(folder: Path, length: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(ModelError, match=r"model\.safetensors is corrupt or truncated"):
        read(folder)


PACKED: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "GPTQ before it had a configuration": lambda weights: weights.update(
        {
            "transformer.h.0.mlp.c_fc.qweight": torch.zeros(4, 4, dtype=torch.int32),
            "transformer.h.0.mlp.c_fc.scales": torch.zeros(4, 4),
        }
    ),
    "bitsandbytes": lambda weights: weights.update(
        {
            "transformer.h.0.mlp.c_fc.weight": torch.zeros(64, 1, dtype=torch.uint8),
            "transformer.h.0.mlp.c_fc.weight.absmax": torch.zeros(4),
            "transformer.h.0.mlp.c_fc.weight.quant_state.bitsandbytes__nf4": torch.zeros(9, dtype=torch.uint8),
        }
    ),
    "FP8": lambda weights: weights.update(
        {"transformer.h.0.mlp.c_fc.weight": weights["transformer.h.0.mlp.c_fc.weight"].to(torch.float8_e4m3fn)}
    ),
    "whole numbers": lambda weights: weights.update(
        {"transformer.h.0.mlp.c_fc.weight": torch.ones(32, 128, dtype=torch.int8)}
    ),
}


@pytest.mark.parametrize("packed", PACKED)
def test_weights_that_are_packed_are_told_by_their_names_and_formats(folder: Path, packed: str) -> None:
    weights = load_file(folder / "model.safetensors")
    PACKED[packed](weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "is quantised (transformer.h.0.mlp.c_fc." in refused(folder)


def test_memory_that_runs_out_is_no_fault_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 406484144 bytes from file <model.safetensors>: Cannot allocate memory (12)")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", failing)
    assert "model.safetensors cannot be read (memory ran out" in refused(folder)
    monkeypatch.setattr("vitro.models.checkpoint.safe_open", failing)
    with (folder / "model.safetensors").open("ab") as file:
        file.truncate(3 * 10**9)
    assert "model.safetensors cannot be opened (3 GB, and memory ran out" in refused(folder)


def test_a_file_of_settings_for_writing_is_not_looked_at(folder: Path) -> None:
    (folder / "generation_config.json").write_bytes(b"\xff[")
    assert read(folder).shape.n_layers == 3


def test_names_of_files_reach_no_terminal_as_they_are(folder: Path) -> None:
    (folder / "config.json").rename(folder / "\x1b[31m.gguf")
    assert "is a folder with a GGUF file in it" in refused(folder)
