"""Words for generated rows: those that are single tokens for a tokenizer, and pairs of them drawn by a seed."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from vitro.tasks.errors import TaskError
from vitro.tasks.tokenizer import Tokenizer, encode

First = TypeVar("First")
Second = TypeVar("Second")

# A letter, so that the text after it is cut as in the middle of a sentence.
_BEFORE = "a"


def one_token(tokenizer: Tokenizer, texts: Sequence[str]) -> Mapping[str, int]:
    """The tokens, by text and in order, of those texts that are a single token in the middle of a sentence.

    A text includes its space: `one_token(gpt2, [" Mary", " Zebediah"])` is `{" Mary": 5335}`.
    """
    before, *joined = encode(tokenizer, [_BEFORE, *(_BEFORE + text for text in texts)])
    n = len(before.ids)
    return {
        text: encoding.ids[n]
        for text, encoding in zip(texts, joined, strict=True)
        if encoding.ids[:n] == before.ids and len(encoding.ids) == n + 1 and encoding.ids[n] != tokenizer.unk_token_id
    }


def drawn_pairs(
    firsts: Sequence[First], seconds: Sequence[Second], n: int, seed: int, task: str
) -> list[tuple[First, Second]]:
    """n different pairs of a first and a second, in an order drawn by the seed.

    Raises `TaskError` where there are fewer than n.
    """
    most = len(firsts) * len(seconds)
    if n > most:
        advice = f"{task}:{most} fits" if most else "use another model"
        raise TaskError(f"{task}: there are {most} rows of words that are one token here, and not {n}; {advice}")
    order = np.random.default_rng(seed).permutation(most)[:n].tolist()
    return [(firsts[i // len(seconds)], seconds[i % len(seconds)]) for i in order]
