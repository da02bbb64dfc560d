"""From the studies of an atlas to its tables. Means are taken in a fixed order: equal studies give equal bytes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from vitro.atlases.cells import checkpoint_of
from vitro.atlases.work import Job
from vitro.experiments import FIND
from vitro.experiments.clean import CLEAN
from vitro.experiments.direct_attribution import DIRECT_ATTRIBUTION
from vitro.experiments.findings import does_task
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.successor import SUCCESSOR
from vitro.heads import Head
from vitro.record import Study, StudyError
from vitro.tables import Tables, copying_heads, outcome, selective_heads, varies
from vitro.tables.schemas.atlas import SCHEMAS

STRONGEST = 10
"""How many heads of each task are compared for what tasks share."""
Effects = Mapping[Head, float]
"""What each head costs of the study's metric where it is ablated alone: its mean over prompts."""


@dataclass(frozen=True)
class Result:
    """What became of a cell. reason: why it failed. study: what is there of it, if anything."""

    job: Job
    state: Literal["done", "failed", "missing"]
    reason: str | None = None
    study: Study | None = None


def tables_of(results: Iterable[Result], out: Path) -> Tables:
    """Tables `atlas`, `overlaps` and `seconds` (docs/tables.md). results: model by model. out: the atlas's folder.

    One study is read at a time.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SCHEMAS}
    for model, of_model in groupby(results, key=lambda result: result.job.model):
        seen: list[tuple[str, Effects, frozenset[str] | None]] = []
        for result in of_model:
            try:
                cell = _Cell(result.study) if result.study else None
                rows["atlas"].append(_row(result, cell, out))
            except StudyError as error:
                # A table that was changed or damaged since.
                cell = None
                rows["atlas"].append(_row(Result(result.job, "failed", str(error)), None, out))
            if cell is None:
                continue
            rows["seconds"] += [
                {"model": model, "task": result.job.task.typed, "measurement": name, "seconds": done.seconds}
                for name, done in cell.study.record.experiments.items()
            ]
            if result.state == "done":
                seen.append((result.job.task.typed, cell.effects, cell.circuit))
        rows["overlaps"] += _overlaps(model, seen)
    return {name: _table(name, rows[name]) for name in SCHEMAS}


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    columns = {column.name: column.dtype for column in SCHEMAS[name].columns}
    table = pl.DataFrame(list(rows), schema=columns, orient="row")
    SCHEMAS[name].check(table)
    return table


class _Cell:
    """A study as an atlas compares it."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.layers = int(study.record.model["n_layers"])
        self.effects = self._effects()
        self.circuit = self._circuit()

    def tables(self, experiment: Any) -> Tables | None:
        """An experiment's tables and those that it is shown with; None where it is not measured."""
        return self.study.tables(experiment) if experiment.name in self.study.record.experiments else None

    def _effects(self) -> Effects:
        if (tables := self.tables(HEAD_ABLATION)) is None:
            return {}
        task = tables["task"].row(0, named=True)
        swept = tables["head_ablation"].filter(method=task["ablation"]).sort("layer", "head", "prompt")
        costs = -swept[f"{task['metric']}_change"].to_numpy().astype(np.float64).reshape(-1, task["n_swept"]).mean(1)
        heads = swept.select("layer", "head").unique(maintain_order=True)
        return {Head(*row): cost for row, cost in zip(heads.iter_rows(), costs.tolist(), strict=True)}

    def _circuit(self) -> frozenset[str] | None:
        tables = self.tables(FIND)
        return frozenset(tables["find_nodes"]["node"]) if tables else None

    def answers(self) -> dict[str, Any]:
        """How well the model does the task."""
        if (tables := self.tables(CLEAN)) is None:
            return {}
        clean, task = tables["clean"], tables["task"].row(0, named=True)
        values = {
            "accuracy": (clean["answer_rank"] == 0),
            "right_first": clean["right_first"] == 1 if clean["right_first"].null_count() == 0 else None,
            "answer_prob": clean["answer_prob"],
            "metric_mean": clean[task["metric"]],
        }
        return {
            "prompts": len(clean),
            "does_task": does_task(tables),
            "metric": task["metric"],
            "ablation": task["ablation"],
            **{name: _mean(values) for name, values in values.items()},
        }

    def concentration(self) -> dict[str, Any]:
        """How many heads the cost is spread over."""
        costs = np.array(list(self.effects.values()))
        if not costs.size or not np.isfinite(costs).all():
            return {}
        lost = costs.clip(min=0)
        some = lost.sum() > 0
        return {
            "largest_loss": costs.max(),
            "top_share": lost.max() / lost.sum() if some else None,
            "effective_heads": lost.sum() ** 2 / (lost**2).sum() if some else None,
        }

    def strongest(self) -> dict[str, Any]:
        """The strongest head by each rule, and how deep it lies."""
        heads = {rule: next(iter(found), None) for rule, found in self._ranked()}
        return {
            f"{rule}_{what}": value
            for rule, head in heads.items()
            if head is not None
            for what, value in (("head", str(head)), ("depth", head.layer / self.layers))
        }

    def _ranked(self) -> Iterator[tuple[str, list[Head]]]:
        """By each rule that can be asked, heads, the strongest first."""
        if self.effects and np.isfinite(list(self.effects.values())).all():
            yield "ablation", sorted(self.effects, key=lambda head: (-self.effects[head], head))
        if tables := self.tables(HEAD_LENS):
            lens = tables["head_lens"]
            yield "selective", selective_heads(lens) or selective_heads(lens, misses=1)
            if varies(tables):
                yield "copying", copying_heads(lens)
        if tables := self.tables(DIRECT_ATTRIBUTION):
            shares = tables["direct_attribution"].filter(kind="head").sort("layer", "head", "prompt")
            means = shares["share"].to_numpy().astype(np.float64).reshape(-1, shares["prompt"].n_unique()).mean(1)
            heads = [Head(*row) for row in shares.select("layer", "head").unique(maintain_order=True).iter_rows()]
            yield "direct", [heads[number] for number in np.argsort(-means, kind="stable")]
        if tables := self.tables(FIND):
            nodes = tables["find_nodes"].filter(pl.col("head").is_not_null())
            costly = nodes.sort("cost", "layer", "head", descending=[True, False, False], nulls_last=True)
            yield "circuit", [Head(*row) for row in costly.select("layer", "head").iter_rows()]
        if tables := self.tables(SUCCESSOR):
            best = tables["successor_heads"].filter(norms="with").select("layer", "head")
            yield "successor", [Head(*row) for row in best.iter_rows()]

    def found(self) -> dict[str, Any]:
        """The circuit, as far as one was searched for, and the score of the best successor head."""
        values: dict[str, Any] = {}
        if tables := self.tables(SUCCESSOR):
            values["successor_score"] = tables["successor_heads"].filter(norms="with")["mean_score"][0]
        if tables := self.tables(FIND):
            search, nodes = tables["find"].row(0, named=True), tables["find_nodes"]
            values |= {
                "found": outcome(tables),
                "circuit_nodes": search["nodes"],
                "circuit_heads": len(nodes) - nodes["head"].null_count(),
                "circuit_edges": search["edges"],
                "faithfulness": search["faithfulness"],
                "nodes_depth": float(nodes["layer"].to_numpy().mean()) / self.layers if len(nodes) else None,
            }
        return values


