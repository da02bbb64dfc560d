"""The configuration of a checkpoint, and how any part of one is read through transformers."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import transformers

from vitro.errors import is_failure
from vitro.limits import out_of_memory
from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError
from vitro.models.families import FAMILY_OF
from vitro.models.fields import IGNORED, USED, check_fields, check_only
from vitro.models.files import read_object
from vitro.models.nearest import unknown
from vitro.models.places import check_layers
from vitro.models.text_part import read_stored, text_fields


def read_config(checkpoint: Checkpoint) -> Any:
    """The configuration as transformers resolves it; ModelError where it describes no model that Vitro computes.

    No size in it is believed before the weights' headers have said the same: fields are made into lists as long as the
    number of layers.
    """
    said = read_object(checkpoint.name, checkpoint.folder / "config.json")
    stored = read_stored(checkpoint)
    if (text := text_fields(said, stored)) is not None:
        check_only(checkpoint.name, {field: value for field, value in said.items() if field != "text_config"})
        said = text
    kind = said.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILY_OF:
        with quiet_transformers():
            raise unknown(kind if isinstance(kind, str) else None, said, stored, FAMILY_OF)
    check_only(checkpoint.name, said)
    check_layers(checkpoint.name, layers_said(kind, said), stored)
    return config_from(checkpoint.name, kind, said)


def layers_said(kind: str, said: dict[str, Any]) -> object:
    """How many layers config.json says that a model of a known type has, believed by nobody yet."""
    n_layers = transformers.CONFIG_MAPPING[kind].attribute_map.get("num_hidden_layers", "num_hidden_layers")
    return _fields(kind, said).get(n_layers)


def config_from(name: str, kind: str, said: dict[str, Any]) -> Any:
    """The configuration of a known type that config.json describes, by transformers. Raises ModelError."""
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.for_model(kind, **_fields(kind, said))
    except Exception as error:
        # transformers checks a field in a wrapper, whose own words do not say what is wrong.
        raise ModelError(
            f"model {name!r}: config.json describes no {kind} model ({first_line(error.__cause__ or error)})"
        ) from error
    check_fields(name, config)
    return config


def _fields(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    """The fields that a configuration is made from, by its own names for them.

    Left out is what changes nothing here, whatever it says (a kernel of someone's for an attention that is not called),
    and what would take the place of the configuration's own methods.
    """
    made = transformers.CONFIG_MAPPING[kind]
    own = set(dir(made)) - {field.name for field in dataclasses.fields(made)} - {"rope_scaling"}
    kept = {
        made.attribute_map.get(field, field): value
        for field, value in said.items()
        if field in USED[kind] or field not in IGNORED
    }
    return {field: value for field, value in kept.items() if field not in own}


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
    with telling(checkpoint.name, what):
        return auto.from_pretrained(
            checkpoint.folder,
            trust_remote_code=False,
            local_files_only=True,
            **options,
        )


@contextmanager
def telling(name: str, what: str) -> Iterator[None]:
    """Any error of transformers or of a library that it calls becomes a ModelError of one line.

    name: the model's, as the user typed it. what: what is read.
    """
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f"model {name!r}: reading {what} needs a package that is not installed ({first_line(error)})"
        ) from error
    except BaseException as error:
        # transformers raises a dozen unrelated classes.
        if not is_failure(error):
            raise
        why = out_of_memory(error) or first_line(error)
        raise ModelError(f"model {name!r}: {what} cannot be read ({why})") from error


def first_line(error: BaseException) -> str:
    """The error's class and message, cut to one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No warnings or bars printed while a model is read; all settings are restored afterwards."""
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
