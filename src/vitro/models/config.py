"""The configuration of a checkpoint, and how any part of one is read through transformers."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import transformers

from vitro.models.checkpoint import Checkpoint, ModelError


def read_config(checkpoint: Checkpoint) -> Any:
    """The configuration as transformers resolves it; ModelError where it cannot be read."""
    with quiet_transformers():
        config = read_part(checkpoint, "config.json", transformers.AutoConfig)
    # Kernels for transformers' own attention, which the engine never calls: code would be looked for, or fetched.
    config._attn_implementation = config._experts_implementation = None
    return config


def config_hash(checkpoint: Checkpoint) -> str:
    """SHA-256 of the configuration as transformers resolves it: every field, defaults included, sorted.

    A GGUF file holds its own configuration, so its hash is the file's. Raises ModelError where there is none.
    """
    if checkpoint.gguf is not None:
        return checkpoint.weights_hash()
    fields = json.loads(read_config(checkpoint).to_json_string(use_diff=False))
    # The path, the version of transformers and empty fields say nothing about the model.
    ignored = ("_name_or_path", "transformers_version")
    hashed = {key: value for key, value in fields.items() if key not in ignored and value is not None}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def read_part(checkpoint: Checkpoint, what: str, auto: Any, **options: Any) -> Any:
    """One part of a folder with safetensors, read by transformers; any error there becomes a ModelError of one line."""
    try:
        return auto.from_pretrained(
            checkpoint.folder,
            trust_remote_code=False,
            local_files_only=True,
            **options,
        )
    except ImportError as error:
        raise ModelError(
            f"model {checkpoint.name!r}: reading {what} needs a package that is not installed ({first_line(error)})"
        ) from error
    except Exception as error:
        # transformers raises a dozen unrelated classes for damaged files; all mean the same to the user.
        raise ModelError(
            f"model {checkpoint.name!r}: {what} cannot be read, it may be damaged or cut short ({first_line(error)})"
        ) from error


def first_line(error: Exception) -> str:
    """The error's class and message, cut to one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No warnings or bars from transformers while a model is read; its settings are restored afterwards."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        # What goes past its logging: warnings of Python, and bars of its own.
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
