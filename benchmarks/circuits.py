"""Circuits at GPT-2 small's size: how long one takes when many run in a batch.

    python benchmarks/circuits.py

Random weights, the seven day prompts. Two kinds: circuits of four components taken out of the model (two pinned heads,
two MLPs, the post's final shape, with components drawn at random), and the model with all heads at their means but four
drawn at random. Exits with 1 where the first takes over 5 ms a circuit or 1,000 of the second over 60 s.
"""

import argparse
import random
import sys
import time

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from vitro.circuits import Circuit, Constants, run_circuits
from vitro.engine import Finals, mean_activations
from vitro.models.families.gpt2 import GPT2

SUBJECT = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wired", type=int, default=400, help="circuits of four components")
    parser.add_argument("--within", type=int, default=200, help="models with four heads kept")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model = GPT2.of(GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False), tokenizer=None)
    draw = random.Random(0)
    # `If today is {day}, tomorrow is` in GPT-2's tokens.
    days = [3321, 3431, 3583, 3635, 3217, 3909, 3502]
    prompts = [[50256, 1532, 1909, 318, day, 11, 9439, 318] for day in days]
    constants = Constants.of(mean_activations(model, prompts))
    wired = [wiring(draw) for _ in range(arguments.wired)]
    heads = [(layer, head) for layer in range(12) for head in range(12)]
    within = [Circuit.within(model, draw.sample(heads, 4)) for _ in range(arguments.within)]

    def read(finals: Finals) -> dict[str, Tensor]:
        return {"prob": finals.prob(torch.full((len(finals.clean.resid),), 500)), "kl": finals.kl}

    failed = False
    for name, circuits, at_most in (("four components", wired, 5.0), ("four heads within the model", within, 60.0)):
        start = time.perf_counter()
        run_circuits(
            model, prompts, circuits, read, marks={"subject": (SUBJECT,) * len(prompts)}, constants={"mean": constants}
        )
        each = 1000 * (time.perf_counter() - start) / len(circuits)
        print(f"{name:<28} {len(circuits):>5} circuits of 7 prompts  {each:>6.2f} ms each (at most {at_most:g})")
        failed |= each > at_most
    return int(failed)


def wiring(draw: random.Random) -> Circuit:
    """The post's final shape: an early MLP, two pinned heads, a late MLP, and the logits of the last three."""
    early, late = draw.sample(range(12), 2)
    (layer, head), (other_layer, other) = draw.sample([(layer, head) for layer in range(12) for head in range(12)], 2)
    heads = f"a{layer}.h{head}, a{other_layer}.h{other}"
    pinned = f"a{layer}.h{head}[subject], a{other_layer}.h{other}[subject]"
    return Circuit.wire(
        f"input -> m{early}; input, m{early} -> {pinned}; {heads} -> m{late}; {heads}, m{late} -> logits"
    )


if __name__ == "__main__":
    sys.exit(main())
