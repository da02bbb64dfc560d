"""How often models with random weights satisfy the post's claims: src/vitro/claims/null.json.

    python benchmarks/claims_null.py TOKENIZER [--models 20] [--samples 256] [--out FILE]

TOKENIZER: a folder with GPT-2's vocab.json and merges.txt. Model k is `GPT2LMHeadModel(GPT2Config())`, GPT-2 small's
shape, as transformers initialises it after `torch.manual_seed(k)`: weights normal with standard deviation 0.02, biases
zero. Each is checked as `vitro reproduce` checks a checkpoint. FILE is written after every model, and the same command
goes on where an earlier one stopped; what was run under other options or versions is refused.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

from vitro.claims import CLAIMS
from vitro.experiments import Options
from vitro.folder import write_file
from vitro.models.families.gpt2 import GPT2
from vitro.reproduction import posts_own, reproduce

OUT = Path(__file__).resolve().parents[1] / "src" / "vitro" / "claims" / "null.json"


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tokenizer", type=Path)
    arguments.add_argument("--models", type=int, default=20)
    arguments.add_argument("--samples", type=int, default=256)
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    tokenizer = GPT2TokenizerFast.from_pretrained(given.tokenizer)
    options = Options(samples=given.samples)
    # What JSON makes of it, so that it can be compared with what a file holds.
    run: dict[str, Any] = json.loads(json.dumps({
        "weights": "GPT2LMHeadModel(GPT2Config()) after torch.manual_seed(seed)",
        "versions": {name: version(name) for name in ("vitro", "torch", "transformers")},
        "options": asdict(posts_own(options)),
    }))  # fmt: skip
    found: dict[str, Any] = {**run, "seeds": [], "holds": {str(claim.id): [] for claim in CLAIMS}}
    if given.out.exists():
        found = json.loads(given.out.read_text("utf-8"))
        if {name: found[name] for name in run} != run:
            print(f"{given.out} holds another run (options or versions differ); name another --out", file=sys.stderr)
            return 2
    for seed in range(given.models):
        if seed in found["seeds"]:
            continue
        start = time.perf_counter()
        torch.manual_seed(seed)
        model = GPT2.of(GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False), tokenizer)
        checked = reproduce(model, f"random weights, seed {seed}", options).checked
        holding = [one.claim.id for one in checked if one.verdict == "reproduced"]
        for one in holding:
            found["holds"][str(one)].append(seed)
        found["seeds"].append(seed)
        write_file(given.out, (json.dumps(found, indent=1) + "\n").encode())
        print(f"seed {seed}: {holding} ({time.perf_counter() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
