"""Tables of atlases as they might have come out: small, with a training run, large, hostile, and almost empty."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from vitro.tables import Tables
from vitro.tables.schemas.atlas import RULES, SCHEMAS

HOSTILE = ("<script>alert(1)</script>", 'a"b', "</script><b>x", "café \u202e ␣\n'x", "//evil.example/x")
MEASUREMENTS = {"clean": 0.2, "head_ablation": 9.0, "head_lens": 0.6, "direct_attribution": 0.5, "find": 60.0}


@dataclass(frozen=True)
class Named:
    """A model of an atlas."""

    name: str
    family: str | None
    parameters: int
    layers: int
    heads: int
    series: str | None = None
    step: int | None = None


SMALL = [
    Named("gpt2", "GPT2", 124_439_808, 12, 12),
    Named("smollm2", "Llama", 134_515_008, 30, 9),
    Named("EleutherAI/pythia-70m", "GPTNeoX", 70_426_624, 6, 8),
]
MEDIUM = [
    Named("gpt2", "GPT2", 124_439_808, 12, 12),
    Named("gpt2-medium", "GPT2", 354_823_168, 24, 16),
    Named("gpt2-large", "GPT2", 774_030_080, 36, 20),
    Named("/data/checkpoints/of our own/pythia-14m", "GPTNeoX", 14_067_712, 6, 4),
    *(
        Named(f"EleutherAI/pythia-{size}", "GPTNeoX", parameters, layers, 8)
        for size, parameters, layers in (("70m", 70_426_624, 6), ("160m", 162_322_944, 12), ("1b", 1_011_781_632, 16))
    ),
    Named("HuggingFaceTB/SmolLM2-135M", "Llama", 134_515_008, 30, 9),
    Named("HuggingFaceTB/SmolLM2-360M", "Llama", 361_821_120, 32, 15),
    Named("meta-llama/Llama-3.2-1B", "Llama", 1_235_814_400, 16, 32),
    Named("Qwen/Qwen2.5-0.5B", "Qwen2", 494_032_768, 24, 14),
    Named("Qwen/Qwen2.5-1.5B", "Qwen2", 1_543_714_304, 28, 12),
]
STEPS = (0, 1, 16, 128, 512, 1000, 4000, 16000, 64000, 143000)
RUN = [
    Named(f"EleutherAI/pythia-70m@step{step}", "GPTNeoX", 70_426_624, 6, 8, "EleutherAI/pythia-70m", step)
    for step in STEPS
]
TASKS = ("days", "months", "ioi", "greater-than")


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A table of its schema; what a row does not say is null."""
    columns = {column.name: column.dtype for column in SCHEMAS[name].columns}
    frame = pl.DataFrame([{**dict.fromkeys(columns), **row} for row in rows], schema=columns, orient="row")
    SCHEMAS[name].check(frame)
    return frame


def atlas_of(models: Sequence[Named], tasks: Sequence[str], failed: Iterable[tuple[str, str]] = ()) -> Tables:
    """The tables of these tasks on these models, some of which failed; what larger models do is better and deeper."""
    random = np.random.default_rng(0)
    rows: list[Mapping[str, Any]] = []
    seconds: list[Mapping[str, Any]] = []
    lost = {*failed}
    for model in models:
        for number, task in enumerate(tasks):
            cell = {"model": model.name, "task": task, "series": model.series, "step": model.step}
            cell |= {"folder": f"cells/{task}/{model.name.replace('/', '--')}"}
            if (model.name, task) in lost:
                rows.append(
                    cell | {"state": "failed", "reason": f"{task}: <b>no</b> answer is one token of {model.name}"}
                )
                continue
            rows.append(cell | {"state": "done"} | _measured(model, number, random))
            seconds += [
                {"model": model.name, "task": task, "measurement": name, "seconds": each * random.gamma(4.0, 0.25)}
                for name, each in MEASUREMENTS.items()
            ]
    overlaps = [
        {
            "model": model.name,
            "task": task,
            "other": other,
            "effects": random.uniform(-0.2, 1.0),
            "strongest": random.uniform(0.0, 0.6),
            "circuits": random.uniform(0.0, 0.4) if model.step is None else None,
        }
        for model in models
        for task, other in combinations(tasks[:20], 2)
        if not {(model.name, task), (model.name, other)} & lost
    ]
    return {
        "atlas": table("atlas", rows),
        "overlaps": table("overlaps", overlaps),
        "seconds": table("seconds", seconds),
    }


