"""Sound checkpoints with one or two random faults: each gives a model that runs, or one line that refuses it."""

import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from command import is_one_line
from fuzz.check import Check, agree
from fuzz.draw import Draw
from fuzz.folders import TOKENIZERS, WORDS, sound_files
from small_models import KINDS
from vitro.engine import sweep
from vitro.errors import VitroError
from vitro.models import ModelError, find, load, load_tokenizer
from vitro.models.config import config_hash
from vitro.tasks.tokenizer import encode, readable

SECONDS = 10
MEGABYTES = 200


def check_checkpoints(draw: Draw) -> list[Check]:
    """All that reads a checkpoint, on one with faults: what comes of it, in how long, in how much memory."""
    files = dict(sound_files(draw.one_of(list(KINDS)), draw.one_of(list(TOKENIZERS)), draw.chance(0.3)))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        faults = [draw.one_of(FAULTS)(draw, folder) for _ in range(draw.integer(1, 2))]
        before, start = _memory(), time.monotonic()
        wrong = [what for read in (_run, _hash, _cut) if (what := _wrong(read, str(folder)))]
        seconds, megabytes = time.monotonic() - start, (_memory() - before) / 1024
    if megabytes > MEGABYTES or seconds > SECONDS:
        wrong.append(f"{seconds:.1f} s, {megabytes:.0f} MB")
    return [agree(f"{'; '.join(faults)}: {'; '.join(wrong) or 'as it should be'}", not wrong)]


def _run(folder: str) -> None:
    """Load the model, write a text in its tokens, and run them."""
    model = load(folder)
    (encoded,) = encode(model.tokenizer, [WORDS])
    for token in encoded.ids:
        readable(model.tokenizer, token)
    tokens = [token for token in encoded.ids if token < model.shape.d_vocab] or [0]
    tokens = tokens[: model.shape.n_ctx]
    logits = sweep(model, [tokens], [()], lambda finals: {"logits": finals.logits})["logits"][0, 0]
    if (reference := _plain_logits(folder, tokens)) is not None:
        torch.testing.assert_close(logits, reference, atol=1e-4 * float(reference.abs().max()), rtol=0.0)


def _plain_logits(folder: str, tokens: list[int]) -> Tensor | None:
    """What plain transformers makes of the folder; None where that fails on what changes no logit."""
    config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    # Made into as long a list.
    if config.get("num_labels", 0) != 0:
        return None
    try:
        hf = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32, local_files_only=True
        )
        with torch.no_grad():
            logits: Tensor = hf(torch.tensor([tokens])).logits[0, -1]
    except Exception:
        return None
    return logits


def _hash(folder: str) -> None:
    checkpoint = find(folder)
    config_hash(checkpoint)
    checkpoint.tokenizer_hash()
    checkpoint.weights_hash()


def _cut(folder: str) -> None:
    tokenizer, _ = load_tokenizer(find(folder))
    encode(tokenizer, [WORDS])


def _wrong(read: Callable[[str], None], folder: str) -> str:
    """What is wrong with what comes of reading a folder; nothing where it is a result or one line."""
    try:
        with _in_time():
            read(folder)
    except VitroError as error:
        # Numbers that are none are found when the model runs; all else is when it is read.
        right = isinstance(error, ModelError) or read is _run
        return "" if right and is_one_line(str(error)) else f"{type(error).__name__}: {error}"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return traceback.format_exc()
    return ""


class _TooLong(BaseException):
    """So that no `except Exception` takes it for an error of a file."""


