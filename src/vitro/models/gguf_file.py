"""The configuration that a GGUF file describes.

transformers' own reader takes a handful of the file's keys, and the tensors that its model has a place for; it silently
drops the rest. So the configuration is made here: every key of the architecture and every tensor is carried over, known
to change nothing, or refused by name. What a key means, and what its absence means, follows llama.cpp
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and src/llama-model.cpp in llama.cpp).
"""

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from jaxtyping import Float
from torch import Tensor

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import first_line
from vitro.models.errors import ModelError

_ROTARY = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_LEARNED = {
    "context_length": "n_positions",
    "block_count": "n_layer",
    "embedding_length": "n_embd",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
# Architecture -> its keys that have a field in the configuration. A file must have them all: transformers' default for
# a missing key belongs to another model.
_CARRIED = {"llama": _ROTARY, "qwen2": _ROTARY, "gpt2": _LEARNED}
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "embedding_scale": (1.0,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "final_logit_softcapping": (0.0,),
    "logit_scale": (1.0,),
    "residual_scale": (1.0,),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.finetuned": (True, False),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "rope.scaling.yarn_ext_factor": (1.0,),
    "tensor_data_layout": ("Meta AI original pth",),
    "use_parallel_residual": (False,),
}
"""Keys for which no configuration has a field, with the values at which they change nothing."""
_ROPE = (
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "attention.key_length",
    "attention.value_length",
    "attention.scale",
)
ROPE_FREQS = "rope_freqs.weight"
_LINEAR = r"(attn_q|attn_k|attn_v|attn_output|ffn_gate|ffn_up|ffn_down)"
_TENSORS = {
    "llama": (
        r"(token_embd|output|output_norm|rope_freqs)\.weight",
        rf"blk\.(\d+)\.((attn_norm|ffn_norm)\.weight|{_LINEAR}\.(weight|bias))",
    ),
    "qwen2": (
        r"(token_embd|output|output_norm)\.weight",
        rf"blk\.(\d+)\.((attn_norm|ffn_norm|{_LINEAR})\.weight|(attn_q|attn_k|attn_v)\.bias)",
    ),
    "gpt2": (
        r"(token_embd|position_embd|output)\.weight|output_norm\.(weight|bias)",
        r"blk\.(\d+)\.(attn_norm|attn_qkv|attn_output|ffn_norm|ffn_up|ffn_down)\.(weight|bias)",
    ),
}
"""Architecture -> patterns of its tensors: of the whole model, and of each block."""
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_FLOAT32 = 0


class Stored(NamedTuple):
    """A tensor as a file holds it."""

    path: Path
    shape: tuple[int, ...]
    """As in torch: the axis along which numbers lie side by side comes last."""
    kind: int
    """The number format: ggml's number for it."""
    offset: int
    """In bytes from the file's beginning."""


@dataclass(frozen=True)
class Header:
    """A GGUF file without its tensors' values."""

    keys: Mapping[str, Any]
    """Its metadata. An array of strings, which only tokenizers have, is given as its length."""
    tensors: Mapping[str, Stored]

    @property
    def architecture(self) -> str:
        """`llama`, `qwen2`, ...: the prefix of the keys that describe the model."""
        return str(self.keys.get("general.architecture"))

    def describing(self) -> dict[str, Any]:
        """The keys that describe the model, without their prefix."""
        prefix = f"{self.architecture}."
        return {key.removeprefix(prefix): value for key, value in self.keys.items() if key.startswith(prefix)}

    def rope_freqs(self) -> Float[Tensor, " frequency"] | None:
        """The numbers that divide the rotation's frequencies (Llama 3.1 and later); None where there are none."""
        if ROPE_FREQS not in self.tensors:
            return None
        freqs = self.tensors[ROPE_FREQS]
        with freqs.path.open("rb") as file:
            file.seek(freqs.offset)
            return torch.frombuffer(bytearray(file.read(4 * freqs.shape[0])), dtype=torch.float32)


def read_header(checkpoint: Checkpoint) -> Header:
    """The metadata and tensor names of a GGUF file, in milliseconds. Raises ModelError where it cannot be read."""
    path = checkpoint.weights[0]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _parse(path, content)
    except (ValueError, struct.error, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise refusal(checkpoint, "cannot be read, it may be damaged or cut short") from error


def _parse(path: Path, content: mmap.mmap) -> Header:
    at = 4

    def number(form: str) -> Any:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", content, at)
        at += struct.calcsize(f"<{form}")
        return value

    def string() -> str:
        nonlocal at
        length = number("Q")
        if at + length > len(content):
            raise ValueError("a string runs beyond the end of the file")
        at += length
        return content[at - length : at].decode()

    def value(kind: int) -> Any:
        if kind == _STRING:
            return string()
        if kind != _ARRAY:
            return number(_NUMBERS[kind])
        kind, length = number("I"), number("Q")
        values = [value(kind) for _ in range(length)]
        return length if kind == _STRING else values

    version, n_tensors, n_keys = number("I"), number("Q"), number("Q")
    if version not in (2, 3):
        raise ValueError("neither version 2 nor 3")
    keys = {}
    for _ in range(n_keys):
        key = string()
        keys[key] = value(number("I"))
    tensors = {}
    for _ in range(n_tensors):
        name = string()
        shape = tuple(reversed([number("Q") for _ in range(number("I"))]))
        tensors[name] = (shape, number("I"), number("Q"))
    alignment = keys.get("general.alignment", 32)
    start = -(-at // alignment) * alignment
    stored = {name: Stored(path, shape, kind, start + offset) for name, (shape, kind, offset) in tensors.items()}
    return Header(keys, stored)


def config_of(checkpoint: Checkpoint, header: Header) -> Any:
    """The configuration that a GGUF file describes. Raises ModelError, by name, for what none can express."""
    architecture, described = header.architecture, header.describing()
    if architecture not in _CARRIED:
        raise refusal(
            checkpoint,
            f"holds a model of the architecture {architecture!r}; what works: GGUF files of {', '.join(_CARRIED)}, or "
            "the model as safetensors",
        )
    if header.keys.get("split.count", 1) > 1:
        raise refusal(checkpoint, "is one of several parts of a model; merge them with llama.cpp's gguf-split --merge")
    if header.keys.get("general.type", "model") != "model":
        raise refusal(checkpoint, f"holds no model but a thing of the type {header.keys['general.type']!r}")
    carried = _CARRIED[architecture]
    for key in carried:
        if not isinstance(described.get(key), int | float) or described[key] <= 0:
            raise refusal(checkpoint, f"does not give {architecture}.{key} as a number, and so describes no model")
    _check_tensors(checkpoint, header, described["block_count"])
    _check_keys(checkpoint, header)
    fields = {field: described[key] for key, field in carried.items()}
    fields["vocab_size"] = header.tensors["token_embd.weight"].shape[0]
    fields["tie_word_embeddings"] = "output.weight" not in header.tensors
    for token in ("bos", "eos"):
        fields[f"{token}_token_id"] = header.keys.get(f"tokenizer.ggml.{token}_token_id")
    if architecture != "gpt2":
        fields |= _rotation(checkpoint, header)
    if architecture == "llama":
        biased = {name.split(".")[2] for name in header.tensors if name.endswith(".bias")}
        fields["attention_bias"] = any(part.startswith("attn") for part in biased)
        fields["mlp_bias"] = any(part.startswith("ffn") for part in biased)
    try:
        return transformers.AutoConfig.for_model(architecture, **fields)
    except Exception as error:  # of many classes: huggingface_hub's own, ValueError, TypeError
        raise refusal(checkpoint, f"describes no model ({first_line(error)})") from error


def _check_tensors(checkpoint: Checkpoint, header: Header, n_layers: int) -> None:
    whole, block = (re.compile(pattern) for pattern in _TENSORS[header.architecture])
    strange = []
    for name in header.tensors:
        match = block.fullmatch(name)
        if not whole.fullmatch(name) and (match is None or int(match[1]) >= n_layers):
            strange.append(name)
    if strange:
        raise refusal(
            checkpoint,
            f"holds {len(strange)} tensors that a {header.architecture} model has no place for "
            f"({', '.join(strange[:3])}); without them it would be another model",
        )
    if "token_embd.weight" not in header.tensors:
        raise refusal(checkpoint, "holds no token_embd.weight, the embedding of its tokens")


def _check_keys(checkpoint: Checkpoint, header: Header) -> None:
    """Raises ModelError for a key that is neither carried over nor without effect."""
    architecture, described = header.architecture, header.describing()
    same = {
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        "attention.head_count_kv": described.get("attention.head_count"),
    }
    window = described.pop("attention.sliding_window", 0)
    # A window as wide as the longest prompt hides nothing.
    if 0 < window < described["context_length"]:
        raise _not_carried(checkpoint, f"{architecture}.attention.sliding_window", window)
    for key, value in described.items():
        used = key in _CARRIED[architecture] or (key in _ROPE and architecture != "gpt2")
        if not used and value not in _NEUTRAL.get(key, (same.get(key),)):
            raise _not_carried(checkpoint, f"{architecture}.{key}", value)


def _rotation(checkpoint: Checkpoint, header: Header) -> dict[str, Any]:
    """The rotation: width of heads, frequencies, scaling. Raises ModelError where the model cannot rotate so."""
    architecture, described = header.architecture, header.describing()
    width = described.get("attention.key_length", described["embedding_length"] // described["attention.head_count"])
    for key in ("attention.value_length", "rope.dimension_count"):
        if described.get(key, width) != width:
            raise _not_carried(checkpoint, f"{architecture}.{key}", described[key])
    scale = described.get("attention.scale", 0.0)
    if scale and abs(scale - width**-0.5) > 1e-6:
        raise _not_carried(checkpoint, f"{architecture}.attention.scale", scale)
    freqs = header.tensors.get(ROPE_FREQS)
    if freqs is not None and (freqs.shape, freqs.kind) != ((width // 2,), _FLOAT32):
        raise _not_carried(checkpoint, ROPE_FREQS, f"a tensor of shape {freqs.shape} and ggml type {freqs.kind}")
    theta = {"rope_theta": described.get("rope.freq_base", 10000.0)}
    return {"head_dim": width, "rope_parameters": theta | _scaling(checkpoint, header, described)}


def _scaling(checkpoint: Checkpoint, header: Header, described: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling of the rotation, in transformers' fields."""
    # llama.cpp takes 0 as "not given", and linear where there is a factor but no type.
    factor = described.get("rope.scaling.factor") or described.get("rope.scale_linear") or 1.0
    kind = described.get("rope.scaling.type", "linear")
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return {"rope_type": "default"}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn" and factor >= 1.0 and ROPE_FREQS not in header.tensors:
        return {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": described.get(
                "rope.scaling.original_context_length", described["context_length"]
            ),
            "beta_fast": described.get("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": described.get("rope.scaling.yarn_beta_slow", 1.0),
        }
    raise _not_carried(checkpoint, f"{header.architecture}.rope.scaling.type", f"{kind} (factor {factor:g})")


def divide_frequencies(header: Header, hf: Any) -> None:
    """Divide a loaded model's frequencies by the file's `rope_freqs`, as llama.cpp does."""
    freqs = header.rope_freqs()
    if freqs is not None:
        rotary = hf.model.rotary_emb
        for name in ("inv_freq", "original_inv_freq"):
            getattr(rotary, name).div_(freqs)


def _not_carried(checkpoint: Checkpoint, key: str, value: Any) -> ModelError:
    return refusal(checkpoint, f"says {key} = {value}, which is not carried into the model; take its safetensors")


def refusal(checkpoint: Checkpoint, what: str) -> ModelError:
    """The error that says of a GGUF file what is wrong with it."""
    return ModelError(f"model {checkpoint.name!r}: {checkpoint.gguf} {what}")
