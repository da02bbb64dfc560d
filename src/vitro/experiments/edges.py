"""Exact effects of every edge: what the answer loses when one reader no longer gets what one source writes."""

from functools import partial

import numpy as np
import polars as pl

from vitro.circuits import cut_edges, model_edges
from vitro.experiments.effects import answer_changes
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.figures import strongest_edges
from vitro.models import Model
from vitro.progress import bar
from vitro.tasks import Task

N_SHOWN = 15


def run(setup: Setup) -> Tables:
    """Table `edges`: prompt, source, target, input (q, k, v or null), method, and how the answer changes.

    Every edge is cut alone: its reader reads the stream with the source's output ablated, everything else stays and
    everything after the reader follows. Made block by block, so that a study that is stopped goes on with the next one.
    """
    blocks = range(setup.model.shape.n_layers + 1)
    return {"edges": pl.concat([setup.part(f"edges-{layer}", partial(_into, setup, layer)) for layer in blocks])}


def _into(setup: Setup, layer: int) -> pl.DataFrame:
    """The edges into one block, or into the logits."""
    n_layers, method, prompts = setup.model.shape.n_layers, setup.options.edge_ablation, setup.prompts.tokens
    where = f"layer {layer} of 0 to {n_layers - 1}" if layer < n_layers else "the logits"
    with bar(f"edges into {where}") as progress:
        found = cut_edges(
            setup.model,
            prompts.tolist(),
            layer,
            setup.constants(method),
            answer_changes(setup),
            since=min(setup.ablated_positions(method) or (0,)),
            memory=setup.options.memory,
            progress=progress,
        )
    edges = model_edges(setup.model, layer)
    return pl.DataFrame(
        {
            "prompt": np.tile(np.arange(len(prompts)), len(edges)),
            "source": [str(edge.source) for edge in edges for _ in prompts],
            "target": [str(edge.reader) for edge in edges for _ in prompts],
            "input": pl.Series([edge.input for edge in edges for _ in prompts], dtype=pl.String),
            "method": [method] * len(edges) * len(prompts),
            **{name: values.numpy().ravel() for name, values in found.items()},
        }
    )


def by_edge(table: pl.DataFrame) -> pl.DataFrame:
    """Means over prompts, one row per edge, named as in EAP-IG (`m0->a9.h1<v>`), the strongest first.

    Strength: the size of the change of the logit difference, answer minus subject.
    """
    name = pl.concat_str("source", pl.lit("->"), "target", pl.format("<{}>", "input").fill_null("")).alias("edge")
    return (
        table.group_by("source", "target", "input", maintain_order=True)
        .agg(pl.col("answer_logit_change", "answer_prob_change", "logit_diff_change").mean())
        .with_columns(name)
        .sort(pl.col("logit_diff_change").abs(), descending=True, maintain_order=True)
    )


def numbers(tables: Tables) -> pl.DataFrame:
    """The strongest edges, with the changes of logit, probability and logit difference."""
    return (
        by_edge(tables["edges"])
        .head(N_SHOWN)
        .select(
            "edge",
            pl.col("logit_diff_change").alias("change of logit difference"),
            pl.col("answer_logit_change").alias("of logit"),
            pl.col("answer_prob_change").alias("of prob"),
        )
    )


def summary(tables: Tables) -> str:
    """Which edge matters most, and how few matter."""
    edges = by_edge(tables["edges"])
    strongest = edges.row(0, named=True)
    share = edges.filter(pl.col("logit_diff_change").abs() > 0.1 * abs(strongest["logit_diff_change"]))
    return (
        f"Of all {len(edges):,} edges {strongest['edge']} matters most: cut, it changes the logit difference by "
        f"{strongest['logit_diff_change']:+.3f}; {len(share)} edges reach a tenth of that."
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
