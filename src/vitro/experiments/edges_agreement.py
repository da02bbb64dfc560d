"""Exact against scored: how well each score of edges ranks them, and where it is wrong."""

from collections.abc import Collection

import numpy as np
import polars as pl
from jaxtyping import Float

from vitro.circuits import Edge, Graph, node
from vitro.experiments.edge_scores import SCORE_EXPERIMENTS, WITHOUT_METRIC, edge_scores, experiment_of
from vitro.experiments.edges import EDGE, EDGES, edge_metric
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.kept import setup_of
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import EDGE_NAME, Figure, edge_agreement
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options, ScoreName
from vitro.tables import SCHEMAS, SCORE_TABLES, Tables
from vitro.tasks import Task

N_MISSES = 3
TOP = (10, 100, 1000)
"""How many of the largest are compared."""
BESIDE = {name: experiment for name, experiment in SCORE_EXPERIMENTS.items() if name != "exact"}


def run(setup: Setup) -> Tables:
    """Table `edges_agreement`: by (the score), source, target, input, exact, score; for each score that is measured.

    It has the edges that were cut. Both are means over prompts, and positive where the edge helps the metric that edges
    are ranked by.
    """
    tables = {**setup.tables(PROMPTS), **setup.tables(EDGES)}
    edges = tables["edges"].select(EDGE).unique(maintain_order=True)
    exact = pl.Series("exact", edge_scores(tables, "exact"), pl.Float32)
    graph = Graph.of(setup.model)
    cut = [graph.number[Edge(node(source), node(target), name)] for source, target, name in edges.iter_rows()]
    frames = []
    for name, experiment in BESIDE.items():
        if experiment.name in setup.measured:
            score = pl.Series("score", edge_scores({**tables, **setup.tables(experiment)}, name)[cut], pl.Float32)
            frames.append(edges.select(pl.lit(name).alias("by"), *EDGE, exact, score))
    schema = SCHEMAS["edges_agreement"]
    return {"edges_agreement": pl.concat(frames) if frames else schema.cast(pl.DataFrame())}


def overlap(first: Float[np.ndarray, " edge"], second: Float[np.ndarray, " edge"], top: int) -> float | None:
    """The share of the `top` largest numbers, by size, that two rankings have in common; None where there are fewer.

    >>> overlap(np.array([3.0, -2.0, 1.0]), np.array([0.0, 5.0, 4.0]), 2)
    0.5
    """
    if top > len(first):
        return None
    largest, others = (np.argsort(-np.abs(numbers), kind="stable")[:top] for numbers in (first, second))
    return len(np.intersect1d(largest, others)) / top


def agreement(table: pl.DataFrame) -> pl.DataFrame:
    """A row for each score: by, rank correlation, by size, in top 10, in top 100, in top 1000, worst misses.

    rank correlation: Spearman's, of scores and exact effects. by size: the same without signs. in top k: see
    `overlap`. worst misses: the edges whose scores are furthest from the exact effects. Where a score is no effect on
    the metric, it has no sign and misses nothing: null.
    """
    return pl.DataFrame([_row(name, edges) for (name,), edges in table.group_by("by", maintain_order=True)])


def _row(name: str, edges: pl.DataFrame) -> dict[str, object]:
    exact, score = edges["exact"].to_numpy(), edges["score"].to_numpy()
    effect = name not in WITHOUT_METRIC
    far = np.argsort(-np.abs(score - exact), kind="stable")[:N_MISSES]
    return {
        "by": name,
        "rank correlation": _rank_correlation(edges, pl.col("exact"), pl.col("score")) if effect else None,
        "by size": _rank_correlation(edges, pl.col("exact").abs(), pl.col("score").abs()),
        **{f"in top {top}": overlap(exact, score, top) for top in TOP},
        "worst misses": edges[far].select(EDGE_NAME)["edge"].to_list() if effect else None,
    }


def _rank_correlation(edges: pl.DataFrame, first: pl.Expr, second: pl.Expr) -> float | None:
    """Spearman's; None where one of both is the same for every edge."""
    correlation = edges.select(pl.corr(first, second, method="spearman").fill_nan(None)).item()
    return None if correlation is None else float(correlation)


def numbers(tables: Tables) -> pl.DataFrame:
    """The agreement of each score with the exact effects, and the seconds that each took; `exact` first."""
    seconds = tables["seconds"].select(pl.col("experiment").alias("table"), "seconds")
    table_of = pl.DataFrame({"by": list(SCORE_TABLES), "table": list(SCORE_TABLES.values())})
    rows = pl.concat([pl.DataFrame({"by": ["exact"]}), agreement(tables["edges_agreement"])], how="diagonal")
    timed = rows.join(table_of, on="by", maintain_order="left").join(
        seconds, on="table", maintain_order="left", how="left"
    )
    return timed.drop("table")


def summary(tables: Tables) -> str:
    """How well each score ranks the edges."""
    rows = agreement(tables["edges_agreement"])
    if rows.is_empty():
        return ""
    ranks = [f"{name} {rank:.3f}" for name, rank in rows.drop_nulls("by size").select("by", "by size").iter_rows()]
    return f"Rank correlation of scores with exact effects, by size: {', '.join(ranks) or 'none, for all are alike'}."


def figures(tables: Tables) -> dict[str, Figure]:
    """A panel for each score that is not drawn by chance; no figure where there is none."""
    table = tables["edges_agreement"].filter(pl.col("by") != "random")
    if table.is_empty():
        return {}
    return {"edges_agreement": edge_agreement(table, agreement(table), WITHOUT_METRIC, edge_metric(tables))}


EDGES_AGREEMENT = Experiment(
    name="edges_agreement",
    title="Edges, exact against scored",
    reading="Each point is one edge: on the diagonal its score tells what cutting it does. The numbers: rank "
    "correlations of the edges that were cut, and the share of the 10, 100 and 1,000 largest, by size, that exact and "
    "score have in common. A score that is no effect on the metric is compared by size alone.",
    tables=("edges_agreement",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS, EDGES),
    beside=tuple(BESIDE.values()),
)


def compare_scores(
    model: Model,
    task: Task | str,
    scores: Collection[ScoreName] = ("eap", "eap-ig"),
    options: Options = DEFAULT_OPTIONS,
) -> Measurement:
    """Scores of every edge (see `score_edges`) beside the exact effects, which take minutes on GPT-2 small.

    Table `edges_agreement` has a row per score and edge with both means over prompts; `numbers` are rank correlations,
    what the largest by size have in common, and what each took.

    Raises what `score_edges` does.

    >>> vitro.compare_scores(model, task, ["eap", "random"], vitro.Options(sweep_prompts=2)).numbers["by"].to_list()
    ['exact', 'eap', 'random']
    """
    return compared_in(setup_of(model, task, options), scores)


def compared_in(setup: Setup, scores: Collection[ScoreName]) -> Measurement:
    """`compare_scores` in a setup."""
    return EDGES_AGREEMENT.of(setup, beside=[*map(experiment_of, scores)])
