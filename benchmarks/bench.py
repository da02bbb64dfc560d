"""Vitro against its peers, and against the machine: every row in one run, written to benchmarks/results.

    make bench

Each row is a sweep: Vitro runs it whole, the median of some runs; each peer (benchmarks/peers.py, in an environment of
its own) runs variants drawn from it at random, and its time is its seconds per variant times their number. Answer
logits are compared one by one with the plain loop's. `rate` is the multiply-adds that Vitro does, counted, over its
time, as a share of the machine's own float32 matrix product, measured in the same run. `memory` is Vitro's peak above
the loaded model. The last row, the whole day study, has no peer: it is benchmarks/study.py.

Exits with 1 where a row's ratio to the fastest plain peer is below its target, or a difference is over 1e-4.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel

import vitro
from head_sweep import DRAWN, ablation, day_prompts, number_prompts, timed
from vitro.engine import Edit, Finals, Variant, mean_activations, mlp_out, pin, sweep, z
from vitro.models import Model
from vitro.models.gpt2 import GPT2

HERE = Path(__file__).parent
PEERS = {
    "hf": ("hf", "all"),
    "TransformerLens": ("transformer_lens", "all"),
    "nnsight": ("nnsight", "all"),
    "hf, final position unembedded": ("hf", "final"),
}
"""Column -> peer and what it unembeds. The first three are the calls of each library's guide."""
DAYS_IN_GPT2 = [3321, 3431, 3583, 3635, 3217, 3909, 3502]


@dataclass(frozen=True)
class Row:
    name: str
    model: Model
    prompts: list[list[int]]
    kind: str
    """What peers call it: heads, mlps or pins."""
    keys: list[tuple[int, int, int]]
    """Layer, head, and which method's value or which position, for each variant."""
    variants: list[Variant]
    values: list[Tensor]
    positions: list[tuple[int, ...] | None]
    target: float | None
    """How many times faster than the fastest plain peer it should be."""
    prompts_per_pass: int = 100


def head_row(name: str, model: Model, prompts: list[list[int]], drawn: str, target: float | None) -> Row:
    shape = model.shape
    if model.shape.n_layers == 12:
        instead = [ablation(model, prompts[0], where) for where in DRAWN[drawn].values()]
    else:
        zero = torch.zeros(shape.n_layers, len(prompts[0]), shape.n_heads, shape.d_head)
        mean = mean_activations(model, prompts).z
        instead = [(zero, None), (mean, tuple(range(DRAWN_SMOLLM2, len(prompts[0]))))]
    keys = [
        (layer, head, method)
        for method in range(len(instead))
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
    ]
    variants: list[Variant] = [
        (Edit(z(layer, head), instead[method][0][layer, :, head], positions=instead[method][1]),)
        for layer, head, method in keys
    ]
    return Row(name, model, prompts, "heads", keys, variants, [v for v, _ in instead], [p for _, p in instead], target)


DRAWN_SMOLLM2 = 3
"""From where on the day prompts differ in SmolLM2's tokens, which have no BOS."""


def some(row: Row, every: int) -> Row:
    """A row with fewer variants, where all would take a quarter of an hour: one head of every third layer by method."""
    return replace(row, keys=row.keys[::every], variants=row.variants[::every])


def mlp_row(name: str, model: Model, prompts: list[list[int]]) -> Row:
    means = mean_activations(model, prompts).mlp_out
    instead = [torch.zeros_like(means), means]
    keys = [(layer, 0, method) for method in range(2) for layer in range(model.shape.n_layers)]
    variants: list[Variant] = [(Edit(mlp_out(layer), instead[method][layer]),) for layer, _, method in keys]
    return Row(name, model, prompts, "mlps", keys, variants, instead, [None, None], None)


def pin_row(name: str, model: Model, prompts: list[list[int]]) -> Row:
    shape = model.shape
    keys = [
        (layer, head, position)
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
        for position in range(len(prompts[0]))
    ]
    return Row(name, model, prompts, "pins", keys, [(pin(*key[:2], to=key[2]),) for key in keys], [], [], None)


