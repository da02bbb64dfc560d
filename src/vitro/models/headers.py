"""What the headers of safetensors files say of the weights in them, which is read before any size is believed."""

from collections.abc import Mapping
from typing import NamedTuple

from safetensors import safe_open

from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError

PLAIN = ("F64", "F32", "F16", "BF16")
"""Number formats of weights that are the numbers they stand for; others hold them packed or scaled."""


class Stored(NamedTuple):
    """A weight as a file holds it."""

    kind: str
    """Its number format, in safetensors' name for it."""
    shape: tuple[int, ...]


def read_headers(checkpoint: Checkpoint) -> Mapping[str, Stored]:
    """Name -> number format and shape of every weight of a checkpoint in safetensors, in milliseconds.

    Raises ModelError where two of its files hold a weight of the same name.
    """
    stored: dict[str, Stored] = {}
    for path in checkpoint.weights:
        with safe_open(path, framework="np") as file:
            for name in sorted(file.keys()):
                if name in stored:
                    raise ModelError(
                        f"model {checkpoint.name!r} holds the weight {name} in two files, {path.name} and another"
                    )
                part = file.get_slice(name)
                stored[name] = Stored(part.get_dtype(), tuple(part.get_shape()))
    return stored
