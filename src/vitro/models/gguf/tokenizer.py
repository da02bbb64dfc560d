"""The tokenizer that a GGUF file describes, made of the file alone: whatever lies beside it is another model's."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import transformers

from vitro.models.cache import keep, kept
from vitro.models.checkpoint import Checkpoint
from vitro.models.config import telling
from vitro.models.silence import silence
from vitro.models.tokenizer import try_tokenizer

_LIBRARIES = ("transformers", "tokenizers")


def read_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a GGUF file, out of the cache or made. Raises ModelError where the file describes none."""
    if (folder := kept(checkpoint, "tokenizer", _LIBRARIES)) is not None:
        # Another process may have removed it since; then it is made.
        with suppress(Exception):
            return _read(folder)
    with silence(), telling(checkpoint.name, f"the tokenizer in {checkpoint.gguf}"):
        tokenizer = _made(checkpoint)
        try_tokenizer(tokenizer)
    keep(checkpoint, "tokenizer", _LIBRARIES, tokenizer.save_pretrained)
    return tokenizer


def _read(folder: Path) -> Any:
    """The tokenizer that was saved in a folder."""
    # Not by from_pretrained, which parses the vocabulary three times: of a quarter of a million tokens, for seconds.
    options = json.loads((folder / "tokenizer_config.json").read_bytes())
    if (template := folder / "chat_template.jinja").is_file():
        options["chat_template"] = template.read_text(encoding="utf-8")
    for saved in ("tokenizer_class", "backend"):
        options.pop(saved, None)
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **options)


def _made(checkpoint: Checkpoint) -> Any:
    # As AutoTokenizer does it, which parses all of the file with gguf-py first, for a configuration that is at hand.
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    architecture, vocabulary, options = get_gguf_tokenizer(str(checkpoint.weights[0]))
    backend, more = convert_gguf_tokenizer(architecture, vocabulary)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **options, **more)
