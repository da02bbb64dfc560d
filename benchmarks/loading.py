"""How long a model of GPT-2 small's size takes to load, and how much memory beside its weights.

    python benchmarks/loading.py

Random weights, written to a temporary folder as safetensors and read from there by a fresh process (Linux). Exits with
1 where `vitro.load` takes over 3 s, or where at its peak that process holds over 1.5 times the weights more than
before. How long torch and transformers take to be imported is printed beside it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MB = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="load this model in this process")
    parser.add_argument("--seconds", type=float, default=3.0, help="above which the exit code is 1")
    parser.add_argument("--times", type=float, default=1.5, help="the weights' size, above which the exit code is 1")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        return measure(arguments.folder, arguments.seconds, arguments.times)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return subprocess.run([sys.executable, __file__, "--folder", folder, *sys.argv[1:]], check=False).returncode


def write(folder: Path) -> None:
    """A checkpoint in the hub's layout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from study import word_tokenizer
    from vitro.tasks import days

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    word_tokenizer(days()).save_pretrained(folder)


def measure(folder: Path, most_seconds: float, most_times: float) -> int:
    """Load it and print what that took."""
    start = time.perf_counter()
    import vitro.models

    imported, held = time.perf_counter() - start, memory("VmRSS")
    start = time.perf_counter()
    model = vitro.models.load(str(folder))
    seconds, peak = time.perf_counter() - start, memory("VmHWM") - held
    weights = sum(weight.numel() * weight.element_size() for weight in model.hf.parameters()) / MB
    print(f"imports {imported:.2f} s, vitro.load {seconds:.2f} s (at most {most_seconds:g})")
    print(f"weights {weights:.0f} MB, peak above the start {peak:.0f} MB (at most {most_times * weights:.0f})")
    return int(seconds > most_seconds or peak > most_times * weights)


def memory(which: str) -> float:
    """This process's resident memory, now (VmRSS) or at its highest (VmHWM), in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / MB for line in lines if line.startswith(f"{which}:"))


if __name__ == "__main__":
    sys.exit(main())
