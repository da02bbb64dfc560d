"""Folders that are no checkpoint, or not what they say: each is read, or refused in one line, in no time and memory."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from command import Vitro, is_one_line, refusal
from fuzz.faults import put_instead
from fuzz.folders import SHARDS, WORDS, sound_files
from limits import within
from vitro.models import Model, ModelError, find, load, load_tokenizer
from vitro.models.config import config_hash
from vitro.tasks import TaskError
from vitro.tasks.tokenizer import encode

SECONDS, MEGABYTES = 2, 200
"""What a refusal may take."""


def sound(folder: Path, model_type: str = "gpt2", tokenizer: str = "words", sharded: bool = False) -> Path:
    """A checkpoint that loads."""
    folder.mkdir(exist_ok=True)
    for name, content in sound_files(model_type, tokenizer, sharded).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sound(tmp_path / "model")


def refused(name: Path | str) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(ModelError) as error, within(SECONDS, MEGABYTES):
        load(name)
    message = str(error.value)
    assert is_one_line(message), message
    for blame in ("damaged", "corrupt"):
        assert blame not in message
    return message


def read(folder: Path) -> Model:
    with within(SECONDS, MEGABYTES):
        return load(folder)


def configure(folder: Path, file: str = "config.json", /, **values: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


@dataclass(frozen=True)
class Fault:
    """Fields put into a model's config.json, and words of the line that refuses it."""

    model_type: str
    fields: dict[str, Any]
    words: str

    def __str__(self) -> str:
        return f"{self.model_type}: {self.fields}"[:60]


