"""The tokenizer in a checkpoint's folder: whether all that it needs is there, and whether it works."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import transformers

from vitro.models.checkpoint import Checkpoint
from vitro.models.config import read_part, telling
from vitro.models.errors import ModelError
from vitro.models.packages import need
from vitro.models.silence import silence

_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def folder_tokenizer(checkpoint: Checkpoint, config: Any) -> Any:
    """A folder's tokenizer. Raises ModelError where it has none, and where that cannot be read or fails on a text.

    config: the checkpoint's, of transformers, which may say what kind of tokenizer it is.
    """
    no_tokenizer = ModelError(f"model {checkpoint.name!r} has no tokenizer; its folder needs a tokenizer.json")
    files = [file for file in _VOCABULARIES if (checkpoint.folder / file).is_file()]
    if not files:
        raise no_tokenizer
    if "tokenizer.json" not in files:
        for path in sorted(checkpoint.folder.glob("*.model")):
            _check_pieces(checkpoint.name, path)
    what = f"its tokenizer ({', '.join([*files, 'tokenizer_config.json'])})"
    with silence():
        tokenizer = read_part(checkpoint, what, transformers.AutoTokenizer, config=config)
        with telling(checkpoint.name, what):
            try_tokenizer(tokenizer)
            n_tokens, n_special = len(tokenizer), len(tokenizer.all_special_ids)
    if n_tokens <= n_special:
        # Where one of several files is missing, transformers makes a tokenizer without a vocabulary.
        raise no_tokenizer
    return tokenizer


def try_tokenizer(tokenizer: Any) -> None:
    """Raises what a tokenizer fails with when it is used, which making it does not show."""
    # A limit that is no number, say, is not looked at until a text is cut; this one is known to every vocabulary.
    tokenizer([""], add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast, verbose=False)
    tokenizer.decode([0])


def _check_pieces(name: str, path: Path) -> None:
    """Raises ModelError where a vocabulary of another library cannot be read, or not without a package.

    transformers tries one library after the other, and names the last of them in its error.
    """
    with path.open("rb") as file:
        begin = file.read(1000)
    if re.match(rb"[A-Za-z0-9+/=]+ \d+\s", begin):
        need(name, path.name, "tiktoken")
    elif begin.startswith(b"\n"):
        need(name, path.name, "sentencepiece", "protobuf")
        try:
            import_module("sentencepiece").SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise ModelError(
                f"model {name!r}: {path.name} is cut short or damaged (sentencepiece cannot read it)"
            ) from error
    else:
        raise ModelError(
            f"model {name!r}: {path.name} is neither a model of sentencepiece nor a vocabulary of tiktoken"
        )
