"""The sizes of a model, read without its weights: of its configuration, the headers of its files, or the hub's list."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitro.models.checkpoint import HUB_ID, find
from vitro.models.config import config_from, layers_said, quiet_transformers
from vitro.models.errors import ModelError
from vitro.models.files import read_object
from vitro.models.formats import AUTO, DTYPES, number_format
from vitro.models.hub import Listed, listed
from vitro.models.load import config_in, family_of, header_of, skeleton_of
from vitro.models.memory import Needed, needed
from vitro.models.packaged import PACKAGED
from vitro.models.text_part import read_stored, text_fields

_MOST_LAYERS = 1000
"""Of a configuration whose weights are not here to say the same."""


@dataclass(frozen=True)
class Sizes:
    """What a model is made of.

    >>> sizes_of(folder).layers, sizes_of(folder).download
    (3, 0)
    """

    model_type: str
    parameters: int
    """How many numbers it has."""
    in_layers: int
    """How many of them are in its layers, and not in embeddings."""
    layers: int
    heads: int
    """In each layer."""
    d_model: int
    d_vocab: int
    weights: int
    """Bytes of its weights in the number format that is asked for."""
    memory: int
    """Bytes that loading it takes at its most."""
    download: int = 0
    """Bytes that are fetched from the hub first."""


def sizes_of(name: str, dtype: str = "float32") -> Sizes:
    """The sizes of a model by its name, as `load` takes it; no weight is read, hashed or downloaded.

    Of a model on the hub config.json is downloaded, where it is not in the hub's cache yet. Raises ModelError as `load`
    does, as far as it is known by now that the model will not do.
    """
    match = HUB_ID.fullmatch(name)
    if match and name not in PACKAGED and not (name.endswith(".gguf") or Path(name).expanduser().exists()):
        there = listed(name, match["repo"], match["revision"])
        if there.missing:
            return _on_the_hub(name, there, dtype)
    checkpoint = find(name)
    header = header_of(checkpoint)
    config = config_in(checkpoint, header)
    stored = None if header else read_stored(checkpoint)
    files = sum(path.stat().st_size for path in checkpoint.weights)
    form = number_format(checkpoint, dtype)
    with quiet_transformers():
        skeleton = skeleton_of(name, checkpoint.gguf or "config.json", config)
    return _counted(config, skeleton, needed(stored, skeleton, DTYPES[form], files))


def _on_the_hub(name: str, there: Listed, dtype: str) -> Sizes:
    said = read_object(name, there.folder / "config.json")
    said = text_fields(said, {}) or said
    kind = str(said.get("model_type"))
    family_of(kind)
    layers = layers_said(kind, said)
    if not isinstance(layers, int | None) or (layers or 0) > _MOST_LAYERS:
        raise ModelError(f"model {name!r}: config.json says that it has {str(layers)[:20]} layers")
    config = config_from(name, kind, said)
    with quiet_transformers():
        skeleton = skeleton_of(name, "config.json", config)
    form = str(said.get("dtype") or said.get("torch_dtype") or "float32") if dtype == AUTO else dtype
    # Its files are converted one by one: what is held of them is given back.
    needs = needed({}, skeleton, DTYPES.get(form, torch.float32), there.missing)
    return _counted(config, skeleton, needs, there.missing)


def _counted(config: Any, skeleton: Any, needs: Needed, download: int = 0) -> Sizes:
    names = {name: weight.numel() for name, weight in skeleton.named_parameters()}
    return Sizes(
        model_type=config.model_type,
        parameters=sum(names.values()),
        in_layers=sum(size for name, size in names.items() if re.search(r"\.\d+\.", name)),
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        d_model=config.hidden_size,
        d_vocab=config.vocab_size,
        weights=needs.weights,
        memory=needs.memory,
        download=download,
    )
