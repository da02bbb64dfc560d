"""Tokenizers whose cuts are known: built on the spot for one task, and GPT-2's own where its data is at hand."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

from vitro.tasks import Successors

GPT2_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "gpt2-tokenizer"


@cache
def gpt2() -> Any:
    if not GPT2_FOLDER.is_dir():
        pytest.skip(f"GPT-2's tokenizer is not at {GPT2_FOLDER}")
    return GPT2TokenizerFast.from_pretrained(GPT2_FOLDER)


def whole_words(task: Successors, *, bos: str | None = "<s>", known: str = "", lowercase: bool = False) -> Any:
    """One token for each word of the task, with its leading space; `known` replaces the task's own vocabulary."""
    return _trained_on(known or _text(task), _byte_level(), bos, lowercase=lowercase)


def knowing(*texts: str, bos: str | None = "<s>") -> Any:
    """One token for each word of the texts, with its leading space, and one for all that is unknown."""
    return _trained_on("\n".join(texts), _byte_level(), bos)


def digit_by_digit(task: Successors, *, trim_offsets: bool = False) -> Any:
    """SmolLM2's way with numbers: " 5" is a space and "5", " 10" is a space, "1" and "0"."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    return _trained_on(_text(task), pre_tokenizers.Sequence([digits, _byte_level()]), "<s>", trim_offsets=trim_offsets)


def cut_by(pattern: str, task: Successors) -> Any:
    """One token for each match of `pattern`, leftmost first."""
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _trained_on(_text(task), pre_tokenizers.Sequence([split, pieces]), None)


def sentencepiece(*pieces: str) -> Any:
    """Llama 2's way: a space is written "▁", one is put before the text, and digits stand alone if so listed."""
    scores = [(piece, -1 - i / 100) for i, piece in enumerate(["<unk>", *pieces])]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def byte_level(*texts: str) -> Any:
    """GPT-2's way: a token for every byte, in the letter that GPT-2 writes for it, and one for each of the texts."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole = ["".join(piece for piece, _ in pieces.pre_tokenize_str(text)) for text in texts]
    names = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *whole])
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=next(iter(names))))
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def with_bytes(*pieces: str) -> Any:
    """Llama 2's way with what it does not know: a token for every byte, called `<0x41>`, beside the pieces."""
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(0x100)), *pieces]
    tokenizer = Tokenizer(
        models.BPE({name: i for i, name in enumerate(names)}, [], byte_fallback=True, unk_token="<unk>")
    )
    spaces = decoders.Replace("▁", " ")
    tokenizer.decoder = decoders.Sequence([spaces, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def _trained_on(text: str, pieces: Any, bos: str | None, *, lowercase: bool = False, trim_offsets: bool = False) -> Any:
    text = text.lower() if lowercase else text
    known = [piece for line in text.split("\n") for piece, _ in pieces.pre_tokenize_str(line)]
    names = dict.fromkeys(["[UNK]", *([bos] if bos else []), *known])
    model = models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    if trim_offsets:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, unk_token="[UNK]")


def _byte_level() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _text(task: Successors) -> str:
    return "\n".join(f"{task.fill(subject)} {answer}" for subject in task.words for answer in task.words)
