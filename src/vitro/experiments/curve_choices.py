"""MIB's curve under every ablation and metric: whether the choice of either decides which score is the best."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import polars as pl

from vitro.discovery import RANKINGS, Curve, Nested, Ranking, run_curves, score_edges, select
from vitro.engine import NotFiniteError
from vitro.experiments.curve import AREA, SIGN, USUAL, Area, best
from vitro.experiments.edge_scores import SCORE_EXPERIMENTS
from vitro.experiments.edges import edge_case
from vitro.experiments.experiment import Experiment
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import curve_choices
from vitro.metrics import fitting
from vitro.options import ABLATIONS, Ablation, ScoreName
from vitro.progress import bar
from vitro.tables import SCHEMAS, Tables
from vitro.tables.quantities import QUANTITIES

VARIED = ("logit_diff", "prob_diff", "answer_prob", "kl")
"""The metrics of which a share between empty circuit and model makes sense, beside the study's own. Not `answer_logit`,
which moves when all logits do, nor `right_first`, which moves in steps and has no gradient."""
NAMED = 2
"""So many of the choices that name another score are listed."""
CHEAP = {name: experiment for name, experiment in SCORE_EXPERIMENTS.items() if name != "exact"}
"""The scores that can be had anew for every choice; exact ones are measured under one ablation alone."""


def run(setup: Setup) -> Tables:
    """Table `curve_choices`: method, metric, own, by, ranking, cpr, cmd, leads.

    Under each ablation and metric, edges are scored and circuits judged by that very ablation and metric. By `kl`,
    whose gradient is 0 at the model itself, circuits are judged only: their edges are scored by the study's metric.
    """
    names: list[ScoreName] = [name for name, experiment in CHEAP.items() if experiment.name in setup.measured] or [
        USUAL
    ]
    kinds = [kind for kind in ABLATIONS if not setup.lacks(kind)]
    if setup.options.ablations is not None:
        kinds = [kind for kind in kinds if kind in (*setup.ablations, setup.edge_ablation)]
    frames = [
        # Named after the scores too: a part without one that is measured since then would not do.
        setup.part(f"curve_choices/{kind}-{'-'.join(names)}", partial(_under, setup, kind, names))["curve_choices"]
        for kind in kinds
    ]
    return {"curve_choices": pl.concat(frames)}


def _under(setup: Setup, kind: Ablation, names: Sequence[ScoreName]) -> Tables:
    """The rows of one ablation: all its circuits are run at once, and every metric is read of them."""
    own = edge_case(setup)
    case = replace(own, constants=setup.swept.constants(kind))
    metrics = [metric for metric in fitting(case.questions) if metric.name in {*VARIED, own.metric.name}]
    circuits: dict[tuple[str, str, Ranking], Nested] = {}
    for metric, name in product((metric for metric in metrics if metric.name != "kl"), names):
        # Gradients may leave the number format: of a norm at a stream of zeros, layer after layer.
        with suppress(NotFiniteError):
            scores = score_edges(replace(case, metric=metric), name).double().mean(1).numpy()
            circuits |= {(metric.name, name, way): select(case.graph, scores, way, "top") for way in RANKINGS}
    with bar(f"curves under {kind} ablation") as progress:
        measured = run_curves(case, list(circuits.values()), metrics, progress=progress)
    place = {key: number for number, key in enumerate(circuits)}
    rows = []
    for metric, ranking in product(metrics, RANKINGS):
        scored_by = own.metric.name if metric.name == "kl" else metric.name
        places = {name: place[key] for name in names if (key := (scored_by, name, ranking)) in place}
        of = {name: measured[metric.name][number] for name, number in places.items()}
        rivals: dict[str, Curve] = {name: curve for name, curve in of.items() if curve.has_span}
        first, stays = best(rivals, AREA[ranking]) if rivals else ("", False)
        rows += [
            {
                "method": kind,
                "metric": metric.name,
                "own": kind == setup.edge_ablation and metric.name == own.metric.name,
                "by": name,
                "ranking": ranking,
                "cpr": rivals[name].cpr if name in rivals else None,
                "cmd": rivals[name].cmd if name in rivals else None,
                "leads": stays and name == first,
            }
            for name in names
        ]
    return {"curve_choices": SCHEMAS["curve_choices"].cast(pl.DataFrame(rows, infer_schema_length=None))}


def numbers(tables: Tables) -> pl.DataFrame:
    """CPR by signed and CMD by absolute score, a row for each choice and a column for each score."""
    table = tables["curve_choices"]
    wide = table.select("method", "metric").unique(maintain_order=True)
    for ranking, area in AREA.items():
        here = table.filter(ranking=ranking).select("method", "metric", area, name=f"{area.upper()} " + pl.col("by"))
        wide = wide.join(here.pivot("name", index=["method", "metric"], values=area), on=["method", "metric"])
    return wide.rename({"method": "ablation"})


def summary(tables: Tables) -> str:
    """Where another choice of ablation or metric names another score than the study's own does."""
    table = tables["curve_choices"].drop_nulls("cpr")
    if table.is_empty():
        return ""
    choices = table.select("method", "metric").n_unique()
    turns = "; ".join(_turns(table, ranking) for ranking in RANKINGS)
    return f"Of {choices} choices of ablation and metric: {turns}."


def _turns(table: pl.DataFrame, ranking: Ranking) -> str:
    """What the choice does to one area: how far it moves, or in how many choices another score is the best."""
    area = AREA[ranking]
    by = f"{area.upper()} by {ranking} score"
    ordered = table.filter(ranking=ranking).sort(pl.col(area) * -SIGN[area], maintain_order=True)
    own = ordered.filter("own")
    if len(own) < 2:
        ends = (_value(ordered.row(place, named=True), area) for place in (-1, 0))
        return f"{by} goes from {' to '.join(ends)}"
    first, order = own["by"][0], own["by"].to_list()
    choices = ordered.filter(~pl.col("own")).partition_by("method", "metric", maintain_order=True)
    # Where the study's best score cannot be had, nothing is turned.
    others = [rows for rows in choices if first in rows["by"]]
    turned = [rows.row(0, named=True) for rows in others if rows["by"][0] != first]
    clear = [f"{row['by']} ({_choice(row)})" for row in turned if row["leads"]]
    named = ", ".join(clear[:NAMED]) + (f" and {len(clear) - NAMED} more" if len(clear) > NAMED else "")
    reordered = sum(rows["by"].to_list() != [name for name in order if name in rows["by"]] for rows in others)
    return (
        f"{by} is best of {first}{'' if own['leads'][0] else ', not beyond the spread of the prompts,'} by the study's "
        f"own ({_choice(own.row(0, named=True))}), of another score in "
        f"{len(turned)} of the {len(others)} others{f', beyond the spread of the prompts {named}' if clear else ''}; "
        f"the order of the scores changes in {reordered}"
    )


def _value(row: Mapping[str, Any], area: Area) -> str:
    return f"{row[area]:.3g} ({row['by']}: {_choice(row)})"


def _choice(row: Mapping[str, Any]) -> str:
    return f"{row['method']}, {QUANTITIES[row['metric']].short}"


CURVE_CHOICES = Experiment(
    name="curve_choices",
    title="Whether ablation and metric decide",
    reading="Each dot is a score under one ablation (rows) and one metric (columns), by which edges are scored and "
    "circuits judged: where dots of one colour lie elsewhere in another row or column, the choice decides.",
    tables=("curve_choices",),
    run=run,
    figures=lambda tables: {"curve_choices": curve_choices(tables["curve_choices"])},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
    beside=tuple(CHEAP.values()),
)
