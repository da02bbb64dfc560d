"""Every head of a GPT-2-small-sized model ablated by three methods: Vitro against a loop of full passes.

    python benchmarks/head_sweep.py

The peer is the recipe everyone starts from: one full Hugging Face forward pass per head and method, with a hook on
the input of c_proj that replaces the head's z. Both run in this process, in turn, on the same random weights, and
their answer logits are compared number by number. Exits with 1 where the largest difference is over 1e-4, or where
Vitro is less than `--at-least` times faster on the day prompts.

With 100 number prompts of four tokens there is less to save: nearly every token is a prompt's own, and unembedding
the 100 final streams, which every probability needs, is a third of the work that is left.
"""

import argparse
import ctypes
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from peers import forget_peak, memory
from vitro.engine import Edit, Finals, Variant, mean_activations, sweep, z
from vitro.models import Model
from vitro.models.families.gpt2 import GPT2

Result = TypeVar("Result")

DRAWN: dict[str, dict[str, list[int] | None]] = {
    "days": {"zero": None, "random": [2, 4, 6], "mean": [4]},
    "numbers": {"zero": None, "random": [2, 3], "mean": [2]},
}
"""The positions at which each method's sentences are random (method: the post's section "Ablation methods")."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1, help="timed runs of each; the median is printed")
    parser.add_argument("--at-least", type=float, default=6.0, help="the ratio on days below which the exit code is 1")
    parser.add_argument("--rows", default="days,numbers", help="which rows: days, numbers, or both")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    hf = GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False)
    model = GPT2.of(hf, tokenizer=None)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("GPT-2 small's size, random weights, float32: 144 heads x 3 methods = 432 variants of every prompt")
    print(f"{'prompts':>8} {'loop s':>8} {'Vitro s':>8} {'ratio':>6} {'max |diff|':>11} {'loop MB':>8} {'Vitro MB':>9}")
    failed = False
    for row, prompts in (("days", day_prompts()), ("numbers", number_prompts())):
        if row not in arguments.rows.split(","):
            continue
        answers = torch.arange(500, 500 + len(prompts))
        instead = {method: ablation(model, prompts[0], drawn) for method, drawn in DRAWN[row].items()}
        variants: list[Variant] = [
            (Edit(z(layer, head), value[layer, :, head], positions=positions),)
            for value, positions in instead.values()
            for layer in range(12)
            for head in range(12)
        ]
        values = [value for value, _ in instead.values()]

        def fast(
            prompts: Sequence[Sequence[int]] = prompts, variants: list[Variant] = variants, answers: Tensor = answers
        ) -> Tensor:
            def read(finals: Finals) -> dict[str, Tensor]:
                logit = finals.at(answers[finals.prompts])
                return {"logit": logit, "log_prob": logit - finals.log_normaliser}

            return sweep(model, prompts, variants, read)["logit"]

        def slow(
            prompts: Sequence[Sequence[int]] = prompts, values: Sequence[Tensor] = values, answers: Tensor = answers
        ) -> Tensor:
            return loop(hf, torch.tensor(prompts), values, answers)

        fast_runs, fast_mb, ours = timed(fast, arguments.repeats)
        slow_runs, slow_mb, theirs = timed(slow, arguments.repeats)
        fast_s, slow_s = float(np.median(fast_runs)), float(np.median(slow_runs))
        difference = float((ours - theirs).abs().max())
        ratio = slow_s / fast_s
        print(
            f"{len(prompts):>8} {slow_s:>8.2f} {fast_s:>8.2f} {ratio:>6.1f} {difference:>11.1e}"
            f" {slow_mb:>8.0f} {fast_mb:>9.0f}"
        )
        failed |= difference > 1e-4 or (row == "days" and ratio < arguments.at_least)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the whole process: {peak:.0f} MB; MB columns: peak above the loaded model")
    return int(failed)


def day_prompts() -> list[list[int]]:
    """`If today is {day}, tomorrow is` in GPT-2's tokens."""
    days = [3321, 3431, 3583, 3635, 3217, 3909, 3502]
    return [[50256, 1532, 1909, 318, day, 11, 9439, 318] for day in days]


def number_prompts() -> list[list[int]]:
    """`If {n} then`, n = 1..100: the shape of the task; which tokens the numbers have does not matter here."""
    return [[50256, 1532, 1000 + n, 788] for n in range(100)]


def ablation(model: Model, prompt: Sequence[int], drawn: Sequence[int] | None) -> tuple[Tensor, tuple[int, ...] | None]:
    """What a method puts in the place of z, [layer, position, head, d_head], and from which position on it differs.

    drawn: the positions at which the sentences, whose mean it is, have random tokens; None: by zero, which
    leaves its folded value bias.
    """
    if drawn is None:
        return torch.stack([model.folded_value_bias(layer) for layer in range(12)])[:, None].expand(
            -1, len(prompt), -1, -1
        ), None
    sentences = torch.tensor(prompt).repeat(256, 1)
    sentences[:, drawn] = torch.randint(50256, (256, len(drawn)), generator=torch.Generator().manual_seed(1))
    return mean_activations(model, sentences.tolist()).z, tuple(range(min(drawn), len(prompt)))


@torch.inference_mode()
def loop(hf: GPT2LMHeadModel, tokens: Tensor, values: Sequence[Tensor], answers: Tensor) -> Tensor:
    """The answers' logits [variant, prompt], one full forward pass for each variant."""
    found = []
    for value in values:
        for layer in range(12):
            for head in range(12):
                new, mine = value[layer, :, head], slice(head * 64, (head + 1) * 64)

                def replace(
                    module: torch.nn.Module, args: tuple[Tensor], new: Tensor = new, mine: slice = mine
                ) -> tuple[Tensor]:
                    mixed = args[0].clone()
                    mixed[..., mine] = new
                    return (mixed,)

                handle = hf.transformer.h[layer].attn.c_proj.register_forward_pre_hook(replace)
                logits = hf(tokens).logits[:, -1]
                handle.remove()
                logits.log_softmax(-1)
                found.append(logits[torch.arange(len(tokens)), answers])
    return torch.stack(found)


def timed(work: Callable[[], Result], repeats: int) -> tuple[list[float], float, Result]:
    """Some runs' seconds, the peak memory above where they started in MB, and the last result."""
    seconds = []
    trim()
    before = memory("VmRSS")
    forget_peak()
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return seconds, memory("VmHWM") - before, result


def trim() -> None:
    """Give freed memory back to the system, or what earlier work has left behind would hide what this one needs."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    sys.exit(main())
