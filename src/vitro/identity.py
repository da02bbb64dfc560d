"""What makes two runs the same: the files of the model, as they are read, and the options."""

import json
from dataclasses import asdict
from typing import Any

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import config_hash
from vitro.models.formats import number_format
from vitro.options import Options


def chosen(options: Options) -> dict[str, Any]:
    """The options that the numbers depend on, as JSON values.

    Left out are the memory budget, which decides how the work is split, and the time, which decides how far a search
    comes: not what is measured.

    >>> "memory" in chosen(vitro.Options(memory=10**9))
    False
    """
    values = {name: value for name, value in asdict(options).items() if name not in ("memory", "budget")}
    # As they are read back from a file: tuples become lists.
    read: dict[str, Any] = json.loads(json.dumps(values))
    return read


def identity(checkpoint: Checkpoint, options: Options, device: str, dtype: str) -> dict[str, Any]:
    """Everything but the task that the numbers depend on, as JSON values; made without loading the model.

    dtype: as it is asked for; "auto" is the same study as the format that it comes to.
    Raises ModelError where the configuration cannot be read.
    """
    return {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.weights_hash(),
        "config_sha256": config_hash(checkpoint),
        "tokenizer_sha256": checkpoint.tokenizer_hash(),
        "options": chosen(options),
        "device": device,
        "dtype": number_format(checkpoint, dtype),
    }