SIZES = [
    Fault("gpt2", {"n_layer": 10**9}, "config.json says that it has 1000000000 layers, and its weights are those of 3"),
    Fault("gpt2", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("gpt2", {"n_layer": 10**400}, "layers, and its weights are those of 3"),
    Fault(
        "gpt2", {"vocab_size": 10**8}, "wte.weight among them: it is 60 x 32, and would be 100000000 x 32 by vocab_size"
    ),
    Fault(
        "gpt2", {"n_positions": 10**6}, "wpe.weight among them: it is 32 x 32, and would be 1000000 x 32 by n_positions"
    ),
    Fault("gpt2", {"n_embd": 4 * 10**6}, "by n_embd"),
    Fault("gpt2", {"n_inner": 10**9}, "by n_inner"),
    Fault("gpt2", {"n_head": 10**9}, "must be divisible"),
    Fault(
        "gpt2",
        {"vocab_size": 10**17},
        "config.json describes no model (RuntimeError: Storage size calculation overflowed",
    ),
    Fault("llama", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("llama", {"hidden_size": 6 * 10**7}, "by hidden_size"),
    Fault("llama", {"intermediate_size": 10**9}, "by intermediate_size"),
    Fault("llama", {"vocab_size": 10**8}, "by vocab_size"),
    Fault("llama", {"head_dim": 10**8}, "weights have another shape than config.json says"),
    Fault("llama", {"num_attention_heads": 10**9}, "not a multiple of the number of attention heads"),
    Fault("llama", {"num_key_value_heads": 10**9}, "sets num_key_value_heads to 1000000000; Vitro reads divisors of"),
    Fault("llama", {"head_dim": 10**9, "num_attention_heads": 48, "num_key_value_heads": 16}, "have another shape"),
    # transformers lists a kind for each layer when it reads the file.
    Fault("qwen2", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault(
        "qwen2", {"num_hidden_layers": 10**9, "layer_types": ["full_attention"]}, "says that it has 1000000000 layers"
    ),
    Fault("gpt_neox", {"num_hidden_layers": 10**9}, "says that it has 1000000000 layers"),
    Fault("mixtral", {"num_local_experts": 10**9, "num_hidden_layers": 10**9}, "family 'mixtral' is not known"),
]
VALUES = [
    *(
        Fault("gpt2", {"n_head": n}, f"its configuration sets n_head to {n}; Vitro reads whole numbers from 1")
        for n in (-1, 0)
    ),
    *(
        Fault("gpt2", {"n_layer": n}, f"its configuration sets n_layer to {n}; Vitro reads whole numbers")
        for n in (-1, 0)
    ),
    Fault("llama", {"num_hidden_layers": 0}, "sets num_hidden_layers to 0"),
    Fault("llama", {"num_attention_heads": 0}, "config.json describes no llama model"),
    Fault("llama", {"num_attention_heads": -6, "num_key_value_heads": -2}, "sets num_attention_heads to -6"),
    Fault(
        "llama",
        {"num_key_value_heads": 4},
        "sets num_key_value_heads to 4; Vitro reads divisors of num_attention_heads",
    ),
    Fault("llama", {"num_key_value_heads": -2}, "sets num_key_value_heads to -2"),
    Fault("llama", {"head_dim": 7}, "RoPE requires an even rotary dimension"),
    Fault("llama", {"head_dim": 3}, "sets head_dim to 3; Vitro reads an even number"),
    Fault("mistral", {"sliding_window": 0}, "sets sliding_window to 0; Vitro reads windows of 1 to 1e+18 positions"),
    Fault("mistral", {"sliding_window": 10**30}, "sets sliding_window to 1000000000"),
    Fault("llama", {"max_position_embeddings": 10**30}, "sets max_position_embeddings to 10000"),
    Fault("qwen2", {"use_sliding_window": True, "sliding_window": -1}, "sets sliding_window to -1"),
    Fault(
        "gpt_neox", {"rope_parameters": {"partial_rotary_factor": 2}}, "partial_rotary_factor to 2; Vitro reads shares"
    ),
    Fault("gpt_neox", {"rotary_pct": 2, "rope_parameters": None}, "partial_rotary_factor to 2; Vitro reads shares"),
    Fault("llama", {"partial_rotary_factor": 2}, "sets partial_rotary_factor to 2; Vitro reads shares"),
    Fault("llama", {"rope_theta": 0, "rope_parameters": None}, "sets rope_theta to 0; Vitro reads numbers above 0"),
    Fault("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": "two"}}, "sets factor to two"),
    Fault(
        "llama", {"rope_parameters": {"rope_type": "spiral"}}, "sets rope_type to spiral; Vitro reads default, dynamic"
    ),
    Fault("llama", {"rope_parameters": {"rope_type": ["yarn"]}}, "sets rope_type to ['yarn']"),
    Fault("llama", {"rope_parameters": {"rope_type": "llama3"}}, "Missing required keys in `rope_parameters`"),
    Fault(
        "llama",
        {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0]}},
        "sets long_factor to [1.0]; Vitro reads lists of 4 numbers",
    ),
    Fault("llama", {"rms_norm_eps": float("nan")}, "sets rms_norm_eps to nan; Vitro reads numbers from 0 up"),
    Fault("gpt2", {"layer_norm_epsilon": float("-inf")}, "sets layer_norm_epsilon to -inf"),
    Fault("gpt2", {"activation_function": "swoosh"}, "sets activation_function to swoosh; Vitro reads gelu"),
    Fault("gpt2", {"model_type": None}, "known families: gpt2, llama"),
    Fault("gpt2", {"model_type": ["gpt2"]}, "known families: gpt2, llama"),
    Fault(
        "gpt2",
        {"n_layer": "3"},
        "config.json describes no gpt2 model (TypeError: Field 'n_layer' expected int, got str",
    ),
    Fault("gpt2", {"num_hidden_layers": "3"}, "Field 'n_layer' expected int, got str"),
    Fault("gpt2", {"n_embd": 32.0}, "Field 'n_embd' expected int, got float"),
    Fault("gpt2", {"n_layer": True}, "Field 'n_layer' expected int, got bool"),
    Fault("llama", {"rope_parameters": [1]}, "config.json describes no llama model"),
]
QUANTISED = [
    Fault("gpt2", {"quantization_config": config}, f"is quantised ({method}, by quantization_config in config.json)")
    for method, config in {
        "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "gptq": {"quant_method": "gptq", "bits": 4},
        "awq": {"quant_method": "awq", "bits": 4},
        "compressed-tensors": {"quant_method": "compressed-tensors", "config_groups": {}},
        "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }.items()
]


@pytest.mark.parametrize("fault", [*SIZES, *VALUES, *QUANTISED], ids=str)
def test_what_a_configuration_says_is_not_believed(tmp_path: Path, fault: Fault) -> None:
    known = fault.model_type if fault.model_type != "mixtral" else "llama"
    model = configure(sound(tmp_path / "model", known), **{"model_type": fault.model_type, **fault.fields})
    assert fault.words in refused(model)
    # A study asks for these before it loads the model: both may do without the sizes that are wrong.
    for ask in (config_hash, load_tokenizer):
        with within(SECONDS, MEGABYTES), suppress(ModelError):
            ask(find(str(model)))


@pytest.mark.parametrize(
    "fields",
    [
        *({field: "kernels-community/flash-attn"} for field in ("attn_implementation", "_attn_implementation")),
        {"attn_implementation": "flash_attention_2", "_attn_implementation_autoset": True},
        {"experts_implementation": {"": "someone/kernel"}, "_attn_implementation_internal": "someone/kernel"},
        {"num_labels": 10**9, "id2label": None},
        {"dtype": "float7", "torch_dtype": 16, "architectures": 5, "auto_map": 5, "transformers_version": []},
        {"to_dict": 5, "save_pretrained": "x", "__class__": "x", "validate": None, "attribute_map": 3},
        {"problem_type": "single_label_classification", "num_labels": 1, "label2id": 3},
        {"quantization_config": None, "max_position_embeddings": 32, "sliding_window": -4, "layer_types": "all"},
    ],
    ids=str,
)
def test_what_changes_no_number_is_read_whatever_it_says(tmp_path: Path, fields: dict[str, Any]) -> None:
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        plain = read(sound(tmp_path / "plain")).hf(tokens).logits
        logits = read(configure(sound(tmp_path / "model"), **fields)).hf(tokens).logits
    assert torch.equal(logits, plain)


def test_a_limit_of_positions_costs_nothing(tmp_path: Path) -> None:
    model = configure(sound(tmp_path / "model", "llama"), max_position_embeddings=10**12)
    assert read(model).shape.n_ctx == 10**12


DEEP = b"[" * 100_000 + b"]" * 100_000
TEXTS = {
    "nested 100,000 deep": (b'{"model_type": ' + DEEP + b"}", "is nested more than 100 deep"),
    "nested 200 deep": (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "is nested more than 100 deep"),
    "10 MB": (b'{"x": "' + b"x" * 10**7, "cannot be read as JSON"),
    "no UTF-8": (b'{"model_type": "gpt2\xff"}', "is not text in UTF-8 (byte 20)"),
    "UTF-16": ('{"model_type": "gpt2"}'.encode("utf-16"), "is not text in UTF-8 (byte 0)"),
    "a list": (b"[1, 2]", "must hold an object ({...}), and not a list"),
    "a number": (b"1e999", "must hold an object ({...}), and not a float"),
    "empty": (b"", "cannot be read as JSON"),
    "half": (b'{"model_type": ', "cannot be read as JSON"),
    "digits": (b'{"n_layer": ' + b"9" * 10_000 + b"}", "cannot be read as JSON"),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "model.safetensors.index.json"])
