"""What makes two runs the same run: the files of the model, as they are read, and the options."""

import json
from dataclasses import asdict
from typing import Any

from vitro.models.checkpoint import Checkpoint
from vitro.options import Options


def identity(checkpoint: Checkpoint, options: Options, device: str, dtype: str) -> dict[str, Any]:
    """All that the numbers follow from but the task, as JSON values; made without loading the model.

    The memory budget is left out: it decides how the work is cut, not what is measured. Raises ModelError where the
    configuration cannot be read.
    """
    chosen = {name: value for name, value in asdict(options).items() if name != "memory"}
    return {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "weights_sha256": checkpoint.weights_hash(),
        "config_sha256": checkpoint.config_hash(),
        "tokenizer_sha256": checkpoint.tokenizer_hash(),
        # As they come back from a file, where there are no tuples.
        "options": json.loads(json.dumps(chosen)),
        "device": device,
        "dtype": dtype,
    }
