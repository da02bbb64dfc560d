"""Successor scores of all 144 heads of a GPT-2-small-sized model on all nine ordered sets.

    python benchmarks/successor.py

Random weights and a tokenizer to which every word of every set is one token. Exits with 1 where the scores and the
best head's rotation numbers take over 10 s.
"""

import sys
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from vitro.models.families.gpt2 import GPT2
from vitro.successors import SETS, successor

AT_MOST = 10.0


def main() -> int:
    torch.manual_seed(0)
    words = dict.fromkeys(f"Ġ{word}" for one in SETS for word in one.words)
    names = {name: number for number, name in enumerate(["[UNK]", *words])}
    pieces = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]")
    model = GPT2.of(GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False), tokenizer)
    start = time.perf_counter()
    found = successor(model)
    seconds = time.perf_counter() - start
    scores = found.tables["scores"]
    heads = scores.select("layer", "head").unique().height
    print(
        f"{heads} heads, {scores['set'].n_unique()} sets, {len(words)} words: {seconds:.2f} s (at most {AT_MOST:g} s)"
    )
    return int(seconds > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