def test_a_file_of_json_is_named_with_what_it_is(tmp_path: Path, file: str, text: str) -> None:
    content, words = TEXTS[text]
    model = sound(tmp_path / "model", sharded="index" in file)
    (model / file).write_bytes(content)
    assert f"{file} {words}" in refused(model)


INSTEAD = {
    "folder": "is a folder, not a file",
    "pipe": "is a pipe or device, not a file",
    "device": "is a pipe or device, not a file",
    "link": "is a link to nothing",
    "circle": "cannot be opened (Too many levels of symbolic links)",
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
    without = "has no tokenizer" if (file, what) == ("tokenizer.json", "folder") else f"{path.name} {INSTEAD[what]}"
    assert without in refused(model)


@pytest.mark.parametrize("name", ["vocab.json", "chat_template.jinja", "added_tokens.json", "merges.txt", "x.tiktoken"])
def test_a_pipe_beside_the_tokenizer_does_not_hang(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)
    assert f"{name} is a pipe or device, not a file" in refused(folder)


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
        ("/dev/zero", "zero is a pipe or device, not a file"),
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
        (ConnectionResetError("reset by peer"), "the model hub is out of reach"),
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
    assert f"{named} cannot be opened (Permission denied)" in said
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


TOKENIZERS: dict[str, tuple[dict[str, Any], str]] = {
    "a panic when it is read": (
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}},
        "its tokenizer (tokenizer.json, tokenizer_config.json) cannot be read (PanicException",
    ),
    "another panic": (
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        "cannot be read (PanicException",
    ),
    # tokenizers prints the name of the key on standard output.
    "a key that is none": (
        {"model": None, "added_tokens": [{"id": 0, "content": "[UNK]", "num_labels": 3}]},
        "cannot be",
    ),
    "no model": ({"model": None}, "its tokenizer (tokenizer.json, tokenizer_config.json) cannot be read"),
    "a model that is none": ({"model": {"type": "Sphinx"}}, "cannot be read"),
    "no tokens": ({"added_tokens": 5}, "cannot be read"),
}


