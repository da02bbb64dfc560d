"""What is known of an atlas before it is made: what is there, what memory and time the rest takes, what is fetched.

Sizes are read of configurations. Times are multiply-adds over what this machine does in a second: right to a factor of
three or so, and better where the atlas has finished cells, whose own times say how wrong the count was.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Literal

import polars as pl
import torch

from vitro.atlases.atlas import SECONDS, Asked
from vitro.atlases.work import Job, by_threads
from vitro.engine.budget import CPU_MEMORY
from vitro.experiments import EXPERIMENTS
from vitro.models import ModelError
from vitro.models.sizes import Sizes, sizes_of
from vitro.options import Options
from vitro.study import with_needs
from vitro.tasks import Task

PROCESS = 600 * 10**6
"""Bytes of a process that has imported torch, before it has a model."""
_LOADED = 10**8
"""Numbers of a model that are read and checked in a second."""
_SHOWN = 0.4
"""Seconds in which a measurement's figures are drawn."""
_EFFICIENT = 0.5
"""The share of one large product's multiply-adds that the engine does: norms and attention come beside."""


@dataclass(frozen=True)
class Planned:
    """A cell before it is made. reason: why its model will be refused. memory: bytes, at its most. seconds: about."""

    job: Job
    state: Literal["done", "missing", "refused"]
    sizes: Sizes | None = None
    reason: str | None = None
    memory: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """The cells of an atlas before they are made."""

    cells: Sequence[Planned]
    uncounted: tuple[str, ...]
    """Measurements whose time is not known before."""

    @property
    def download(self) -> int:
        """Bytes that are fetched from the hub, each model once."""
        return sum({cell.job.model: cell.sizes.download for cell in self.missing if cell.sizes}.values())

    @property
    def missing(self) -> list[Planned]:
        """The cells that will be made."""
        return [cell for cell in self.cells if cell.state == "missing"]

    @property
    def seconds(self) -> float:
        """What they take one after the other, as far as it is known."""
        return sum(cell.seconds or 0.0 for cell in self.missing)


def plan(asked: Asked, threads: int = 1, free: float = math.inf) -> Plan:
    """The plan of an atlas. Of models on the hub config.json is downloaded, and no weights.

    free: bytes that a model may take, more than which is refused.

    >>> from vitro.atlases import Asked
    >>> cell, = plan(Asked((folder,), (task,), tmp_path / "atlas")).cells
    >>> cell.state, cell.sizes.layers, cell.seconds > 0
    ('missing', 3, True)
    """
    measured = [name for name in EXPERIMENTS if name in with_needs(asked.measure)]
    work = [name for name in measured if name in _WORK]
    factors = _factors(asked, threads)
    sizes: dict[str, Sizes | str] = {}
    cells = []
    for job in asked.jobs:
        if asked.study(job) is not None:
            cells.append(Planned(job, "done"))
            continue
        first = job.model not in sizes
        if first:
            try:
                sizes[job.model] = _fitting(job.model, sizes_of(job.model, asked.machine.dtype), free)
            except ModelError as error:
                sizes[job.model] = str(error)
        of = sizes[job.model]
        if isinstance(of, str):
            cells.append(Planned(job, "refused", reason=of))
            continue
        rate = _EFFICIENT * multiply_adds(of.d_model, threads)
        prompts = _Prompts.of(job.task, asked.options)
        parts = {name: _WORK[name](of, prompts) / rate * factors.get(name, 1.0) for name in work}
        seconds = sum(parts.values()) + _SHOWN * len(measured) + (of.parameters / _LOADED if first else 0)
        budget = asked.options.memory or CPU_MEMORY
        cells.append(
            Planned(job, "missing", of, None, PROCESS + max(of.memory, of.weights + budget), round(seconds, 1))
        )
    return Plan(cells, tuple(name for name in measured if name not in _WORK))


def _fitting(model: str, of: Sizes, free: float) -> Sizes:
    """The sizes. Raises ModelError, in a line, where they do not fit."""
    if of.memory > free:
        raise ModelError(
            f"model {model!r} needs {of.memory / 1e9:.3g} GB to be read, and {free / 1e9:.3g} GB are free for it here; "
            "what works: fewer --jobs, --dtype bfloat16, or a machine with more memory"
        )
    return of


