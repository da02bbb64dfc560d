"""The tokenizer that a GGUF file describes, made of the file alone: whatever lies beside it is another model's."""

from typing import Any

import transformers

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import first_line
from vitro.models.gguf_file import refusal


def make_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer of a GGUF file, by transformers' own rules. Raises ModelError where it describes none."""
    # As AutoTokenizer does it, which parses all of the file with gguf-py first, for a configuration that it has.
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer

    try:
        architecture, vocabulary, options = get_gguf_tokenizer(str(checkpoint.weights[0]))
        backend, more = convert_gguf_tokenizer(architecture, vocabulary)
        return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **options, **more)
    except Exception as error:  # of many classes, from three libraries
        raise refusal(checkpoint, f"describes no tokenizer that can be made ({first_line(error)})") from error
