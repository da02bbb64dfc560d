"""MIB's curve: how much of the model its best edges carry, by every score of the edges that is measured."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from vitro.circuits import Graph
from vitro.discovery import read_ranking
from vitro.discovery.curve import (
    RANKINGS,
    SELECTIONS,
    Curve,
    Nested,
    Ranking,
    cmd,
    cpr,
    faithfulness,
    run_curves,
    select,
)
from vitro.experiments.edge_scores import SCORE_EXPERIMENTS, edge_scores, experiment_of
from vitro.experiments.edges import edge_case
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.find import FIND
from vitro.experiments.kept import setup_of
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.search_points import CIRCUIT, OF_CURVE, STEPS, comparison, other_numbers, searched
from vitro.experiments.search_points import said as search_said
from vitro.experiments.setup import Setup
from vitro.figures import edge_curves
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options, ScoreName
from vitro.progress import bar
from vitro.tables import FEWEST, FLOOR, RARE, SCHEMAS, Tables, counted, resampled_means, said, too_few
from vitro.tables.quantities import QUANTITIES
from vitro.tasks import Task

USUAL: ScoreName = "eap-ig"
"""The score whose curve is taken where none is measured."""
Area = Literal["cpr", "cmd"]
AREA: Mapping[Ranking, Area] = {"signed": "cpr", "absolute": "cmd"}
"""The area that MIB takes from a ranking."""
SIGN: Mapping[Area, int] = {"cpr": 1, "cmd": -1}
"""Whether more of it is better."""
KEY = ("by", "ranking", "selection")
"""The columns that name a curve."""
SHOWN = (0.001, 0.01, 0.1)
"""The sizes at which f is among the numbers."""


@dataclass(frozen=True, order=True)
class Ranked:
    """What a curve is of: a score or a file by its name, and how edges are taken; None where circuits are given."""

    by: str
    ranking: str | None = None
    selection: str | None = None


def run(setup: Setup) -> Tables:
    """Table `curve`: by, ranking, selection, size, n, edges, prompt, value, model, empty; and `curve_areas`.

    Where a circuit was searched for, it and those on the way are run in the same list, and at each of their sizes the
    circuits of every ranking.
    """
    measured = [name for name, experiment in SCORE_EXPERIMENTS.items() if experiment.name in setup.measured]
    # Where only some edges were cut, the others have no rank.
    names = [name for name in measured if name != "exact" or setup.options.top_edges is None] or [USUAL]
    tables = {**setup.tables(PROMPTS)}
    for name in names:
        tables |= setup.tables(SCORE_EXPERIMENTS[name])
    scores = {name: edge_scores(tables, name) for name in names}
    graph = Graph.of(setup.model)
    circuits = ranked(graph, scores)
    if FIND.name not in setup.measured:
        return curve_tables(setup, circuits)
    of_search = searched(graph, setup.tables(FIND))
    beside = [(Ranked(name), nested) for name, nested in of_search.items()]
    if numbers := other_numbers(of_search):
        beside += ranked(graph, scores, numbers).items()
    return curve_tables(setup, circuits, beside)


def ranked(
    graph: Graph, scores: Mapping[Any, Float[np.ndarray, " edge"]], numbers: Sequence[int] | None = None
) -> dict[Ranked, Nested]:
    """The circuits of every score, by every ranking and selection; numbers: see `select`."""
    return {
        Ranked(name, ranking, selection): select(graph, of_edges, ranking, selection, numbers)
        for name, of_edges in scores.items()
        for ranking in RANKINGS
        for selection in SELECTIONS
    }


def curves_of_files(setup: Setup, paths: Sequence[Path]) -> Tables:
    """The tables of files with scores, by every ranking and selection, and of folders with circuits; and `seconds`.

    They are named after their files, or by their paths where files are called the same or as what else there is.
    Raises what `read_ranking` does, before anything is run.
    """
    taken = {*SCORE_EXPERIMENTS, CIRCUIT, STEPS}
    alike = len({path.name for path in paths}) < len(paths) or any(path.name in taken for path in paths)
    circuits: dict[Ranked, Nested] = {}
    for path in paths:
        name = str(path.absolute()) if alike else path.name
        content = read_ranking(path, setup.model)
        if isinstance(content, Nested):
            circuits[Ranked(name)] = content
        else:
            circuits |= ranked(Graph.of(setup.model), {name: content})
    start = time.perf_counter()
    tables = curve_tables(setup, circuits)
    seconds = {"experiment": ["curve"], "seconds": [round(time.perf_counter() - start, 3)]}
    return {**tables, "seconds": pl.DataFrame(seconds)}


def curve_tables(
    setup: Setup, circuits: Mapping[Ranked, Nested], beside: Sequence[tuple[Ranked, Nested]] = ()
) -> Tables:
    """The tables of some circuits. CurveError where the model's metric is the empty circuit's: nothing to explain.

    beside: circuits at other sizes, which have no areas.
    """
    case = edge_case(setup)
    every = [*circuits.items(), *beside]
    with bar("circuits of MIB's curve") as progress:
        curves = run_curves(case, [nested for _, nested in every], [case.metric], progress=progress)[case.metric.name]
    prompts = setup.swept.prompt_numbers
    rows, areas = [], []
    for (of, _), curve in zip(every, curves, strict=True):
        n_sizes, n_prompts = curve.values.shape
        per_size = {"size": curve.sizes, "n": curve.n, "edges": curve.edges}
        rows.append(
            pl.DataFrame(
                {
                    **{key: [value] * curve.values.size for key, value in asdict(of).items()},
                    **{key: np.repeat(np.array(value), n_prompts) for key, value in per_size.items()},
                    "prompt": np.tile(prompts, n_sizes),
                    "value": curve.values.ravel(),
                    "model": np.tile(curve.model, n_sizes),
                    "empty": np.tile(curve.empty, n_sizes),
                }
            )
        )
    for of, curve in zip(circuits, curves, strict=False):
        judged: dict[str, object] = {**asdict(of), "metric": case.metric.name, "method": setup.edge_ablation}
        for area in SIGN:
            low, high = interval(curve, area)
            judged |= {area: getattr(curve, area), f"{area}_low": low, f"{area}_high": high}
        areas.append(judged)
    tables = {"curve": pl.concat(rows, how="vertical_relaxed"), "curve_areas": pl.DataFrame(areas)}
    return {name: SCHEMAS[name].cast(table) for name, table in tables.items()}


def curves_of(table: pl.DataFrame) -> dict[Ranked, Curve]:
    """The curves of table `curve`, at MIB's sizes alone."""
    curves = {}
    for (by, ranking, selection), rows in table.filter(OF_CURVE).group_by(KEY, maintain_order=True):
        sizes = rows.group_by("size", maintain_order=True).agg(pl.first("n", "edges"))
        values, model, empty = (
            rows[name].to_numpy().astype(float).reshape(len(sizes), -1) for name in ("value", "model", "empty")
        )
        n, edges = sizes["n"].to_numpy(), sizes["edges"].to_numpy()
        curves[Ranked(by, ranking, selection)] = Curve(tuple(sizes["size"]), n, edges, values, model[0], empty[0])
    return curves


