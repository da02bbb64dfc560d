"""Exact against approximate: how well gradients rank the edges, and where they are wrong."""

import polars as pl

from vitro.experiments.edges import EDGES, by_edge, edge_metric
from vitro.experiments.edges_approx import APPROXIMATIONS, EDGES_APPROX
from vitro.experiments.experiment import Experiment
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import EDGE_NAME, edge_agreement
from vitro.tables import Tables

N_MISSES = 10


def run(setup: Setup) -> Tables:
    """Table `edges_agreement`: source, target, input, approximation, exact, approximate.

    The last two are means of the change of the metric that edges are ranked by.
    """
    tables = {**setup.tables(PROMPTS), **setup.tables(EDGES), **setup.tables(EDGES_APPROX)}
    metric = edge_metric(tables)
    exact = by_edge(tables["edges"], metric)
    key = ["source", "target", "input"]
    frames = []
    for approximation in APPROXIMATIONS:
        approximate = by_edge(tables["edges_approx"].filter(approximation=approximation), metric)
        joined = exact.join(approximate, on=key, suffix="_approx", nulls_equal=True, maintain_order="left")
        frames.append(
            joined.select(
                *key,
                pl.lit(approximation).alias("approximation"),
                pl.col("change").alias("exact"),
                pl.col("change_approx").alias("approximate"),
            )
        )
    return {"edges_agreement": pl.concat(frames)}


def correlations(table: pl.DataFrame) -> pl.DataFrame:
    """For each approximation: Spearman's rank correlation of all edges, and of the sizes of their effects."""
    return table.group_by("approximation", maintain_order=True).agg(
        pl.corr("exact", "approximate", method="spearman").alias("rank correlation"),
        pl.corr(pl.col("exact").abs(), pl.col("approximate").abs(), method="spearman").alias("of sizes"),
    )


def numbers(tables: Tables) -> pl.DataFrame:
    """The worst misses: the edges whose estimates are furthest from the exact effects."""
    miss = (pl.col("approximate") - pl.col("exact")).alias("miss")
    return (
        tables["edges_agreement"]
        .select("approximation", EDGE_NAME, "exact", "approximate", miss)
        .sort(pl.col("miss").abs(), descending=True, maintain_order=True)
        .head(N_MISSES)
    )


def summary(tables: Tables) -> str:
    """How well the approximations rank the edges."""
    ranks = [f"{name} {rank:.3f}" for name, rank, _ in correlations(tables["edges_agreement"]).iter_rows()]
    return f"Rank correlation of the edges' gradients with their exact effects: {', '.join(ranks)}."


EDGES_AGREEMENT = Experiment(
    name="edges_agreement",
    title="Every edge, exact against its gradient",
    reading="Each point is one edge: on the diagonal the gradient tells what cutting it does, far from it it does not; "
    "the numbers are the worst misses.",
    python='vitro.EXPERIMENTS["edges_agreement"].measure(model, task)',
    tables=("edges_agreement",),
    run=run,
    figures=lambda tables: {
        "edges_agreement": edge_agreement(
            tables["edges_agreement"], correlations(tables["edges_agreement"]), edge_metric(tables)
        )
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)
