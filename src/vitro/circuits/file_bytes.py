"""What a file of a circuit or of scores holds: told apart by its content, never executed."""

import pickle
import warnings
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import torch

from vitro.circuits.nodes import CircuitError
from vitro.files import FileError, json_of, text_of

_ARCHIVE = b"PK\x03\x04"
LARGEST = 2**29
"""Bytes; the graph of a model of 32 layers with 32 heads each, as JSON, takes a quarter of that."""


def is_tensors(content: bytes) -> bool:
    """Whether this is a .pt file, in today's form (a zip archive) or the older one (a pickle, of any protocol).

    >>> is_tensors(b"{}")
    False
    """
    return content.startswith((_ARCHIVE, b"\x80"))


def parsed(content: bytes) -> Any:
    """What JSON or a .pt file says. CircuitError for what is damaged, or is neither. Nothing in it is executed.

    >>> parsed(b'{"m0": true}')
    {'m0': True}
    """
    if is_tensors(content):
        return _loaded(content)
    try:
        return json_of(text_of(content))
    except FileError as error:
        raise CircuitError(f"{error}; a circuit of EAP-IG or MIB is JSON, or a .pt file of torch") from None


def _loaded(content: bytes) -> Any:
    """Tensors, numbers and texts alone: a pickle that would call anything else is refused before it does."""
    try:
        unpacked = ZipFile(BytesIO(content)).infolist() if content.startswith(_ARCHIVE) else []
        if (size := sum(part.file_size for part in unpacked)) <= LARGEST:
            with warnings.catch_warnings():
                # torch warns of pickles of today's protocol, which it reads or refuses like all others.
                warnings.simplefilter("ignore")
                return torch.load(BytesIO(content), weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:
        raise CircuitError("it is no graph of EAP-IG: it holds more than tensors, numbers and texts") from None
    except Exception:
        # zipfile and torch say in many ways that a file is cut short or damaged.
        raise CircuitError("it is damaged, or no .pt file of torch") from None
    raise CircuitError(f"it unpacks to {size // 2**20} MB, and {LARGEST // 2**20} MB at most are read")
