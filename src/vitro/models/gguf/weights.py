"""The weights of a GGUF file, under transformers' names and in its layout, bit for bit as transformers reads them.

transformers' own reader parses the whole file with gguf-py and makes the map of names anew for each module: of the ten
seconds and more that a small model takes it, unpacking the numbers is less than one.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitro.models.cache import LARGEST, keep, kept
from vitro.models.checkpoint import Checkpoint
from vitro.models.gguf.architectures import architecture_of
from vitro.models.gguf.header import Header, Stored, refusal
from vitro.models.gguf.layouts import Layout

_PLAIN = {
    gguf.GGMLQuantizationType.F32: torch.float32,
    gguf.GGMLQuantizationType.F16: torch.float16,
    gguf.GGMLQuantizationType.BF16: torch.bfloat16,
}
"""Formats that torch has too; all others are packed."""
_CHUNK = 2**18
"""Numbers unpacked at a time: gguf-py makes a dozen arrays of as many on the way."""
_FILE = "model.safetensors"
_LIBRARIES = ("gguf", "transformers")


def read_weights(
    checkpoint: Checkpoint, header: Header, skeleton: Any, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """The weights of a GGUF file under their names in the model, out of the cache where they are kept.

    header: the file's. skeleton: the model of its configuration, with weights on the `meta` device. Raises ModelError,
    before any weight is read, where the file's tensors are not those of that model.
    """
    _check_tensors(checkpoint, header, skeleton)
    # Copied whatever the format, so that weights lie in memory alike wherever they come from: how they lie decides the
    # last bits of products.
    return {
        name: numbers.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for name, numbers in _kept(checkpoint, header, skeleton)
    }


def _kept(checkpoint: Checkpoint, header: Header, skeleton: Any) -> Iterable[tuple[str, Tensor]]:
    """Each weight's name and numbers: out of the cache, or unpacked; kept where that takes longer than to read them."""
    packed = any(stored.kind not in _PLAIN for stored in header.tensors.values())
    if not packed or 4 * skeleton.num_parameters() > LARGEST:
        return _unpacked(header, skeleton)
    if (folder := kept(checkpoint, "weights", _LIBRARIES)) is not None:
        # Another process may have removed it since.
        with suppress(OSError, SafetensorError):
            weights = load_file(folder / _FILE)
            if weights.keys() == _places(header, skeleton).keys():
                return weights.items()
    weights = dict(_unpacked(header, skeleton))
    keep(checkpoint, "weights", _LIBRARIES, lambda folder: save_file(weights, folder / _FILE))
    # Each goes when it is copied, so that no two copies of all of them are held.
    return ((name, weights.pop(name)) for name in list(weights))


def _unpacked(header: Header, skeleton: Any) -> Iterator[tuple[str, Tensor]]:
    """Each weight's name and numbers: packed ones as float32, all others as they are in the file."""
    weights = skeleton.state_dict()
    for name, (places, layout) in _places(header, skeleton).items():
        if places[0] in header.tensors:
            parts = [_numbers(header.tensors[place]) for place in places]
            yield name, layout.loaded(parts, skeleton.config).contiguous()
        else:
            yield name, torch.zeros(weights[name].shape)


def _check_tensors(checkpoint: Checkpoint, header: Header, skeleton: Any) -> None:
    for kind, name in {stored.kind: name for name, stored in header.tensors.items()}.items():
        if (fault := _fault(kind)) is not None:
            raise refusal(checkpoint, f"holds {name} in {fault}; take another of the model's files, or its safetensors")
    for name, stored in header.tensors.items():
        per_block, block_bytes = gguf.GGML_QUANT_SIZES[stored.kind]
        end = stored.offset + math.prod(stored.shape) // per_block * block_bytes
        if stored.shape[-1] % per_block or end > stored.path.stat().st_size:
            raise refusal(checkpoint, f"is damaged or cut short: {stored.path.name} does not hold {name} to its end")
    weights, wanted = skeleton.state_dict(), set(architecture_of(header).extra)
    for name, (places, layout) in _places(header, skeleton).items():
        shapes = layout.stored(tuple(weights[name].shape))
        wanted.update(places)
        for place in places:
            if place not in header.tensors:
                if not _is_left_out(header, name):
                    raise refusal(checkpoint, f"holds no {place}, which the model that it describes needs")
            elif (shape := header.tensors[place].shape) not in shapes:
                raise refusal(
                    checkpoint,
                    f"holds {place} with the shape {shape}; in the model that it describes it has {shapes[0]}",
                )
    if strange := sorted(header.tensors.keys() - wanted):
        raise refusal(checkpoint, f"holds {strange[0]}, which the model that it describes has no place for")


def _places(header: Header, skeleton: Any) -> dict[str, tuple[tuple[str, ...], Layout]]:
    """Each weight's name in the model, the tensors of the file that it is made from, and how."""
    architecture = architecture_of(header)
    names = list(skeleton.state_dict())
    if skeleton.config.tie_word_embeddings:
        names.remove("lm_head.weight")
    return {name: architecture.places(name) for name in names}


def _is_left_out(header: Header, name: str) -> bool:
    """A Llama's file may have some of its biases; transformers' model has all of a kind or none."""
    return header.architecture == "llama" and name.endswith("_proj.bias")


def _numbers(stored: Stored) -> Tensor:
    kind = gguf.GGMLQuantizationType(stored.kind)
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    count = math.prod(stored.shape)
    raw = np.fromfile(stored.path, dtype=np.uint8, count=count // per_block * block_bytes, offset=stored.offset)
    if kind in _PLAIN:
        return torch.from_numpy(raw).view(_PLAIN[kind]).reshape(stored.shape)
    blocks, step = raw.reshape(-1, block_bytes), _CHUNK // per_block
    values = torch.empty(count)
    for start in range(0, len(blocks), step):
        # As one long row: gguf-py goes through rows sixteen at a time, which takes twice as long.
        chunk = gguf.dequantize(blocks[start : start + step].reshape(1, -1), kind)
        values[start * per_block :][: chunk.size] = torch.from_numpy(chunk[0])
    return values.reshape(stored.shape)


def _fault(kind: int) -> str | None:
    """What is wrong with a number format, None where it can be unpacked."""
    try:
        known = gguf.GGMLQuantizationType(kind)
    except ValueError:
        return f"a number format that the installed gguf does not know (ggml's number {kind})"
    try:
        gguf.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[known][1]), dtype=np.uint8), known)
    except NotImplementedError:
        return f"the number format {known.name}, which cannot be unpacked"
    return None
