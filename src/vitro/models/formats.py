"""The number formats in which a model can be read, and which one `auto` comes to."""

from collections import Counter
from math import prod

import torch

from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError
from vitro.models.headers import PLAIN
from vitro.models.text_part import read_stored

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
AUTO = "auto"
"""What is asked for where a checkpoint's own number format is meant."""
_STORED = {"F64": "float32", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def number_format(checkpoint: Checkpoint, dtype: str) -> str:
    """The number format that is asked for; for `auto` the one in which most of a checkpoint's numbers are stored.

    Its norms may be stored more finely than that: they are read as all else. A GGUF file's weights are unpacked, so
    its own format is float32, as is that of what is stored in float64. Reads headers alone.
    Raises ModelError for a format that there is not, and where a file cannot be read.
    """
    if dtype in DTYPES:
        return dtype
    if dtype != AUTO:
        raise ModelError(f"dtype {dtype!r} is not known; what works: {', '.join([*DTYPES, AUTO])}")
    if checkpoint.gguf is not None:
        return "float32"
    numbers: Counter[str] = Counter()
    for stored in read_stored(checkpoint).values():
        if stored.kind in PLAIN:
            numbers[_STORED[stored.kind]] += prod(stored.shape)
    # Of two that are as frequent the finer one. A checkpoint without any is refused for what it holds instead.
    return max(DTYPES, key=lambda name: numbers[name])
