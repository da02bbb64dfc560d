"""The tokenizer that a GGUF file describes, made of the file alone: whatever lies beside it is another model's."""

from contextlib import suppress
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
            return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    with silence(), telling(checkpoint.name, f"the tokenizer in {checkpoint.gguf}"):
        tokenizer = _made(checkpoint)
        try_tokenizer(tokenizer)
    keep(checkpoint, "tokenizer", _LIBRARIES, tokenizer.save_pretrained)
    return tokenizer


def _made(checkpoint: Checkpoint) -> Any:
    # As AutoTokenizer does it, which parses all of the file with gguf-py first, for a configuration that is at hand.
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    architecture, vocabulary, options = get_gguf_tokenizer(str(checkpoint.weights[0]))
    backend, more = convert_gguf_tokenizer(architecture, vocabulary)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **options, **more)