@contextmanager
def _in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _memory() -> int:
    """The most that this process ever held, in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


Path_ = list[str | int]


def _json_fault(draw: Draw, folder: Path) -> str:
    """A value of a file of JSON replaced, taken out, or put in."""
    names = [path.name for path in folder.iterdir() if path.suffix == ".json" and path.is_file()]
    if not names:
        return "nothing"
    # The configuration and what is in it matter most, and are shorter than the others.
    name = "config.json" if "config.json" in names and draw.chance(0.5) else draw.one_of(sorted(names))
    path = folder / name
    try:
        whole = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return "nothing"
    what = _changed(draw, whole)
    text = json.dumps(what[0])
    path.write_text(_deep(text) if what[0] == DEEP else text, "utf-8")
    return f"{name}: {what[1]}"


DEEP = "deep"


def _deep(text: str) -> str:
    return "[" * 100_000 + text + "]" * 100_000


def _changed(draw: Draw, whole: Any) -> tuple[Any, str]:
    """JSON with one value changed, and what was done."""
    places = list(_places(whole, []))
    place = draw.one_of(places)
    kind = draw.one_of(("replace", "replace", "replace", "delete", "add"))
    if kind == "add":
        objects = [at for at in places if isinstance(_at(whole, at), dict)]
        if objects:
            # More often the outermost: that is where most fields are.
            target = _at(whole, draw.one_of(objects) if draw.chance(0.4) else [])
            if isinstance(target, dict):
                key, value = draw.one_of(FIELDS), _value(draw, None)
                target[key] = value
                return whole, f"{key} = {str(value)[:60]!r} put in"
    if not place:
        value = _value(draw, None)
        return value, f"all of it replaced by {str(value)[:60]!r}"
    parent, key = _at(whole, place[:-1]), place[-1]
    if kind == "delete":
        del parent[key]
        return whole, f"{place} taken out"
    parent[key] = _value(draw, parent[key])
    return whole, f"{place} = {str(parent[key])[:60]!r}"


def _places(value: Any, at: Path_) -> Iterator[Path_]:
    yield at
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, [*at, key])
    if isinstance(value, list):
        for number, part in enumerate(value[:20]):
            yield from _places(part, [*at, number])


def _at(whole: Any, place: Path_) -> Any:
    for key in place:
        whole = whole[key]
    return whole


FIELDS = (
    *("quantization_config", "attn_implementation", "_attn_implementation", "sliding_window", "rope_scaling"),
    *("num_labels", "id2label", "layer_types", "to_dict", "torch_dtype", "rope_theta", "partial_rotary_factor"),
    *("num_hidden_layers", "hidden_size", "head_dim", "num_key_value_heads", "is_causal", "architectures", "auto_map"),
    *("tokenizer_class", "model_name", "_name_or_path", "rotary_pct", "max_window_layers", "use_sliding_window"),
    *("attention_bias", "per_layer_config", "text_config", "original_max_position_embeddings", "rope_parameters"),
    *(
        "model_max_length",
        "chat_template",
        "added_tokens_decoder",
        "padding_side",
        "truncation",
        "padding",
        "normalizer",
    ),
    *(
        "extra_special_tokens",
        "add_prefix_space",
        "unk_id",
        "dropout",
        "continuing_subword_prefix",
        "__class__",
        "self",
    ),
    *("factor", "rope_type", "type", "short_factor", "long_factor", "attention_factor", "beta_fast", "pad_token_id"),
)
ROPES = (
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8},
    {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "factor": 2.0},
    {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0},
    {"type": "ntk", "factor": 0},
    {"full_attention": {"rope_type": "default"}},
)
VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**9, 10**30, 10**400, -(10**9), 0.5, 1.5, -0.0, 1e-300, 1e300),
    *(
        float("nan"),
        float("inf"),
        "",
        "a word",
        "\x1b[31mred",
        "\ud800",
        "\x00",
        "x" * 100_000,
        "3",
        "gpt2",
        "../other",
    ),
    *([], {}, [None], [[]], [0], ["a", "b"], [1, 2, 3], {"a": 1}, {"": None}, {"0": "x"}, *ROPES),
    *("kernels-community/flash-attn", "flash_attention_2", "eager", "gptq", {"quant_method": "gptq", "bits": 4}),
    *("LlamaTokenizer", "GPT2TokenizerFast", "BertTokenizer", "PreTrainedTokenizerFast", "float16", "relu"),
)


def _value(draw: Draw, now: Any) -> Any:
    """A value of any type and size; often one that is like the one that was there."""
    if isinstance(now, int | float) and draw.chance(0.5):
        return draw.one_of((-now, now + 1, now - 1, 2 * now, now / 2, now * 10**6, float(now), str(now), [now]))
    if isinstance(now, str) and draw.chance(0.3):
        return draw.one_of((now.upper(), now[:-1], now + "\n", now * 2, [now], now.encode().hex()))
    if isinstance(now, list) and draw.chance(0.5):
        return draw.one_of((now[:-1], now * 2, now[::-1], dict.fromkeys(map(str, range(len(now))), 0), [now]))
    if isinstance(now, dict) and draw.chance(0.5):
        return draw.one_of((list(now), {**now, **dict.fromkeys(list(now)[:1])}, dict(list(now.items())[1:])))
    if draw.chance(0.02):
        return DEEP
    return draw.one_of(VALUES)


def _header_fault(draw: Draw, folder: Path) -> str:
    """The header of a file of weights says something else; its length is that of the header."""
    paths = _weights(folder)
    if not paths:
        return "nothing"
    path = draw.one_of(paths)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
    except ValueError:
        return "nothing"
    if draw.chance(0.4):
        names = [name for name in header if name != "__metadata__"]
        name = draw.one_of(names)
        what = draw.one_of(("dtype", "shape", "data_offsets", "name"))
        if what == "name":
            header[draw.one_of(("strange", name + ".qweight", "h.9.a.b", name.upper()))] = header.pop(name)
        elif what == "dtype":
            header[name][what] = draw.one_of(("F16", "I8", "U8", "F8_E4M3", "I64", "BOOL", "X"))
        elif what == "shape":
            header[name][what] = draw.one_of(([1], [], header[name][what][::-1], [10**9], [0], [header[name][what]]))
        else:
            header[name][what] = draw.one_of(([0, 0], [0, 10**12], [-1, 4], [4, 0], header[header and names[0]][what]))
        did = f"{what} of {name}"
    else:
        header, did = _changed(draw, header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return f"header of {path.name}: {did}"


def _bytes_fault(draw: Draw, folder: Path) -> str:
    """A file cut, filled up, or with some bytes changed, most of them near its beginning."""
    paths = sorted(
        path for path in folder.iterdir() if path.is_file() and not path.is_symlink() and path.stat().st_size
    )
    if not paths:
        return "nothing"
    path = draw.one_of(paths)
    content = bytearray(path.read_bytes())
    kind = draw.one_of(("cut", "more", "flip", "flip", "length", "bom", "empty", "zeros"))
    if kind == "cut":
        del content[draw.integer(0, len(content)) :]
    elif kind == "more":
        content += draw.one_of((b"\0" * 100, b"}", b"\xff\xfe", b"\n"))
    elif kind == "flip":
        for _ in range(draw.integer(1, 4)):
            content[draw.integer(0, min(len(content), 2000) - 1)] = draw.integer(0, 255)
    elif kind == "length":
        content[:8] = draw.one_of((0, 1, 2**31, 2**63, 2**64 - 1, len(content), len(content) * 2)).to_bytes(8, "little")
    elif kind == "bom":
        content[:0] = draw.one_of((b"\xef\xbb\xbf", b"\xff\xfe", b"\0"))
    elif kind == "empty":
        content.clear()
    else:
        content[:] = bytes(len(content))
    path.write_bytes(content)
    return f"{path.name}: {kind}"


def _folder_fault(draw: Draw, folder: Path) -> str:
    """A file gone, elsewhere, or something else in its place; or a stranger beside it."""
    path = draw.one_of(sorted(folder.iterdir()))
    kind = draw.one_of(("gone", "renamed", "folder", "pipe", "link", "circle", "device", "swapped", "stranger"))
    if kind == "stranger":
        name = draw.one_of(STRANGERS)
        if not (folder / name).exists():
            (folder / name).write_bytes(
                draw.one_of((b"", b"{}", b"[]", b"\xff", path.read_bytes() if path.is_file() else b""))
            )
        return f"{name!r} put in"
    if kind == "swapped":
        other = draw.one_of(sorted(folder.iterdir()))
        spare = folder / "spare"
        path.rename(spare)
        if other != path:
            other.rename(path)
        spare.rename(other)
        return f"{path.name} and {other.name} swapped"
    if kind == "renamed":
        path.rename(folder / draw.one_of((path.name.upper(), "old." + path.name, path.name + ".bak", "\x1b[31m.gguf")))
        return f"{path.name} renamed"
    if path.is_dir() and not path.is_symlink():
        return "nothing"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("link", "circle", "device"):
        path.symlink_to({"link": "nowhere", "circle": path.name, "device": "/dev/zero"}[kind])
    return f"{path.name}: {kind}"


STRANGERS = (
    *("adapter_config.json", "adapter_model.safetensors", "model.safetensors.index.json", "model.safetensors"),
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("tokenizer.model", "tekken.json", "chat_template.jinja", "preprocessor_config.json", "params.json"),
    *("quantize_config.json", "model-00003-of-00003.safetensors", "tokenizer.4.0.0.json", "pytorch_model.bin"),
)


def _weights(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".safetensors" and path.is_file())


FAULTS = (_json_fault, _json_fault, _json_fault, _header_fault, _bytes_fault, _folder_fault)