@dataclass(frozen=True)
class _Prompts:
    """How many prompts are asked, and in how many streams, those shared by prompts that begin alike once."""

    prompts: int
    streams: int
    methods: int

    @classmethod
    def of(cls, task: Task, options: Options) -> "_Prompts":
        """About: without a tokenizer, of texts alone."""
        methods = len(options.ablations or task.ablations)
        texts = getattr(task, "prompts", None)
        if texts:
            # They differ in one word, and in what comes after it.
            tokens = 1 + len(texts[0].split())
            return cls(len(texts), tokens + (len(texts) - 1) * max(1, tokens // 2), methods)
        rows = getattr(task, "n", None) or len(getattr(task, "rows", ())) or 50
        prompts = min(rows, options.sweep_prompts or task.sweep_prompts or rows)
        return cls(prompts, 15 * prompts, methods)


def _pass(of: Sizes, asked: _Prompts) -> float:
    """Multiply-adds of a whole pass over the prompts, and of reading their ends."""
    return of.in_layers * asked.streams + _read(of, asked)


def _read(of: Sizes, asked: _Prompts) -> float:
    return of.d_model * of.d_vocab * asked.prompts


def _swept(of: Sizes, asked: _Prompts, components: int) -> float:
    """Of a sweep: what is ablated at a layer changes those above it, half of all in the mean."""
    return asked.methods * components * (of.in_layers * asked.streams / 2 + _read(of, asked))


_WORK: Mapping[str, Callable[[Sizes, _Prompts], float]] = {
    "prompts": lambda of, asked: 0.0,
    "clean": _pass,
    "head_ablation": lambda of, asked: _swept(of, asked, of.layers * of.heads),
    "mlp_ablation": lambda of, asked: _swept(of, asked, of.layers),
    # Each logit is read, and ranked.
    "head_lens": lambda of, asked: 2 * of.layers * of.heads * _read(of, asked),
    # Chosen from what is measured by then.
    "key_heads": lambda of, asked: 0.0,
    "layer_lens": lambda of, asked: 2 * 3 * of.layers * _read(of, asked),
    "direct_attribution": _pass,
    # Twenty circuits a component, those of the verdict's own searches among them.
    "find": lambda of, asked: 20 * of.layers * (of.heads + 1) * _pass(of, asked),
    # A thousand words, in their own order and in others, through every head.
    "successor": lambda of, asked: 1000 * of.layers * of.heads * of.d_model * (2 * of.d_model / of.heads + 250),
}
"""Multiply-adds of the measurements that are counted."""


@cache
def multiply_adds(d_model: int, threads: int) -> float:
    """Multiply-adds a second of one product of a model's size, measured in a twentieth of a second.

    >>> multiply_adds(64, 1) > 1e6
    True
    """
    with by_threads(threads):
        left, right = torch.ones(256, d_model), torch.ones(d_model, 4 * d_model)
        _ = left @ right
        times, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < 0.05:
            _ = left @ right
            times += 1
    return times * left.numel() * right.shape[1] / spent


def _factors(asked: Asked, threads: int) -> dict[str, float]:
    """By how much the count of each measurement was wrong in the cells that are finished, the median of these."""
    tasks = {task.typed: _Prompts.of(task, asked.options) for task in asked.tasks}
    try:
        took = pl.read_csv(asked.out / SECONDS)
        rows = took.select("model", "task", "measurement", "seconds").rows()
    except (OSError, pl.exceptions.PolarsError):
        return {}
    sizes: dict[str, Sizes | None] = {}
    ratios: dict[str, list[float]] = {}
    for model, task, measurement, seconds in rows:
        if measurement not in _WORK or task not in tasks or not seconds:
            continue
        if model not in sizes:
            try:
                sizes[model] = sizes_of(model, asked.machine.dtype)
            except ModelError:
                sizes[model] = None
        if (of := sizes[model]) is None or not (count := _WORK[measurement](of, tasks[task])):
            continue
        rate = _EFFICIENT * multiply_adds(of.d_model, threads)
        ratios.setdefault(measurement, []).append(seconds * rate / count)
    return {name: median(values) for name, values in ratios.items()}
