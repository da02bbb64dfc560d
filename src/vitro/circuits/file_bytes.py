"""The content of a file that a user named: whole, and nothing but a file."""

import stat
from pathlib import Path

from vitro.circuits.nodes import CircuitError

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