def _mean(values: pl.Series | None) -> float | None:
    return None if values is None or values.null_count() else float(values.to_numpy().astype(np.float64).mean())


def _row(result: Result, cell: _Cell | None, out: Path) -> dict[str, Any]:
    job = result.job
    series, step = checkpoint_of(job.model) or (None, None)
    row: dict[str, Any] = dict.fromkeys(column.name for column in SCHEMAS["atlas"].columns)
    row |= {
        "model": job.model,
        "task": job.task.typed,
        "state": result.state,
        "reason": result.reason,
        "folder": job.folder.relative_to(out).as_posix(),
        "series": series,
        "step": step,
    }
    if cell is not None:
        model = cell.study.record.model
        row |= {
            "family": model["family"],
            "parameters": model.get("parameters"),
            "layers": model["n_layers"],
            "heads": model["n_heads"],
        }
        row |= cell.answers() | cell.concentration() | cell.strongest() | cell.found()
    return row


def _overlaps(model: str, seen: Sequence[tuple[str, Effects, frozenset[str] | None]]) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "task": task,
            "other": other,
            "effects": _correlation(effects, effects_of_other),
            "strongest": _shared(_top(effects), _top(effects_of_other)) if effects and effects_of_other else None,
            "circuits": _shared(circuit, other_circuit) if circuit is not None and other_circuit is not None else None,
        }
        for (task, effects, circuit), (other, effects_of_other, other_circuit) in combinations(seen, 2)
    ]


def _top(effects: Effects) -> frozenset[str]:
    return frozenset(map(str, sorted(effects, key=lambda head: (-effects[head], head))[:STRONGEST]))


def _shared(one: frozenset[str], other: frozenset[str]) -> float | None:
    """What two sets share, over all that is in either (Jaccard); None where both are empty."""
    return len(one & other) / len(one | other) if one | other else None


def _correlation(one: Effects, other: Effects) -> float | None:
    if one.keys() != other.keys() or len(one) < 2:
        return None
    pair: Float[np.ndarray, "task head"] = np.array([[effects[head] for head in one] for effects in (one, other)])
    centred = pair - pair.mean(1, keepdims=True)
    sizes = np.sqrt((centred**2).sum(1))
    return float((centred[0] * centred[1]).sum() / sizes.prod()) if np.isfinite(pair).all() and sizes.all() else None