@pytest.mark.parametrize("fault", TOKENIZERS)
def test_a_tokenizer_that_fails_is_named_and_says_nothing_else(
    folder: Path, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fields, words = TOKENIZERS[fault]
    assert words in refused(configure(folder, "tokenizer.json", **fields))
    # A panic in Rust writes to the process's own stderr.
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_without_a_token_for_what_it_does_not_know_is_read_and_says_so_of_a_text(tmp_path: Path) -> None:
    model = sound(tmp_path / "model", tokenizer="pieces")
    path = model / "tokenizer.json"
    said = json.loads(path.read_text())
    said["model"]["unk_id"] = None
    said["model"]["vocab"] += [[letter, -9.0] for letter in sorted(set(WORDS) - {" "})]
    path.write_text(json.dumps(said))
    tokenizer = read(model).tokenizer
    (encoded,) = encode(tokenizer, [WORDS])
    assert encoded.ids
    with pytest.raises(TaskError, match="the model's tokenizer fails on 'snow ☃'"):
        encode(tokenizer, [WORDS, "snow ☃"])


def test_memory_that_runs_out_is_no_fault_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 406484144 bytes from file <model.safetensors>: Cannot allocate memory (12)")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", failing)
    assert "model.safetensors cannot be read (memory ran out" in refused(folder)


def test_a_limit_that_is_no_number_is_refused(folder: Path) -> None:
    assert read(configure(folder, "tokenizer_config.json", model_max_length=None)).shape.n_layers == 3
    configure(folder, "tokenizer_config.json", model_max_length="a word")
    assert "tokenizer_config.json sets model_max_length to 'a word'; it must be a number" in refused(folder)


def test_ctrl_c_while_a_tokenizer_is_read_is_no_fault_of_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(folder)


SENTENCEPIECE = b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            SENTENCEPIECE,
            "reading tokenizer.model needs packages that are not installed: pip install sentencepiece proto",
        ),
        (b"IQ== 0\nIg== 1\n", "reading tokenizer.model needs packages that are not installed: pip install tiktoken"),
        (b"<html>404</html>", "tokenizer.model is neither a model of sentencepiece nor a vocabulary of tiktoken"),
        (b"", "tokenizer.model is neither a model of sentencepiece nor a vocabulary of tiktoken"),
    ],
)
def test_a_vocabulary_of_another_library_says_what_it_needs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(content)
    monkeypatch.setattr("importlib.metadata.distributions", lambda: [])
    assert words in refused(folder)


def test_a_vocabulary_that_is_cut_short_is_not_taken_for_another_librarys(folder: Path) -> None:
    pytest.importorskip("sentencepiece")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(SENTENCEPIECE[:7])
    with pytest.raises(ModelError, match=r"tokenizer\.model is cut short or damaged \(sentencepiece cannot read it\)"):
        load(folder)


def test_a_file_of_settings_for_writing_is_not_looked_at(folder: Path) -> None:
    (folder / "generation_config.json").write_bytes(b"\xff[")
    assert read(folder).shape.n_layers == 3


def test_names_of_files_reach_no_terminal_as_they_are(folder: Path) -> None:
    (folder / "config.json").rename(folder / "\x1b[31m.gguf")
    assert "is a folder with a GGUF file in it" in refused(folder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_layer": 10**9}, "config.json says that it has 1000000000 layers"),
        ({"n_head": -1}, "its configuration sets n_head to -1"),
        ({"quantization_config": {"quant_method": "gptq"}}, "is quantised (gptq"),
    ],
)
@pytest.mark.parametrize("command", [["study", "days", "--out"], ["tasks", "days"]])
def test_the_command_line_refuses_it_in_one_line_and_writes_nothing(
    vitro: Vitro, folder: Path, tmp_path: Path, command: list[str], fields: dict[str, Any], words: str
) -> None:
    configure(folder, **fields)
    out = [str(tmp_path / "out")] if "--out" in command else []
    assert words in refusal(vitro(*command, *out, "--model", str(folder)))
    assert not (tmp_path / "out").exists()
