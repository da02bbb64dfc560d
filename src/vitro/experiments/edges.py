"""Exact effects of every edge: what the answer loses when a reader no longer receives a source's output."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
from jaxtyping import Int

from vitro.circuits import Edge, Graph, cut_edges
from vitro.circuits.nodes import INPUTS
from vitro.discovery import Case, score_edges
from vitro.engine import Progress
from vitro.experiments.ablation import metric_columns
from vitro.experiments.effects import CHANGES, effects
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import EDGE_NAME, Figure, strongest_edges
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.options import ABLATIONS, DEFAULT_OPTIONS, Ablation, Options
from vitro.progress import Clock, bar
from vitro.tables import Tables, counted, leader, said
from vitro.tables.quantities import QUANTITIES
from vitro.tasks import Task

EDGE = ("source", "target", "input")
"""The columns that name an edge."""
N_SHOWN = 15
NATS = 1e-3
"""Changes of a logit difference below this count as zero."""
_SOONER = "seconds by gradients (--scores eap-ig), or fewer edges: --top 2000 cuts the 2,000 that these find strongest"


def run(setup: Setup) -> Tables:
    """Table `edges`: prompt, source, target, input (q, k, v or null), method, and how the answer changes.

    Every edge is cut alone: its reader reads the stream with the source's output ablated, everything else stays and
    everything after the reader follows. Computed block by block, so that an interrupted study continues with the next.
    Where only some are asked for (`Options.top_edges`), the table has these.
    """
    into = _asked_for(setup)
    # What follows a cut is run anew: the blocks from its reader on, and the read-out.
    work = [len(numbers) * (len(into) - layer) for layer, numbers in enumerate(into)]
    what = f"{sum(map(len, into)):,} edges on {counted(len(setup.swept.questions))}, each cut alone"
    sooner = _SOONER if setup.options.top_edges is None else "fewer with --top"
    # Before the clock starts: what is measured once says nothing of how long the cuts take.
    setup.swept.constants(setup.edge_ablation)
    clock, parts = Clock(what, work, sooner), []
    with bar(what) as progress:
        for layer, numbers in enumerate(into):
            if numbers:
                make = partial(_into, setup.swept, layer, numbers, partial(clock.done, progress, layer))
                parts.append(setup.part(f"edges/{layer}", partial(clock.timed, layer, make)))
    return {"edges": pl.concat([part["edges"] for part in parts])}


def _asked_for(setup: Setup) -> list[list[int]]:
    """The edges to cut, as numbers in `Graph.edges_into`: into each block, and into the logits."""
    graph = Graph.of(setup.model)
    asked = np.ones(len(graph), dtype=bool)
    if setup.options.top_edges is not None:
        strength = score_edges(edge_case(setup), "eap-ig").double().mean(1).abs().numpy()
        asked[np.argsort(-strength, kind="stable")[setup.options.top_edges :]] = False
    ends = np.cumsum([len(graph.edges_into(layer)) for layer in range(graph.n_layers + 1)])
    return [np.flatnonzero(here).tolist() for here in np.split(asked, ends[:-1])]


def _into(setup: Setup, layer: int, numbers: Sequence[int], progress: Progress) -> Tables:
    """Some of the edges into one block, or into the logits."""
    method = setup.edge_ablation
    changes = cut_edges(
        setup.model,
        setup.questions.tokens,
        layer,
        setup.constants(method),
        effects(setup),
        only=numbers,
        memory=setup.options.memory,
        progress=progress,
    )
    graph = Graph.of(setup.model)
    edges = graph.edges_into(layer)
    table = edge_columns(graph, [edges[number] for number in numbers], setup.prompt_numbers, method)
    return {"edges": table.with_columns(**metric_columns(changes, CHANGES, len(table)))}


def edge_case(setup: Setup) -> Case:
    """What edges are scored by: the swept prompts, the metric that edges are ranked by, and the edges' ablation."""
    metric, swept, options = METRICS[edge_metric(setup.tables(PROMPTS))], setup.swept, setup.options
    constants = swept.constants(setup.edge_ablation)
    return Case(setup.model, swept.questions, metric, constants, options.ig_endpoints, options.seed, options.memory)


