"""The content of a file that a user named: read whole if it is a file, told apart by what is in it, never executed."""

import json
import pickle
import stat
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from vitro.circuits.nodes import CircuitError

_ARCHIVE = b"PK\x03\x04"
LARGEST = 2**29
"""Bytes; the graph of a model of 32 layers with 32 heads each, as JSON, takes a quarter of that."""


def file_bytes(path: Path) -> bytes:
    """What a file holds. CircuitError, in one line, for what is no file, is empty, too large or cannot be read.

    >>> file_bytes(tmp_path)
    Traceback (most recent call last):
    ...
    vitro.circuits.nodes.CircuitError: it is a folder, not a file
    """
    try:
        about = path.stat()
        # A pipe or a device may have no end.
        if not stat.S_ISREG(about.st_mode):
            raise CircuitError(f"it is a {'folder' if stat.S_ISDIR(about.st_mode) else 'pipe or device'}, not a file")
        if about.st_size > LARGEST:
            raise CircuitError(f"it has {about.st_size / 2**20:.0f} MB, and {LARGEST // 2**20} MB at most are read")
        content = path.read_bytes()
    except OSError as error:
        raise CircuitError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise CircuitError("a path cannot hold the character 0") from None
    if not content.strip():
        raise CircuitError("the file is empty")
    return content


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
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise CircuitError("this is not JSON; a circuit of EAP-IG or MIB, saved as .json, is") from None


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
