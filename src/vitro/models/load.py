"""Reads a checkpoint into memory, once, and refuses what would give wrong numbers."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from vitro.errors import a_kind
from vitro.limits import Room
from vitro.models.checkpoint import Checkpoint, find
from vitro.models.config import first_line, quiet_transformers, read_config, read_part
from vitro.models.errors import ModelError
from vitro.models.families import FAMILY_OF
from vitro.models.fields import check_fields
from vitro.models.formats import DTYPES, number_format
from vitro.models.gguf.config import config_of, divide_frequencies
from vitro.models.gguf.header import Header, read_header
from vitro.models.gguf.tokenizer import read_tokenizer
from vitro.models.in_memory import shared
from vitro.models.memory import check_memory
from vitro.models.model import Model
from vitro.models.nearest import unknown
from vitro.models.origin import Origin
from vitro.models.parity import check_parity, require
from vitro.models.places import check_places
from vitro.models.rope import context
from vitro.models.text_part import RENAMED, read_stored, whole_type
from vitro.models.tokenizer import folder_tokenizer
from vitro.models.walk import logits


def load(
    model: str | Path | transformers.PreTrainedModel,
    tokenizer: Any = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    trust_numbers: bool = False,
) -> Model:
    """Load a model: a hub id (`gpt2`, `EleutherAI/pythia-70m@main`), a folder, a `.gguf` file, `smollm2`, ...

    device: "cpu" (the default), "cuda", "cuda:1", "mps". dtype: "float32" (the default; within 1e-4 of plain
    transformers), "bfloat16", "float16", or "auto": the one in which most of the checkpoint's numbers are stored
    (float32 for a GGUF file, whose weights are unpacked).
    trust_numbers: go on where Vitro's logits on a short prompt, which it compares whenever it loads, are not those of
    transformers; otherwise that is an error.
    Or a model of transformers that is in memory, with its tokenizer (None: prompts are token ids). It is not changed
    and not copied: it stays on its device and in its number format, and a weight changed in place is changed here too.
    Raises ModelError, in one line, for a name, file, family or weight that cannot be used.

    >>> model = vitro.load(folder)  # a folder in the hub's layout; with access to the hub: vitro.load("gpt2")
    >>> model.shape.n_layers, model.shape.n_heads
    (3, 4)
    >>> vitro.load(model.hf, model.tokenizer).shape == model.shape
    True
    """
    if isinstance(model, str | Path):
        if tokenizer is not None:
            raise ModelError(
                f"model {str(model)!r} has a tokenizer of its own; one beside it goes with a model in memory"
            )
        return load_checkpoint(
            find(str(model)), device=device or "cpu", dtype=dtype or "float32", trust_numbers=trust_numbers
        )
    if device or dtype:
        raise ModelError("a model in memory stays as it is; move it with .to(...) before loading")
    if not isinstance(tokenizer, transformers.PreTrainedTokenizerBase | None):
        raise ModelError(
            f"the tokenizer is {a_kind(tokenizer)}; what works: what transformers' AutoTokenizer.from_pretrained gives"
        )
    hf = shared(model)
    if hf.config.model_type not in FAMILY_OF:
        with quiet_transformers():
            raise unknown(hf.config.model_type, hf.config.to_dict(), hf.state_dict(), FAMILY_OF)
    check_fields("in memory", hf.config)
    check_finite(hf)
    return _proved("in memory", family_of(hf.config.model_type).of(hf, tokenizer), trust_numbers)


def load_tokenizer(checkpoint: Checkpoint) -> tuple[Any, int]:
    """A model's tokenizer, and the longest prompt that it takes, in tokens; its weights stay where they are.

    Raises ModelError as `load` does for a family, a configuration or a tokenizer that will not do.
    """
    header = header_of(checkpoint)
    config = config_in(checkpoint, header)
    with quiet_transformers():
        return _read_tokenizer(checkpoint, config), context(config)


def load_checkpoint(
    checkpoint: Checkpoint,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    trust_numbers: bool = False,
    room: Room | None = None,
) -> Model:
    """`load`, from files that are found already. room: what it may take, where that is less than what is free."""
    place, form = _device(device), number_format(checkpoint, dtype)
    header = header_of(checkpoint)
    config = config_in(checkpoint, header)
    family = family_of(config.model_type)
    with quiet_transformers():
        skeleton = skeleton_of(checkpoint.name, checkpoint.gguf or "config.json", config)
        stored = None if header else read_stored(checkpoint)
        if stored is not None:
            check_places(checkpoint.name, stored, skeleton)
        check_memory(checkpoint, stored, skeleton, form, place, room)
        tokenizer = _read_tokenizer(checkpoint, config)
        if header is None:
            hf = _read_weights(checkpoint, config, DTYPES[form])
        else:
            hf = _read_gguf_weights(checkpoint, header, skeleton, DTYPES[form])
    if header is not None:
        divide_frequencies(header, hf)
    check_finite(hf)
    try:
        hf.to(place)
    except torch.OutOfMemoryError as error:
        raise ModelError(f"model {checkpoint.name!r} does not fit on {device}; try --dtype bfloat16 or cpu") from error
    model = family.of(hf.eval().requires_grad_(False), tokenizer)
    return _proved(checkpoint.name, model, trust_numbers, asked=dtype, whole=whole_type(checkpoint))


def _proved(name: str, model: Model, trust: bool, **origin: Any) -> Model:
    """A model with its origin, after a prompt through it and through transformers.

    Raises ModelError where they give other logits, unless these are trusted.
    """
    with quiet_transformers():
        parity = check_parity(model.hf, partial(logits, model), model.shape.n_ctx)
    if not trust:
        require(name, parity)
    model.origin = Origin(parity, not parity.holds, **origin)
    return model


def family_of(model_type: str) -> type[Model]:
    """The family that reads a transformers `model_type`. Raises ModelError, which lists them, where none does."""
    if model_type not in FAMILY_OF:
        raise ModelError(f"no family reads models of the type {model_type!r}; what works: {', '.join(FAMILY_OF)}")
    return FAMILY_OF[model_type]


def check_finite(hf: Any) -> None:
    """Raises ModelError, which names the layer, where a weight holds NaN or infinity."""
    for name, weight in hf.named_parameters():
        # One pass and no copy, unlike `isfinite` of every weight: NaN is both the smallest value and the largest.
        if not bool(torch.isfinite(torch.stack(torch.aminmax(weight))).all()):
            layer = re.search(r"\.(\d+)\.", name)
            where = f"layer {layer[1]} ({name})" if layer else name
            raise ModelError(f"the weights of {where} hold NaN or infinity: the checkpoint is damaged")


def _device(device: str) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"device {device!r} is not known; what works: cpu, cuda, cuda:1, mps") from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (place.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(place.type, False):
        raise ModelError(f"device {device!r} is not on this machine; what works everywhere: cpu")
    return place


def header_of(checkpoint: Checkpoint) -> Header | None:
    """The header of a GGUF file; None for safetensors."""
    if checkpoint.gguf is None:
        return None
    return read_header(checkpoint)


def config_in(checkpoint: Checkpoint, header: Header | None) -> Any:
    """The configuration of a checkpoint, whose header it is for a GGUF file. Raises ModelError."""
    if header is None:
        return read_config(checkpoint)
    config = config_of(checkpoint, header)
    check_fields(checkpoint.name, config)
    return config


def skeleton_of(name: str, source: str, config: Any) -> Any:
    """The model of a configuration, with weights on the `meta` device. name: the model's. source: the file it is from.

    Raises ModelError where no model has the sizes that the configuration gives; otherwise the weights would be blamed.
    """
    try:
        with torch.device("meta"):
            return transformers.AutoModelForCausalLM.from_config(config)
    except Exception as error:
        raise ModelError(f"model {name!r}: {source} describes no model ({first_line(error)})") from error


def _read_tokenizer(checkpoint: Checkpoint, config: Any) -> Any:
    if checkpoint.gguf is not None:
        return read_tokenizer(checkpoint)
    return folder_tokenizer(checkpoint, config)


def _read_weights(checkpoint: Checkpoint, config: Any, dtype: torch.dtype) -> Any:
    # A file of settings for writing text is not looked for: Vitro writes none.
    generation = transformers.GenerationConfig.from_model_config(config)
    hf, report = read_part(
        checkpoint,
        "model.safetensors",
        transformers.AutoModelForCausalLM,
        config=config,
        dtype=dtype,
        output_loading_info=True,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        generation_config=generation,
        key_mapping=dict(RENAMED) if whole_type(checkpoint) else None,
    )
    if wrong := sorted(report["missing_keys"]) + sorted(name for name, *_ in report["mismatched_keys"]):
        # transformers fills these at random and goes on.
        raise ModelError(
            f"model {checkpoint.name!r}: {len(wrong)} weights are missing or of the wrong shape, {wrong[0]} among them"
        )
    return hf


def _read_gguf_weights(checkpoint: Checkpoint, header: Header, skeleton: Any, dtype: torch.dtype) -> Any:
    try:
        # Here, not above: it needs gguf-py, which those who have no GGUF files need not have.
        from vitro.models.gguf.weights import read_weights
    except ModuleNotFoundError as error:
        raise ModelError(f"model {checkpoint.name!r}: to read {checkpoint.gguf}, pip install 'vitro[gguf]'") from error
    weights = read_weights(checkpoint, header, skeleton, dtype)
    return type(skeleton).from_pretrained(None, config=skeleton.config, state_dict=weights, dtype=dtype)