def edge_columns(
    graph: Graph, edges: Sequence[Edge], prompts: Int[np.ndarray, " prompt"], method: Ablation
) -> pl.DataFrame:
    """Columns that name each row's edge and prompt: all prompts of the first edge, then the next edge.

    Words are Enums, nodes in the graph's order: a model of 130,000 edges has millions of rows.
    """
    nodes = pl.Enum(list(map(str, graph.nodes)))
    named = pl.DataFrame(
        {
            "source": [str(edge.source) for edge in edges],
            "target": [str(edge.reader) for edge in edges],
            "input": [edge.input for edge in edges],
        },
        schema={"source": nodes, "target": nodes, "input": pl.Enum(INPUTS)},
    )
    return named[np.repeat(np.arange(len(edges)), len(prompts))].select(
        pl.Series("prompt", np.tile(prompts, len(edges))), *EDGE, pl.lit(method, pl.Enum(ABLATIONS)).alias("method")
    )


def by_edge(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Means over prompts, one row per edge, named as in EAP-IG (`m0->a9.h1<v>`), the strongest first.

    Strength: the size of the change of the metric (see `edge_metric`).
    """
    return (
        table.group_by(EDGE, maintain_order=True)
        .agg(pl.col(CHANGES).mean())
        .with_columns(EDGE_NAME, pl.col(f"{metric}_change").alias("change"))
        .sort(pl.col("change").abs(), descending=True, maintain_order=True)
    )


def edge_metric(tables: Tables) -> str:
    """What edges are ranked by: the study's metric, or a logit where that is none: if it can be, the logit difference.

    A single edge among thousands moves a probability by less than the rounding error.
    """
    spoken = said(tables)
    if spoken.unit == "nats":
        return spoken.metric
    return "logit_diff" if all(tables["questions"]["wrong"]) else "answer_logit"


def size(column: str) -> pl.Expr:
    """A column times the sign of the edge's mean, so that means are the sizes of means."""
    return pl.col(column) * pl.col(column).mean().over(EDGE).sign()


def numbers(tables: Tables) -> pl.DataFrame:
    """The strongest edges, with the changes of the metric, of the answer's logit and of its probability."""
    metric = edge_metric(tables)
    return (
        by_edge(tables["edges"], metric)
        .head(N_SHOWN)
        .select(
            "edge",
            pl.col("change").alias(f"change of {QUANTITIES[metric].short}"),
            pl.col("answer_logit_change").alias("of logit"),
            pl.col("answer_prob_change").alias("of prob"),
        )
    )


def summary(tables: Tables) -> str:
    """Which edge changes the metric most, if one stands out, and how few others come near."""
    metric = edge_metric(tables)
    edges = by_edge(tables["edges"], metric)
    first = leader(tables["edges"], EDGE, size(f"{metric}_change"), floor=NATS)
    of_all = f"Of {len(edges):,} edges, each cut alone"
    words = f"the {QUANTITIES[metric].short}"
    if not first.stands_out:
        return f"{of_all}, which changes {words} most? Here {first.doubt}."
    edge, change = edges.select("edge", "change").row(0)
    share = edges.filter(pl.col("change").abs() > 0.1 * abs(change))
    return (
        f"{of_all}, {edge} changes {words} most: by {change:+.3f} on average over "
        f"{counted(first.n_prompts)}; the means of {len(share)} edges, itself among them, reach a tenth of that."
    )


def figures(tables: Tables) -> dict[str, Figure]:
    """The strongest edges."""
    metric = edge_metric(tables)
    quantity = QUANTITIES[metric]
    figure = strongest_edges(
        by_edge(tables["edges"], metric),
        {f"{name}_change": QUANTITIES[name].words for name in (metric, "answer_logit", "answer_prob")},
        f"change ({quantity.unit})",
        f"change of {quantity.words}",
        f"edge cut minus clean; {quantity.sense}.",
    )
    return {"edges": figure}


EDGES = Experiment(
    name="edges",
    title="Edges, each cut alone",
    reading="Each bar is one edge, from what writes to what reads it (a head by q, k or v): red where the answer loses "
    "on what is wrong when that reader alone no longer gets what the source writes.",
    python="m.ablate_edges()",
    tables=("edges",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def ablate_edges(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The exact effect of cutting each edge alone (path patching, arXiv 2304.05969, of every edge of the model).

    Table `edges` has a row per prompt and edge (source, target, input): how every metric changes, cut minus clean,
    when what the source writes is ablated for that reader alone. It takes minutes on models such as GPT-2 small, an
    hour on SmolLM2-135M; `Options(top_edges=2000)` cuts the 2,000 that EAP-IG finds strongest, and measures no others.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.ablate_edges(model, task, vitro.Options(sweep_prompts=2)).numbers["edge"].to_list()[:2]
    ['a1.h1->logits', 'input->a1.h1<v>']
    """
    return EDGES.measure(model, task, options)
