"""The tokenizer that a GGUF file describes, made of the file alone: whatever lies beside it is another model's."""

from contextlib import suppress
from typing import Any

import transformers

from vitro.errors import is_failure
from vitro.models.cache import keep, kept
from vitro.models.checkpoint import Checkpoint
from vitro.models.config import first_line
from vitro.models.gguf_header import refusal
from vitro.models.silence import silence


def read_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a GGUF file, out of the cache or made. Raises ModelError where the file describes none."""
    key, made_by = checkpoint.weights_hash(), {"format": "1", "transformers": transformers.__version__}
    if (folder := kept(key, "tokenizer", made_by)) is not None:
        # Whatever is wrong with it now: it can be made.
        with suppress(Exception):
            return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    tokenizer = _made(checkpoint)
    keep(checkpoint.weights[0], key, "tokenizer", made_by, tokenizer.save_pretrained)
    return tokenizer


def _made(checkpoint: Checkpoint) -> Any:
    # As AutoTokenizer does it, which parses all of the file with gguf-py first, for a configuration that it has.
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    try:
        with silence():
            architecture, vocabulary, options = get_gguf_tokenizer(str(checkpoint.weights[0]))
            backend, more = convert_gguf_tokenizer(architecture, vocabulary)
            return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **options, **more)
    except BaseException as error:  # of many classes, from three libraries
        if not is_failure(error):
            raise
        raise refusal(checkpoint, f"describes no tokenizer that can be made ({first_line(error)})") from error