def thousand_prompts() -> list[list[int]]:
    """The seven day prompts in 143 paraphrases of eight tokens: two words drawn anew for each."""
    draw = torch.Generator().manual_seed(3)
    made = []
    for _ in range(143):
        first, second = torch.randint(1000, 30000, (2,), generator=draw).tolist()
        made += [[50256, 1532, first, 318, day, 11, second, 318] for day in DAYS_IN_GPT2]
    return made[:1000]


def rows(only: str) -> Iterator[Row]:
    """Those whose name holds `only`, each made when its turn comes."""
    torch.manual_seed(0)
    gpt2 = GPT2.of(GPT2LMHeadModel(GPT2Config()).eval().requires_grad_(False), tokenizer=None)
    makers: dict[str, Callable[[str], Row]] = {
        "heads, 7 days": lambda name: head_row(name, gpt2, day_prompts(), "days", 9.0),
        "heads, 100 numbers": lambda name: head_row(name, gpt2, number_prompts(), "numbers", 8.0),
        "heads, 1,000 paraphrases": lambda name: some(head_row(name, gpt2, thousand_prompts(), "days", None), every=36),
        "MLPs, 7 days": lambda name: mlp_row(name, gpt2, day_prompts()),
        "pins of every head to every stream, 7 days": lambda name: pin_row(name, gpt2, day_prompts()),
        "heads of SmolLM2-135M, 7 days": smollm2_row,
    }
    for name, make in makers.items():
        if only in name:
            yield make(name)


def smollm2_row(name: str) -> Row:
    model = vitro.load("smollm2")
    prompts = vitro.tasks.tokenize(vitro.tasks.days(), model.tokenizer, model.shape.n_ctx).tokens.tolist()
    return head_row(name, model, prompts, "days", 7.0)


def vitro_run(row: Row, variants: Sequence[Variant]) -> Tensor:
    """The answers' logits, as in every sweep of Vitro with their log-probabilities, which take the whole softmax."""
    answers = torch.arange(500, 500 + len(row.prompts))

    def read(finals: Finals) -> dict[str, Tensor]:
        logit = finals.at(answers[finals.prompts])
        return {"logit": logit, "log_prob": logit - finals.log_normaliser}

    return sweep(row.model, row.prompts, variants, read)["logit"]