def points(table: pl.DataFrame) -> pl.DataFrame:
    """Table `curve` at MIB's sizes, without prompts: by, ranking, selection, size, n, edges, f."""
    return pl.concat(
        pl.DataFrame({"size": curve.sizes, "n": curve.n, "edges": curve.edges, "f": curve.faithfulness}).select(
            pl.lit(of.by).alias("by"),
            pl.lit(of.ranking, pl.String).alias("ranking"),
            pl.lit(of.selection, pl.String).alias("selection"),
            pl.all(),
        )
        for of, curve in curves_of(table).items()
    )


def by_size(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """The circuits of one score's best edges, a row for each size: n and, for each ranking, the edges left and f."""
    rows = points(table).filter(pl.col("selection").is_null() | (pl.col("selection") == "top"), by=by)
    wide = rows.select("size", "n").unique(maintain_order=True)
    for (ranking,), part in rows.group_by("ranking", maintain_order=True):
        named = {name: f"{name} {ranking}" if ranking else name for name in ("edges", "f")}
        wide = wide.hstack(part.select(*named).rename(named))
    return wide


def records(tables: Tables) -> list[dict[str, Any]]:
    """Each ranking's curve as JSON values. seconds: what the score of its edges took; None of a file."""
    taken = dict(tables["seconds"].rows())
    seconds: dict[str, float] = {
        name: taken[experiment.name] for name, experiment in SCORE_EXPERIMENTS.items() if experiment.name in taken
    }
    return [
        {
            "score": of.by,
            "ranking": of.ranking,
            "selection": of.selection,
            "sizes": list(curve.sizes),
            "n": curve.n.tolist(),
            "edges": curve.edges.tolist(),
            "faithfulness": curve.faithfulness.tolist(),
            "cpr": curve.cpr,
            "cmd": curve.cmd,
            "metric_model": float(curve.model.mean()),
            "metric_empty": float(curve.empty.mean()),
            "seconds": seconds.get(of.by),
        }
        for of, curve in curves_of(tables["curve"]).items()
    ]


def interval(curve: Curve, area: Area) -> tuple[float | None, float | None]:
    """The 95 % bootstrap interval of an area; none where f is not finite in every sample, or there is one prompt."""
    low, high = np.quantile(_resampled(curve, area), [RARE / 2, 1 - RARE / 2])
    return (float(low), float(high)) if np.isfinite([low, high]).all() and len(curve.model) > 1 else (None, None)


def best(curves: Mapping[str, Curve], area: Area) -> tuple[str, bool]:
    """The name of the curve with the best area, and whether it stays so in 95 % of bootstrap samples of the prompts.

    A sample has the same prompts for all curves; differences below FLOOR are rounding. Of fewer than FEWEST prompts it
    is never said.
    """
    sign = SIGN[area]
    first = max(curves, key=lambda name: sign * float(getattr(curves[name], area)))
    draws = {name: sign * _resampled(curve, area) for name, curve in curves.items()}
    beaten = [draws[first] > draw + FLOOR for name, draw in draws.items() if name != first]
    enough = len(curves[first].model) >= FEWEST
    return first, enough and (not beaten or bool(np.all(beaten, axis=0).mean() >= 1 - RARE))


def _resampled(curve: Curve, area: Area) -> Float[np.ndarray, " draw"]:
    """An area in bootstrap samples of the prompts: f is a ratio of means, each sample's own."""
    *of_sizes, model, empty = resampled_means(np.vstack([curve.values, curve.model, curve.empty]))
    # A sample in which model and empty circuit do the same has no f.
    with np.errstate(divide="ignore", invalid="ignore"):
        f = faithfulness(np.array(of_sizes), model, empty)
        return (cpr if area == "cpr" else cmd)(curve.sizes, f)


def numbers(tables: Tables) -> pl.DataFrame:
    """Both areas of every ranking, and f at a few sizes."""
    areas = tables["curve_areas"].select(KEY, CPR="cpr", CMD="cmd")
    f = points(tables["curve"]).filter(pl.col("size").is_in(SHOWN))
    named = f.with_columns(at=pl.format("f at {} %", (pl.col("size") * 100).round(1)))
    wide = named.pivot("at", index=KEY, values="f")
    return areas.join(wide, on=KEY, nulls_equal=True, maintain_order="left").rename({"by": "ranked by"})


def summary(tables: Tables) -> str:
    """Which score has the best areas, each from the ranking that MIB takes it from; and how a search's circuit does."""
    areas = tables["curve_areas"].row(0, named=True)
    words = QUANTITIES[areas["metric"]].short
    curves = {of: curve for of, curve in curves_of(tables["curve"]).items() if of.selection != "greedy"}
    best_areas = "; ".join(_best_said(curves, ranking) for ranking in RANKINGS)
    spoken, n_prompts = said(tables), tables["curve"]["prompt"].n_unique()
    swept = f"{n_prompts} of " if n_prompts < spoken.n_prompts else ""
    over = f"over {swept}{counted(spoken.n_prompts)}"
    if spoken.metric != areas["metric"]:
        words += f", not the {spoken.quantity.short}, for edges are ranked by logits"
    curve = f"MIB's curve of the {words}, {over}, absent edges at their {areas['method']} ablation: {best_areas}."
    return f"{curve} {search_said(tables)}".rstrip()


def _best_said(curves: Mapping[Ranked, Curve], ranking: Ranking) -> str:
    area = AREA[ranking]
    rivals = {of.by: curve for of, curve in curves.items() if of.ranking in (ranking, None)}
    first, stays = best(rivals, area)
    # Circuits that were given have no ranking.
    ranked = any(of.by == first and of.ranking for of in curves)
    value = f"{area.upper()} {getattr(rivals[first], area):.3g} ({first}{f', by {ranking} score' if ranked else ''}"
    if len(rivals) == 1:
        return f"{value})"
    n_prompts = len(rivals[first].model)
    doubt = too_few(n_prompts) if n_prompts < FEWEST else "not beyond the spread of the prompts"
    return f"{value}; the best of {len(rivals)}{'' if stays else f', {doubt}'})"


CURVE = Experiment(
    name="curve",
    title="How many edges it takes",
    reading="Each point is a circuit within the model, of the share of all edges below it: at 1 it answers as the "
    "whole model does, at 0 as the model with everything ablated.",
    tables=("curve", "curve_areas"),
    run=run,
    figures=lambda tables: {
        "curve": edge_curves(points(tables["curve"]), tables["curve_areas"], comparison(tables["curve"]))
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    beside=(*SCORE_EXPERIMENTS.values(), FIND),
)


def curve(
    model: Model, task: Task | str, scores: Collection[ScoreName] = (USUAL,), options: Options = DEFAULT_OPTIONS
) -> Measurement:
    """MIB's curve of the edges ranked by each of some scores (arXiv 2504.13151; docs/method.md, section 10.4).

    scores: some of `vitro.options.SCORES` (see `score_edges`).

    Table `curve` has a row per score, ranking, selection, size and prompt: the metric of the circuit of the best edges,
    of the model and of the empty circuit. Table `curve_areas` has CPR and CMD with their intervals.

    Raises `OptionError` where there is no such score or an option does not fit the task or the model, `TaskError` where
    the task does not fit the tokenizer, and `CurveError` where the model's metric and the empty circuit's are the same.

    >>> round(vitro.curve(model, task, ["eap-ig"]).tables["curve_areas"]["cpr"][0], 2)
    2.87
    """
    return curve_in(setup_of(model, task, options), scores)


def curve_in(setup: Setup, scores: Collection[ScoreName]) -> Measurement:
    """`curve` in a setup."""
    return CURVE.of(setup, beside=[*map(experiment_of, scores)])
