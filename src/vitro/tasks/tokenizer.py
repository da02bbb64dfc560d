"""What tasks need of a tokenizer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from vitro.errors import is_failure
from vitro.tasks.errors import TaskError

# How a vocabulary writes the space that a token begins with: byte-level, sentencepiece, plain.
SPACE_MARKS = ("Ġ", "▁", " ")

_NAMED_BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A byte, as sentencepiece names the one token that stands for it."""
_SHOWN_BYTES = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTES = {chr(byte): byte for byte in _SHOWN_BYTES} | {
    chr(0x100 + place): byte for place, byte in enumerate(byte for byte in range(0x100) if byte not in _SHOWN_BYTES)
}
"""What each character of a byte-level vocabulary stands for: those that can be seen stand for themselves."""


class Tokenizer(Protocol):
    """The part of a transformers fast tokenizer (`PreTrainedTokenizerFast`) that tasks use.

    >>> model.tokenizer.decode(prompts[0])
    'If today is Monday, tomorrow is'
    """

    @property
    def is_fast(self) -> bool:
        """Whether it can say which characters a token stands for."""

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a sequence, if it has one."""

    @property
    def unk_token_id(self) -> int | None:
        """The token for unknown text, if it has one."""

    @property
    def all_special_ids(self) -> Sequence[int]:
        """The tokens that are not text."""

    def __call__(
        self, text: list[str], *, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool
    ) -> Mapping[str, Any]:
        """The texts' `input_ids` and `offset_mapping`."""

    def decode(self, token_ids: list[int]) -> str:
        """The tokens as text."""

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str | None]:
        """The tokens as they stand in the vocabulary; None beyond its end."""

    def get_vocab(self) -> Mapping[str, int]:
        """Every token, as it stands in the vocabulary, and its id."""

    def get_added_vocab(self) -> Mapping[str, int]:
        """The tokens that were added to the vocabulary after training."""


class Encoding(NamedTuple):
    """A text's token ids, and the characters of each: the first, and the end after the last."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    """The texts' tokens, without special tokens.

    Raises `TaskError` if the tokenizer gives no offsets, for a text that holds half of a character, and for one that
    the tokenizer fails on: some know no token for what they were not trained on.
    """
    if not tokenizer.is_fast:
        raise TaskError(
            f"a {type(tokenizer).__name__} does not say which characters a token stands for; "
            "use a fast tokenizer (AutoTokenizer.from_pretrained gives one where there is a tokenizer.json)"
        )
    if not texts:
        # transformers fails on an empty batch
        return []
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TaskError(f"{text!r} holds half of a character (\\ud800 to \\udfff alone); write it whole") from None
    batch = _cut(tokenizer, list(texts))
    pairs = zip(batch["input_ids"], batch["offset_mapping"], strict=True)
    return [Encoding(tuple(ids), tuple((start, end) for start, end in spans)) for ids, spans in pairs]


def _cut(tokenizer: Tokenizer, texts: list[str]) -> Mapping[str, Any]:
    """What the tokenizer makes of the texts. Raises `TaskError`, with the first text on which it fails."""
    try:
        # verbose=False: where a text is longer than the context, `tokenize` raises and needs no warning
        return tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    except BaseException as error:
        if not is_failure(error):
            raise
        for text in texts if len(texts) > 1 else ():
            _cut(tokenizer, [text])
        raise TaskError(f"the model's tokenizer fails on {texts[0][:100]!r} ({str(error)[:200]})") from error


def readable(tokenizer: Tokenizer, token: int) -> str:
    """The token as text, its leading space kept; no two tokens are given alike.

    >>> readable(model.tokenizer, prompts[0][1])
    ' today'

    A byte that is no whole character is given as `<0xE4>`, be it a piece of one in a byte-level vocabulary or
    sentencepiece's token for a byte; a text that reads like that has its `<` given so. Many models' embeddings are
    longer than their vocabulary (Pythia's are padded), so a token may have no entry: it is given as its number.
    """
    entry = tokenizer.convert_ids_to_tokens([token])[0]
    if entry is None:
        return f"[{token}]"
    text = tokenizer.decode([token])
    if _NAMED_BYTE.fullmatch(entry) and text != entry:
        return entry
    spaced = entry.replace("▁", " ")
    if spaced.strip(" ") == text.strip(" "):
        # sentencepiece decoders drop the space at the beginning of a text
        return _plain(spaced)
    if all(character in _BYTES for character in entry):
        written = bytes(_BYTES[character] for character in entry)
        if written.decode(errors="replace").strip(" ") == text.strip(" "):
            return "".join(map(_byte_or_character, _plain(written.decode(errors="surrogateescape"))))
    # An added token, which stands in the vocabulary as it is, or a tokenizer of its own kind.
    return _plain(f" {text}" if entry.startswith(SPACE_MARKS) and not text.startswith(" ") else text)


def _plain(text: str) -> str:
    """A text in which nothing reads like a byte, and no character like one that could not be read."""
    told_apart = _NAMED_BYTE.sub(lambda named: f"<0x3C>{named.group()[1:]}", text)
    return told_apart.replace("\N{REPLACEMENT CHARACTER}", "<0xEF><0xBF><0xBD>")


def _byte_or_character(character: str) -> str:
    """A character that stands for a byte (Python's surrogate escapes) as that byte, any other as it is."""
    return f"<0x{ord(character) - 0xDC00:02X}>" if "\udc80" <= character <= "\udcff" else character
