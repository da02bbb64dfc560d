"""The whole study of the day task at GPT-2 small's size, measurement by measurement.

    python benchmarks/study.py

Random weights and a tokenizer that knows the day task's words: the numbers mean nothing, the times do. Exits with 1
where the in-vivo measurements (V0 to V12) take over `--at-most` seconds of compute together.
"""

import argparse
import sys
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from vitro.experiments import EVERY_STUDY, EXPERIMENTS, Options, Setup
from vitro.experiments.circuits import CIRCUITS
from vitro.experiments.judged_circuit import JUDGED_CIRCUIT
from vitro.experiments.keep_curve import KEEP_CURVE
from vitro.models.families.gpt2 import GPT2
from vitro.tasks import Successors, days

IN_VITRO_SECTIONS = (KEEP_CURVE.name, CIRCUITS.name, JUDGED_CIRCUIT.name)
SOME_WORDS = " house tree dog sea red north seven walk glass under"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=256, help="sentences in each dataset")
    parser.add_argument("--at-most", type=float, default=30.0, help="seconds above which the exit code is 1")
    arguments = parser.parse_args()

    print(f"GPT-2 small's size, days, {arguments.samples} samples, {torch.get_num_threads()} threads, seconds:")
    spent = study(arguments.samples)
    for name, seconds in spent.items():
        print(f"  {name:<16}{seconds:>7.2f}")
    total = sum(seconds for name, seconds in spent.items() if name not in IN_VITRO_SECTIONS)
    print(f"  {'V0 to V12':<16}{total:>7.2f}")
    print(f"  {'with in vitro':<16}{sum(spent.values()):>7.2f}")
    return int(total > arguments.at_most)


def study(samples: int) -> dict[str, float]:
    """Seconds of each measurement of a whole day study, by name."""
    torch.manual_seed(0)
    hf = GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False)
    setup = Setup(GPT2.of(hf, word_tokenizer(days())), days(), Options(samples=samples))
    in_vivo = [name for name in EVERY_STUDY if name not in IN_VITRO_SECTIONS]
    spent: dict[str, float] = {}
    for name in ("dataset means", *in_vivo, *IN_VITRO_SECTIONS):
        start = time.perf_counter()
        if name in EXPERIMENTS:
            setup.tables(EXPERIMENTS[name])
        else:
            _ = [setup.constants(kind) for kind in setup.ablations]
        spent[name] = time.perf_counter() - start
    return spent


def word_tokenizer(task: Successors) -> PreTrainedTokenizerFast:
    """One token for each word of the task's prompts, with its leading space, and for some words to draw from."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [piece for text in (*task.prompts, SOME_WORDS) for piece, _ in pieces.pre_tokenize_str(text)]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(["[UNK]", "<s>", *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pieces
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="[UNK]")


if __name__ == "__main__":
    sys.exit(main())
