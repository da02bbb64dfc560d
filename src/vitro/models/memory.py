"""Whether a model's weights fit into what memory is free, which is known before a weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from vitro.limits import Room, free_memory
from vitro.models.cache import LARGEST
from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError
from vitro.models.formats import DTYPES
from vitro.models.headers import Stored

_KINDS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True)
class Needed:
    """Bytes that reading a model takes."""

    weights: int
    """In the number format that is asked for, tied ones once: what stays."""
    memory: int
    """The most that is held at a time."""
    addresses: int
    """The most address space, into which files are mapped whole."""


def needed(stored: Mapping[str, Stored] | None, skeleton: Any, dtype: torch.dtype, files: int) -> Needed:
    """What reading a model takes; measured, to a few percent, in every pair of formats (tests/models/test_memory.py).

    stored: its weights, by the headers of safetensors; None for a GGUF file. skeleton: the model of its configuration,
    with weights on the `meta` device. files: the bytes of its files.

    Weights stored in the format that is asked for stay where the file is mapped. Others are converted one by one, and
    experts put together; what of the file was read the system takes back where it needs it. What is unpacked of a
    smaller GGUF file is whole for a moment, in float32, to be kept for the next time.
    """
    numbers = sum(weight.numel() for weight in skeleton.parameters())
    weights = numbers * dtype.itemsize
    if stored is None:
        unpacked = 4 * numbers
        largest = 4 * max((weight.numel() for weight in skeleton.parameters()), default=0)
        held = max(weights, unpacked) + largest if unpacked <= LARGEST else weights + largest
        return Needed(weights, held, held + weights)
    apart = not stored.keys() <= skeleton.state_dict().keys()
    mapped = not apart and all(weight.kind == _KINDS[dtype] for weight in stored.values())
    return Needed(weights, weights, files if mapped else weights + files)


def check_memory(
    checkpoint: Checkpoint,
    stored: Mapping[str, Stored] | None,
    skeleton: Any,
    dtype: str,
    place: torch.device,
    room: Room | None = None,
) -> None:
    """Raises ModelError, with the numbers and what would work, where a model does not fit into the memory that is free.

    place: where it is to run. It is read into the machine's own memory first. Where a system does not say what is free,
    nothing is refused. room: what it may take, where that is less than what is free.
    """
    files = sum(path.stat().st_size for path in checkpoint.weights)
    needs = {name: needed(stored, skeleton, DTYPES[name], files) for name in DTYPES}
    rooms = [*_rooms(place), *([room] if room else [])]
    if (short := _short(needs[dtype], rooms)) is None:
        return
    wanted, room = short
    kept = needs[dtype].weights
    besides = f" and {_gb(wanted - kept)} to read them" if wanted - kept > kept // 20 else ""
    smaller = [name for name in ("bfloat16",) if dtype == "float32" and _short(needs[name], rooms) is None]
    works = [f"--dtype {name} ({_gb(needs[name].weights)})" for name in smaller]
    if room.what == "GPU memory" and _short(needs[dtype], _rooms(torch.device("cpu"))) is None:
        works.append("--device cpu")
    if room.limit:
        works.append(f"a higher limit ({room.limit})")
    raise ModelError(
        f"model {checkpoint.name!r} needs {_gb(kept)} for its weights in {dtype}{besides}, and {_gb(room.free)} of "
        f"{room.what} are free; what works: {', '.join([*works, 'a smaller model'])}"
    )


def _rooms(place: torch.device) -> list[Room]:
    rooms = free_memory()
    if place.type == "cuda":
        rooms.append(Room("GPU memory", torch.cuda.mem_get_info(place)[0]))
    return rooms


def _short(needs: Needed, rooms: list[Room]) -> tuple[int, Room] | None:
    """What is needed, and where that is not free; None where there is room for all."""
    for room in rooms:
        wanted = {"address space": needs.addresses, "GPU memory": needs.weights}.get(room.what, needs.memory)
        if wanted > room.free:
            return wanted, room
    return None


def _gb(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
