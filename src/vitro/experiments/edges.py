"""Exact effects of every edge: what the answer loses when one reader no longer gets what one source writes."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl

from vitro.circuits import Edge, cut_edges, model_edges
from vitro.experiments.effects import CHANGES, effects
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.experiments.statistics import leader
from vitro.figures import EDGE_NAME, strongest_edges
from vitro.models import Model
from vitro.progress import bar
from vitro.tasks import Task

N_SHOWN = 15
NATS = 1e-3
"""Changes of a logit difference below this are called nothing."""


def run(setup: Setup) -> Tables:
    """Table `edges`: prompt, source, target, input (q, k, v or null), method, and how the answer changes.

    Every edge is cut alone: its reader reads the stream with the source's output ablated, everything else stays and
    everything after the reader follows. Made block by block, so that a study that is stopped goes on with the next one.
    """
    blocks = range(setup.model.shape.n_layers + 1)
    parts = [setup.part(f"edges/{layer}", partial(_into, setup, layer)) for layer in blocks]
    return {"edges": pl.concat([part["edges"] for part in parts])}


def _into(setup: Setup, layer: int) -> Tables:
    """The edges into one block, or into the logits."""
    n_layers, method, prompts = setup.model.shape.n_layers, setup.options.edge_ablation, setup.prompts.tokens
    where = f"layer {layer} of 0 to {n_layers - 1}" if layer < n_layers else "the logits"
    with bar(f"edges into {where}") as progress:
        found = cut_edges(
            setup.model,
            prompts.tolist(),
            layer,
            setup.constants(method),
            effects(setup),
            since=since(setup),
            memory=setup.options.memory,
            progress=progress,
        )
    named = edge_columns(model_edges(setup.model, layer), len(prompts), method)
    return {"edges": named.with_columns(**{name: found[name].numpy().ravel() for name in CHANGES})}


def since(setup: Setup) -> int:
    """The first position at which the ablated source can differ."""
    return min(setup.ablated_positions(setup.options.edge_ablation) or (0,))


def edge_columns(edges: Sequence[Edge], n_prompts: int, method: str) -> pl.DataFrame:
    """Which edge, on which prompt, each row is of: every edge on all prompts, then the next."""
    each = range(n_prompts)
    return pl.DataFrame(
        {
            "prompt": np.tile(np.arange(n_prompts), len(edges)),
            "source": [str(edge.source) for edge in edges for _ in each],
            "target": [str(edge.reader) for edge in edges for _ in each],
            "input": pl.Series([edge.input for edge in edges for _ in each], dtype=pl.String),
            "method": [method] * len(edges) * n_prompts,
        }
    )


def by_edge(table: pl.DataFrame) -> pl.DataFrame:
    """Means over prompts, one row per edge, named as in EAP-IG (`m0->a9.h1<v>`), the strongest first.

    Strength: the size of the change of the logit difference, answer minus subject.
    """
    return (
        table.group_by("source", "target", "input", maintain_order=True)
        .agg(pl.col(CHANGES).mean())
        .with_columns(EDGE_NAME)
        .sort(pl.col("logit_diff_change").abs(), descending=True, maintain_order=True)
    )


def strongest(edges: pl.DataFrame) -> pl.DataFrame:
    """The first of `by_edge`, with the changes of logit difference, logit and probability."""
    return edges.head(N_SHOWN).select(
        "edge",
        pl.col("logit_diff_change").alias("change of logit difference"),
        pl.col("answer_logit_change").alias("of logit"),
        pl.col("answer_prob_change").alias("of prob"),
    )


def numbers(tables: Tables) -> pl.DataFrame:
    """The strongest edges."""
    return strongest(by_edge(tables["edges"]))


def summary(tables: Tables) -> str:
    """Which single edge changes the logit difference most, where one does, and how few come near."""
    edges = by_edge(tables["edges"])
    means = edges.select("source", "target", "input", "edge", pl.col("logit_diff_change").sign().alias("sign"))
    each = tables["edges"].join(means, on=["source", "target", "input"], nulls_equal=True)
    first = leader(each, ("edge",), pl.col("logit_diff_change") * pl.col("sign"), floor=NATS)
    of_all = f"Of all {len(edges):,} edges, each cut alone"
    if not first.stands_out:
        return f"{of_all}, which changes the logit difference most? Here {first.doubt}."
    change = edges.filter(edge=first.key[0])["logit_diff_change"][0]
    share = edges.filter(pl.col("logit_diff_change").abs() > 0.1 * abs(change))
    return (
        f"{of_all}, {first.key[0]} changes the logit difference most: by {change:+.3f} on average over "
        f"{first.n_prompts} prompts; the means of {len(share)} edges, itself among them, reach a tenth of that."
    )


EDGES = Experiment(
    name="edges",
    title="Every edge, cut alone",
    reading="Each bar is one edge, from what writes to what reads it (a head by q, k or v): red where the answer loses "
    "on the subject when that reader alone no longer gets what the source writes.",
    python="vitro.ablate_edges(model, task)",
    tables=("edges",),
    run=run,
    figures=lambda tables: {"edges": strongest_edges(by_edge(tables["edges"]))},
    numbers=numbers,
    summary=summary,
)


def ablate_edges(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The exact effect of cutting each edge alone (path patching, arXiv 2304.05969, of every edge of the model)."""
    return EDGES.measure(model, task, options)
