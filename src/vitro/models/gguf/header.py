"""What stands at the beginning of a GGUF file: its keys, and where its tensors lie.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError

ROPE_FREQS = "rope_freqs.weight"
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_MOST_AXES = 4


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
    """A GGUF file, or all parts of one, without its tensors' values."""

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
        return self.vector(ROPE_FREQS) if ROPE_FREQS in self.tensors else None

    def vector(self, name: str) -> Float[Tensor, " number"]:
        """A tensor with one axis, in float32, as the file holds it."""
        stored = self.tensors[name]
        with stored.path.open("rb") as file:
            file.seek(stored.offset)
            return torch.frombuffer(bytearray(file.read(4 * stored.shape[0])), dtype=torch.float32)


def read_header(checkpoint: Checkpoint) -> Header:
    """The keys and tensors of a GGUF file, in milliseconds. Raises ModelError where it cannot be read.

    Of a model in several files the keys are the first one's, and the tensors those of all.
    """
    headers = [_read(checkpoint, path) for path in checkpoint.weights]
    tensors: dict[str, Stored] = {}
    for number, (path, header) in enumerate(zip(checkpoint.weights, headers, strict=True)):
        if (header.keys.get("split.no", 0), header.keys.get("split.count", 1)) != (number, len(headers)):
            raise refusal(
                checkpoint,
                f"is one of several parts of a model ({path.name} is part {header.keys.get('split.no', 0)}, from 0, of "
                f"{header.keys.get('split.count', 1)}); put all of them in one folder, under the names that "
                "llama.cpp's gguf-split gave them (model-00001-of-00003.gguf), or merge them with gguf-split --merge",
            )
        if twice := sorted(tensors.keys() & header.tensors.keys()):
            raise refusal(checkpoint, f"holds the tensor {twice[0]} twice, once in {path.name}")
        tensors |= header.tensors
    return Header(headers[0].keys, tensors)


def _read(checkpoint: Checkpoint, path: Path) -> Header:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            version = struct.unpack_from("<I", content, 4)[0]
            if version not in (2, 3):
                raise refusal(
                    checkpoint,
                    f"is of version {version} of the format, or big-endian; what works: 2 and 3, little-endian",
                )
            return _parse(path, content)
    except (ValueError, struct.error, KeyError, OverflowError, MemoryError) as error:
        raise refusal(checkpoint, "cannot be read, it may be damaged or cut short") from error


def _parse(path: Path, content: mmap.mmap) -> Header:
    at = 8

    def numbers(code: str, count: int = 1) -> tuple[Any, ...]:
        nonlocal at
        # Raises struct.error, before anything is made, where there are not as many bytes.
        read = struct.unpack_from(f"<{count}{code}", content, at)
        at += struct.calcsize(f"<{count}{code}")
        return read

    def string() -> str:
        nonlocal at
        (length,) = numbers("Q")
        if length > len(content) - at:
            raise ValueError("a string runs beyond the end of the file")
        at += length
        return content[at - length : at].decode()

    def value(kind: int) -> Any:
        nonlocal at
        if kind == _STRING:
            return string()
        if kind != _ARRAY:
            return numbers(_NUMBERS[kind])[0]
        (kind,), (length,) = numbers("I"), numbers("Q")
        if kind != _STRING:
            return list(numbers(_NUMBERS[kind], length))
        for _ in range(length):
            # A vocabulary has a hundred thousand.
            at += _LENGTH.size + _LENGTH.unpack_from(content, at)[0]
        return length

    (n_tensors,), (n_keys,) = numbers("Q"), numbers("Q")
    keys: dict[str, Any] = {}
    for _ in range(n_keys):
        key = string()
        keys[key] = value(*numbers("I"))
    tensors: dict[str, tuple[tuple[int, ...], int, int]] = {}
    for _ in range(n_tensors):
        name, (n_axes,) = string(), numbers("I")
        if name in tensors or not 0 < n_axes <= _MOST_AXES:
            raise ValueError("a tensor twice, or of a number of axes that none has")
        shape = tuple(reversed(numbers("Q", n_axes)))
        tensors[name] = (shape, *numbers("I"), *numbers("Q"))
    alignment = keys.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("tensors cannot be aligned so")
    start = -(-at // alignment) * alignment
    return Header(keys, {name: Stored(path, shape, kind, start + at) for name, (shape, kind, at) in tensors.items()})


def refusal(checkpoint: Checkpoint, what: str) -> ModelError:
    """The error that says of a GGUF file what is wrong with it."""
    return ModelError(f"model {checkpoint.name!r}: {checkpoint.gguf} {what}")


def not_carried(checkpoint: Checkpoint, key: str, value: Any) -> ModelError:
    """The error for a key, or a tensor, that the model would have to be computed by and is not."""
    return refusal(
        checkpoint, f"says {key} = {shortened(value)}, which is not carried into the model; take its safetensors"
    )


def shortened(value: Any) -> str:
    """A value as an error shows it."""
    return str(value)[:60]
