"""Random faults of a checkpoint: in what its files of JSON say, in their bytes, in what stands in its folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz.draw import Draw

Place = list[Any]
"""The way to a value in JSON: keys and numbers."""

FIELDS = (
    *("quantization_config", "attn_implementation", "_attn_implementation", "sliding_window", "rope_scaling"),
    *("num_labels", "id2label", "layer_types", "to_dict", "torch_dtype", "rope_theta", "partial_rotary_factor"),
    *("num_hidden_layers", "hidden_size", "head_dim", "num_key_value_heads", "is_causal", "architectures", "auto_map"),
    *("tokenizer_class", "model_name", "_name_or_path", "rotary_pct", "max_window_layers", "use_sliding_window"),
    *("attention_bias", "per_layer_config", "text_config", "original_max_position_embeddings", "rope_parameters"),
    *("model_max_length", "chat_template", "added_tokens_decoder", "padding_side", "truncation", "padding"),
    *("normalizer", "extra_special_tokens", "add_prefix_space", "unk_id", "dropout", "pad_token_id", "__class__"),
    *("alibi", "multi_query", "parallel_attn", "new_decoder_architecture", "num_kv_heads", "clip_qkv", "logit_scale"),
    *("attn_logit_softcapping", "final_logit_softcapping", "query_pre_attn_scalar", "no_rope_layers", "qk_layernorm"),
    *("num_experts", "num_local_experts", "num_experts_per_tok", "norm_topk_prob", "mlp_only_layers", "use_qk_norm"),
    *("residual_multiplier", "logits_scaling", "tie_word_embeddings", "attn_config", "vision_config", "model_type"),
    *("factor", "rope_type", "type", "short_factor", "long_factor", "attention_factor", "beta_fast", "self"),
)
_ROPES: tuple[dict[str, Any], ...] = (
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 8},
    {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "factor": 2.0},
    {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0},
    {"type": "ntk", "factor": 0},
    {"full_attention": {"rope_type": "default"}},
)
VALUES: tuple[Any, ...] = (
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
    *([], {}, [None], [[]], [0], ["a", "b"], [1, 2, 3], {"a": 1}, {"": None}, {"0": "x"}, *_ROPES),
    *("kernels-community/flash-attn", "flash_attention_2", "eager", "gptq", {"quant_method": "gptq", "bits": 4}),
    *("LlamaTokenizer", "GPT2TokenizerFast", "BertTokenizer", "PreTrainedTokenizerFast", "float16", "relu"),
)
_STRANGERS = (
    *("adapter_config.json", "adapter_model.safetensors", "model.safetensors.index.json", "model.safetensors"),
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("tokenizer.model", "tekken.json", "chat_template.jinja", "preprocessor_config.json", "params.json"),
    *("quantize_config.json", "model-00003-of-00003.safetensors", "tokenizer.4.0.0.json", "pytorch_model.bin"),
)


def add_fault(draw: Draw, folder: Path) -> str:
    """Put a fault into a folder, and say which."""
    return draw.one_of((_in_json, _in_json, _in_json, _in_header, _in_bytes, _in_folder))(draw, folder)


def _in_json(draw: Draw, folder: Path) -> str:
    """A value of a file of JSON replaced, taken out, or put in."""
    names = sorted(path.name for path in _files(folder) if path.suffix == ".json")
    # The configuration matters most, and is shorter than others.
    name = "config.json" if "config.json" in names and draw.chance(0.5) else draw.one_of([*names, ""])
    whole = _json(folder / name)
    if whole is None:
        return "no JSON to change"
    if draw.chance(0.02):
        (folder / name).write_text("[" * 100_000 + "]" * 100_000)
        return f"{name}: 100,000 deep"
    changed, what = _changed(draw, whole)
    (folder / name).write_text(json.dumps(changed), "utf-8")
    return f"{name}: {what}"


def _in_header(draw: Draw, folder: Path) -> str:
    """The header of a file of weights says something else; its length is that of the header."""
    files = [path for path in _files(folder) if path.suffix == ".safetensors" and path.stat().st_size > 8]
    if not files:
        return "no header to change"
    path = draw.one_of(files)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:end])
    except ValueError:
        return "no header to change"
    if not isinstance(header, dict) or draw.chance(0.4):
        header, what = _changed(draw, header)
    else:
        what = _weight_changed(draw, header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])
    return f"header of {path.name}: {what}"


def _weight_changed(draw: Draw, header: dict[str, Any]) -> str:
    names = [name for name, weight in header.items() if isinstance(weight, dict) and "shape" in weight]
    if not names:
        return "no weight to change"
    name, other = draw.one_of(names), header[draw.one_of(names)]
    weight, what = header[name], draw.one_of(("name", "dtype", "shape", "data_offsets"))
    match what:
        case "name":
            header[draw.one_of(("strange", f"{name}.qweight", "h.9.a.b", name.upper()))] = header.pop(name)
        case "dtype":
            weight[what] = draw.one_of(("F16", "I8", "U8", "F8_E4M3", "I64", "BOOL", "X"))
        case "shape":
            weight[what] = draw.one_of(
                ([1], [], [10**9], [0], [2**40, 2**40], weight["shape"][::-1], [weight["shape"]])
            )
        case "data_offsets":
            weight[what] = draw.one_of(([0, 0], [0, 10**12], [-1, 4], [4, 0], other.get("data_offsets")))
    return f"{what} of {name}"


def _in_bytes(draw: Draw, folder: Path) -> str:
    """A file cut, filled up, or with some bytes changed, most of them near its beginning."""
    files = [path for path in _files(folder) if path.stat().st_size]
    if not files:
        return "no bytes to change"
    path = draw.one_of(files)
    content = bytearray(path.read_bytes())
    size = len(content)
    what = draw.one_of(("cut", "more", "flipped", "flipped", "length", "mark", "empty", "zeros"))
    match what:
        case "cut":
            del content[draw.integer(0, size) :]
        case "more":
            content += draw.one_of((bytes(100), b"}", b"\xff\xfe", b"\n"))
        case "flipped":
            for _ in range(draw.integer(1, 4)):
                content[draw.integer(0, min(size, 2000) - 1)] = draw.integer(0, 255)
        case "length":
            content[:8] = draw.one_of((0, 1, 2**31, 2**63, 2**64 - 1, size, 2 * size)).to_bytes(8, "little")
        case "mark":
            content[:0] = draw.one_of((b"\xef\xbb\xbf", b"\xff\xfe", b"\0"))
        case "empty":
            content.clear()
        case "zeros":
            content[:] = bytes(size)
    path.write_bytes(content)
    return f"{path.name}: {what}"


def _in_folder(draw: Draw, folder: Path) -> str:
    """A file gone, elsewhere, or something else in its place; or a stranger beside it."""
    what = draw.one_of(("gone", "renamed", "folder", "pipe", "link", "circle", "device", "swapped", "stranger"))
    files = _files(folder)
    if what == "stranger" or not files:
        name = draw.one_of(_STRANGERS)
        if not os.path.lexists(folder / name):
            content = files[0].read_bytes() if files else b""
            (folder / name).write_bytes(draw.one_of((b"", b"{}", b"[]", b"\xff", content)))
        return f"{name} put in"
    path, other = draw.one_of(files), draw.one_of(files)
    if what == "swapped":
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
        return f"{path.name} and {other.name} swapped"
    if what == "renamed":
        name = draw.one_of((path.name.upper(), f"old.{path.name}", f"{path.name}.bak", "\x1b[31m.gguf"))
        path.rename(folder / name)
        return f"{path.name} renamed to {name!r}"
    path.unlink()
    put_instead(path, what)
    return f"{path.name}: {what}"


def put_instead(path: Path, what: str) -> None:
    """Under a file's name, what is no file: a "folder", a "pipe", a "device", a "link" to nothing, a "circle" of links.

    "gone": nothing at all.
    """
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what != "gone":
        path.symlink_to({"link": "nowhere", "circle": path.name, "device": "/dev/zero"}[what])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _changed(draw: Draw, whole: Any) -> tuple[Any, str]:
    """JSON with one value changed, and what was done."""
    places = list(_places(whole, []))
    what = draw.one_of(("replaced", "replaced", "replaced", "taken out", "put in"))
    objects = [place for place in places if isinstance(_at(whole, place), dict)]
    if what == "put in" and objects:
        # More often the outermost: that is where most fields are.
        place = draw.one_of(objects) if draw.chance(0.4) else objects[0]
        field, value = draw.one_of(FIELDS), draw.one_of(VALUES)
        _at(whole, place)[field] = value
        return whole, f"{field} = {str(value)[:60]!r} put in at {place}"
    place = draw.one_of(places)
    if not place:
        value = draw.one_of(VALUES)
        return value, f"all of it replaced by {str(value)[:60]!r}"
    parent, key = _at(whole, place[:-1]), place[-1]
    if what == "taken out":
        del parent[key]
        return whole, f"{place} taken out"
    parent[key] = _other(draw, parent[key])
    return whole, f"{place} replaced by {str(parent[key])[:60]!r}"


def _places(value: Any, at: Place) -> Iterator[Place]:
    yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _places(part, [*at, key])


def _at(whole: Any, place: Place) -> Any:
    for key in place:
        whole = whole[key]
    return whole


def _other(draw: Draw, now: Any) -> Any:
    """A value of any type and size; often one that is like the one that was there."""
    like: tuple[Any, ...] = ()
    if isinstance(now, int | float):
        like = (-now, now + 1, now - 1, 2 * now, now / 2, now * 10**6, float(now), str(now), [now])
    elif isinstance(now, str):
        like = (now.upper(), now[:-1], f"{now}\n", now * 2, [now], now.encode().hex())
    elif isinstance(now, list):
        like = (now[:-1], now * 2, now[::-1], dict.fromkeys(map(str, range(len(now))), 0), [now])
    elif isinstance(now, dict):
        like = (list(now), {**now, **dict.fromkeys(list(now)[:1])}, dict(list(now.items())[1:]))
    return draw.one_of(like if like and draw.chance(0.5) else VALUES)