def _measured(model: Named, task: int, random: np.random.Generator) -> dict[str, Any]:
    """What could have been measured of a cell."""
    skill = np.log10(model.parameters) / 4 - 1.4 - 0.08 * task + random.normal(0, 0.08)
    if model.step is not None:
        skill *= np.log1p(model.step) / np.log1p(STEPS[-1])
    accuracy = float(np.clip(skill, 0, 1))
    does = accuracy > 0.3
    layers = [int(layer) for layer in random.integers(model.layers // 3, model.layers, len(RULES))]
    heads = {
        f"{rule}_head": f"a{layer}.h{random.integers(model.heads)}" for rule, layer in zip(RULES, layers, strict=True)
    }
    depths = {f"{rule}_depth": layer / model.layers for rule, layer in zip(RULES, layers, strict=True)}
    nodes = int(random.integers(4, 30))
    circuit = {"circuit_nodes": nodes, "circuit_heads": nodes - 2, "circuit_edges": 3 * nodes, "nodes_depth": 0.6}
    return {
        "family": model.family,
        "parameters": model.parameters,
        "layers": model.layers,
        "heads": model.heads,
        "prompts": 7,
        "accuracy": accuracy,
        "right_first": min(1.0, accuracy + 0.2) if task != 1 else None,
        "answer_prob": accuracy / 2,
        "does_task": does,
        "metric": "margin",
        "metric_mean": 3 * accuracy,
        "ablation": "mean",
        "largest_loss": accuracy,
        "top_share": 0.3,
        "effective_heads": float(random.uniform(1, model.heads * 2)),
        **(heads | depths),
        "successor_score": float(np.clip(skill + 0.3, 0, 1)),
        **(
            {"found": "found", **circuit, "faithfulness": float(random.uniform(0.85, 1.02))}
            if does
            else {"found": "not found"}
        ),
    }


def bare(tables: Tables) -> Tables:
    """The same cells, done, and nothing measured of them."""
    kept = tables["atlas"].select("model", "task", "folder").with_columns(state=pl.lit("done"))
    return {
        "atlas": table("atlas", kept.to_dicts()),
        "overlaps": table("overlaps", []),
        "seconds": table("seconds", []),
    }


def nothing_but_failures(tables: Tables) -> Tables:
    """The same cells, none of them done."""
    rows = [
        {**row, "state": "failed", "reason": "no model is there; what works: gpt2"}
        if number
        else {**row, "state": "missing"}
        for number, row in enumerate(tables["atlas"].select("model", "task", "folder").to_dicts())
    ]
    return {"atlas": table("atlas", rows), "overlaps": table("overlaps", []), "seconds": table("seconds", [])}


def hostile() -> Tables:
    """An atlas in which every name is hostile."""
    models = [Named(name, f"<i>{name}", 10**8 * (number + 1), 12, 12) for number, name in enumerate(HOSTILE)]
    run = [Named(f"<b>@step{step}", None, 10**8, 12, 12, "<b>", step) for step in (0, 10, 100)]
    return atlas_of([*models, *run], ["<img src=x onerror=alert(1)>", "a'b\\", "plain"], [(HOSTILE[0], "plain")])


SMALL_ATLAS = atlas_of(SMALL, TASKS[:3], [("smollm2", "ioi")])
MEDIUM_ATLAS = atlas_of([*MEDIUM, *RUN], TASKS, [("Qwen/Qwen2.5-1.5B", "ioi"), ("gpt2-large", "greater-than")])
ONE_CELL = atlas_of(SMALL[:1], TASKS[:1])
ALL_FAILED = nothing_but_failures(SMALL_ATLAS)
ALL_NULL = bare(SMALL_ATLAS)


def large(models: int = 500, tasks: int = 20) -> Tables:
    """An atlas of this many models of nine families, and this many tasks."""
    named = [
        Named(f"org/model-{number}", f"Family{number % 9}", 10**7 * (number + 1), 12, 12) for number in range(models)
    ]
    names = [f"task-{number}" for number in range(tasks)]
    return atlas_of(named, names)
