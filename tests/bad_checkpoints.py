"""A sound small checkpoint, to be put at fault, and what is right to come of it: a model, or one line, soon."""

import json
from pathlib import Path
from typing import Any

import pytest

from command import is_one_line
from fuzz.folders import sound_files
from limits import within
from vitro.models import Model, ModelError, load

SECONDS, MEGABYTES = 2, 200
"""What a refusal may take."""


def sound(folder: Path, model_type: str = "gpt2", tokenizer: str = "words", sharded: bool = False) -> Path:
    """A checkpoint that loads."""
    folder.mkdir(exist_ok=True)
    for name, content in sound_files(model_type, tokenizer, sharded).items():
        (folder / name).write_bytes(content)
    return folder


def refused(name: Path | str) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(ModelError) as error, within(SECONDS, MEGABYTES):
        load(name)
    message = str(error.value)
    assert is_one_line(message), message
    for blame in ("damaged", "corrupt"):
        assert blame not in message
    return message


def read(folder: Path) -> Model:
    """The model in a folder that has to load."""
    with within(SECONDS, MEGABYTES):
        return load(folder)


def configure(folder: Path, file: str = "config.json", /, **values: Any) -> Path:
    """Put fields into a file of a checkpoint."""
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder
