"""What half-precision numbers cost in accuracy: the head sweep of SmolLM2-135M on days, against float32.

    python benchmarks/precision.py

Every head ablated by three methods (`vitro.ablate_heads`), once in each number format, dataset means included. Printed
are the largest and the mean difference from float32, of the clean answer probabilities and of what ablations change.
Weights and streams are in the format; what is read off the last stream is computed in float32 in all of them.
"""

import argparse
import sys
import time

import numpy as np
import torch

import vitro
from vitro.experiments import Options
from vitro.experiments.clean import CLEAN
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.setup import Setup

FORMATS = ("float32", "bfloat16", "float16")
COLUMNS = {
    "clean answer_prob": (CLEAN, "clean", "answer_prob"),
    "answer_prob_change": (HEAD_ABLATION, "head_ablation", "answer_prob_change"),
    "answer_logit_change": (HEAD_ABLATION, "head_ablation", "answer_logit_change"),
    "kl": (HEAD_ABLATION, "head_ablation", "kl"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="as for vitro.load")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=256, help="sentences in each dataset")
    arguments = parser.parse_args()

    print(f"{arguments.model}, days, {arguments.device}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    full: dict[str, np.ndarray] = {}
    for dtype in FORMATS:
        model = vitro.load(arguments.model, device=arguments.device, dtype=dtype)
        start = time.perf_counter()
        setup = Setup(model, vitro.tasks.days(), Options(samples=arguments.samples))
        found = {name: setup.tables(of)[table][column].to_numpy() for name, (of, table, column) in COLUMNS.items()}
        print(f"{dtype}: {time.perf_counter() - start:.1f} s")
        full = full or found
        for name, values in found.items():
            apart = np.abs(values - full[name])
            largest = f"largest in float32 {np.abs(full[name]).max():<6.3g}"
            print(f"  {name:<20} {largest} difference: largest {apart.max():.1e}, mean {apart.mean():.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