def peer_run(
    row: Row, peer: str, unembed: str, python: str, limit: int, repeats: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a peer says of a row, and its answers' logits with the variants that they are of."""
    with tempfile.TemporaryDirectory() as name:
        job = Path(name)
        row.model.hf.save_pretrained(job / "model")
        positions = [None if at is None else list(at) for at in row.positions]
        (job / "job.json").write_text(json.dumps({"kind": row.kind, "model": "model", "positions": positions}))
        tensors = {
            "tokens": torch.tensor(row.prompts),
            "answers": torch.arange(500, 500 + len(row.prompts)),
            "variants": torch.tensor(row.keys),
            **{
                f"values.{number}": value.expand(-1, len(row.prompts[0]), *value.shape[2:]).contiguous()
                for number, value in enumerate(row.values)
            },
        }
        save_file(tensors, job / "job.safetensors")
        command = [python, str(HERE / "peers.py"), peer, name, "--repeats", str(repeats), "--unembed", unembed]
        command += ["--limit-variants", str(limit), "--prompts-per-pass", str(row.prompts_per_pass)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said: dict[str, Any] = json.loads((job / f"result-{peer}.json").read_text())
        return said, load_file(job / f"result-{peer}.safetensors")


def machine_rate() -> float:
    """Float32 multiply-adds a second of the best of some large matrix products."""
    best = 0.0
    for size in (1024, 2048, 4096):
        left, right = torch.randn(size, size), torch.randn(size, size)
        for _ in range(4):
            start = time.perf_counter()
            left @ right
            best = max(best, size**3 / (time.perf_counter() - start))
    return best


def measure(row: Row, python: str, limit: int, repeats: int, rate: float) -> dict[str, Any]:
    n_variants = len(row.variants)
    # As many runs of a prompt in every row, so that a row of many prompts does not take an hour.
    limit = max(2, min(n_variants, limit * 7 // len(row.prompts)))
    with FlopCounterMode(display=False) as counter:
        vitro_run(row, row.variants)
    seconds, megabytes, ours = timed(lambda: vitro_run(row, row.variants), repeats)
    median = float(np.median(seconds))
    peers, difference = {}, 0.0
    for column, (peer, unembed) in PEERS.items():
        said, found = peer_run(row, peer, unembed, python, limit, repeats)
        peers[column] = {
            "seconds": float(np.median(said["seconds_per_variant"])) * n_variants,
            "spread": [min(said["seconds_per_variant"]) * n_variants, max(said["seconds_per_variant"]) * n_variants],
            "variants_timed": said["variants_timed"],
        }
        if peer == "hf":
            difference = max(difference, float((ours[found["variants"]] - found["logits"]).abs().max()))
        versions = said["versions"]
    plain = min(peers[column]["seconds"] for column, (_, unembed) in PEERS.items() if unembed == "all")
    multiply_adds = counter.get_total_flops() / 2
    return {
        "row": row.name,
        "variants": n_variants,
        "prompts": len(row.prompts),
        "seconds": median,
        "spread": [min(seconds), max(seconds)],
        "peers": peers,
        "ratio": plain / median,
        "target": row.target,
        "max_difference": difference,
        "peak_mb": megabytes,
        "multiply_adds": multiply_adds,
        "share_of_machine": multiply_adds / median / rate,
        "versions": versions,
    }


def table(result: dict[str, Any]) -> str:
    """The rows as Markdown, the same on the screen and in docs/performance.md."""
    head = [
        "sweep",
        "variants x prompts",
        "Vitro",
        *PEERS,
        "ratio",
        "max difference",
        "memory",
        "multiply-adds",
        "rate",
    ]
    lines = [head, ["---"] * len(head)]
    for row in result["rows"]:
        lines.append(
            [
                row["row"],
                f"{row['variants']:,} x {row['prompts']:,}",
                _seconds(row["seconds"], row["spread"]),
                *(_seconds(row["peers"][column]["seconds"], row["peers"][column]["spread"]) for column in PEERS),
                f"{row['ratio']:.1f}" + (f" (target {row['target']:g})" if row["target"] else ""),
                f"{row['max_difference']:.1e}",
                f"{row['peak_mb']:.0f} MB",
                f"{row['multiply_adds'] / 1e9:,.0f} G",
                f"{row['share_of_machine']:.0%}",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _seconds(median: float, spread: Sequence[float]) -> str:
    return f"{median:.1f} s ({spread[0]:.1f} to {spread[1]:.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="the Python of the peers' environment")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each; the median counts")
    parser.add_argument("--variants", type=int, default=36, help="variants that each peer runs of a row")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "bench.json")
    arguments = parser.parse_args()

    rate = machine_rate()
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "multiply_adds_per_second": rate,
        "date": time.strftime("%Y-%m-%d"),
    }
    result: dict[str, Any] = {"machine": machine, "rows": []}
    for row in rows(arguments.only):
        result["rows"].append(measure(row, arguments.peers, arguments.variants, arguments.repeats, rate))
        print(row.name, f"{result['rows'][-1]['ratio']:.1f} times", file=sys.stderr, flush=True)
    print(f"{machine['processor']}, {machine['threads']} threads, {rate / 1e9:.0f} G float32 multiply-adds a second")
    print(table(result))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    missed = [row for row in result["rows"] if row["max_difference"] > 1e-4 or row["ratio"] < (row["target"] or 0)]
    for row in missed:
        print(f"missed: {row['row']}: {row['ratio']:.1f} times, largest difference {row['max_difference']:.1e}")
    return int(bool(missed))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


if __name__ == "__main__":
    sys.exit(main())
