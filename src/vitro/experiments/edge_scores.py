"""Every edge by each of the scores that edges can be ranked by: an experiment for each, all made and shown alike."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from jaxtyping import Float

from vitro.discovery import score_edges as scored
from vitro.experiments.edges import EDGE, EDGES, N_SHOWN, NATS, edge_case, edge_columns, edge_metric, size
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import EDGE_NAME, Figure, strongest_edges
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, OptionError, Options, ScoreName
from vitro.tables import SCORE_TABLES, Tables, counted, leader
from vitro.tables.quantities import QUANTITIES
from vitro.tasks import Task

TITLES: Mapping[ScoreName, str] = {
    "eap": "Every edge, by its gradient",
    "eap-ig": "Every edge, by gradients between two inputs",
    "eap-ig-activations": "Every edge, by gradients between two activations",
    "relp": "Every edge, by relevance",
    "flow": "Every edge, by what flows through it",
    "random": "Every edge, at random",
}
_ESTIMATE = "Each bar is one edge: what the metric would lose without it, to first order, by "
READINGS: Mapping[ScoreName, str] = {
    "eap": f"{_ESTIMATE}the gradient of the clean run (attribution patching, EAP).",
    "eap-ig": f"{_ESTIMATE}the mean gradient of runs whose input lies between the ablated and the clean one "
    "(integrated gradients, EAP-IG).",
    "eap-ig-activations": f"{_ESTIMATE}the mean gradient of runs in which what sources write lies between ablated and "
    "clean (EAP-IG over activations).",
    "relp": f"{_ESTIMATE}a gradient that holds attention, the norms' denominators and the gates constant (RelP).",
    "flow": "Each bar is one edge: the share of what its reader reads that comes from its source (information flow "
    "routes); it asks for no metric, and has no sign.",
    "random": "Each bar is one edge with a number drawn for it: the floor under every other score.",
}
WITHOUT_METRIC: tuple[ScoreName, ...] = ("flow", "random")
"""Scores that are no effect on the metric: only their order says something."""


def edge_scores(tables: Tables, name: ScoreName) -> Float[np.ndarray, " edge"]:
    """The mean score of every edge over prompts, in the graph's order; of `exact`: what the metric loses by the cut.

    Of exact scores of some edges, these alone.

    tables: that of the score and, for `exact`, those of the prompts.

    >>> edge_scores(vitro.score_edges(model, task, "eap").tables, "eap").shape
    (262,)
    """
    table = tables[SCORE_TABLES[name]]
    score = -pl.col(f"{edge_metric(tables)}_change") if name == "exact" else pl.col("score")
    return _means(table, score)["score"].to_numpy()


def _means(table: pl.DataFrame, score: pl.Expr) -> pl.DataFrame:
    """source, target, input, score: means over prompts, in the graph's order."""
    return table.group_by(EDGE, maintain_order=True).agg(score.cast(pl.Float64).mean().alias("score"))


def _largest_first(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.sort(pl.col(scores.columns[-1]).abs(), descending=True, maintain_order=True)


def _experiment(name: ScoreName, table: str) -> Experiment:
    """The measurement of one score."""

    def run(setup: Setup) -> Tables:
        """prompt, source, target, input, method, score: all prompts of the first edge, then of the next."""
        case = edge_case(setup)
        scores = scored(case, name).float().numpy().ravel()
        rows = edge_columns(case.graph, case.graph.edges, setup.swept.prompt_numbers, setup.edge_ablation)
        return {table: rows.with_columns(score=pl.Series(scores))}

    def by_edge(tables: Tables) -> pl.DataFrame:
        """edge, score: the largest first."""
        return _largest_first(_means(tables[table], pl.col("score")).select(EDGE_NAME, "score"))

    def numbers(tables: Tables) -> pl.DataFrame:
        """The edges and, beside them, the nodes of the largest scores: a node's is the sum of the edges out of it."""
        out_of = _means(tables[table], pl.col("score")).group_by("source", maintain_order=True)
        nodes = out_of.agg(pl.col("score").sum()).select(
            pl.col("source").alias("node"), pl.col("score").alias("sum of its edges")
        )
        edges, nodes = (rows.head(N_SHOWN).with_row_index("row") for rows in (by_edge(tables), _largest_first(nodes)))
        return edges.join(nodes, on="row", how="left", maintain_order="left").drop("row")

    def figures(tables: Tables) -> dict[str, Figure]:
        metric = QUANTITIES[edge_metric(tables)]
        if name in WITHOUT_METRIC:
            axis, what, sense = "score", f"scores by {name}", "whatever the metric."
        else:
            axis, what, sense = f"score ({metric.unit})", f"{name} of {metric.words}", "positive: the edge helps."
        return {table: strongest_edges(by_edge(tables), {"score": name}, axis, what, sense)}

    def summary(tables: Tables) -> str:
        """Which edge matters most to the metric, if one stands out."""
        if name in WITHOUT_METRIC:
            return ""
        edges, metric = by_edge(tables), QUANTITIES[edge_metric(tables)]
        first = leader(tables[table], EDGE, size("score"), floor=NATS)
        if not first.stands_out:
            return (
                f"By {name}, which of all {len(edges):,} edges matters most to the {metric.short}? Here {first.doubt}."
            )
        edge, score = edges.row(0)
        mean = f"{score:+.3g} on average over {counted(first.n_prompts)}"
        return f"By {name}, of all {len(edges):,} edges {edge} matters most to the {metric.short}: {mean}."

    return Experiment(
        name=table,
        title=TITLES[name],
        reading=READINGS[name],
        python=f'm.score_edges("{name}")',
        tables=(table,),
        run=run,
        figures=figures,
        numbers=numbers,
        summary=summary,
        needs=(PROMPTS,),
    )


SCORE_EXPERIMENTS: Mapping[ScoreName, Experiment] = {
    name: EDGES if name == "exact" else _experiment(name, table) for name, table in SCORE_TABLES.items()
}
"""The experiment of each score. `exact` is that of the edges cut, which writes how every metric changes."""


def experiment_of(name: ScoreName) -> Experiment:
    """The experiment of a score; OptionError where there is none of that name."""
    if name not in SCORE_EXPERIMENTS:
        raise OptionError(f"there is no score {name!r}; there are {', '.join(SCORE_EXPERIMENTS)}")
    return SCORE_EXPERIMENTS[name]


def score_edges(model: Model, task: Task | str, name: ScoreName, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """A score of every edge of a model: what it is worth to the metric, prompt by prompt (docs/method.md, section 9).

    name: one of `vitro.options.SCORES`. Its table (`edges_eap_ig` for `eap-ig`) has a row per prompt and edge (source,
    target, input) with its score, positive where the edge helps the metric; `exact` is `ablate_edges`, whose table has
    changes instead: what helps changes the metric to less.

    Raises `OptionError` where there is no such score or an option does not fit the task or the model, and `TaskError`
    where the task does not fit the tokenizer.

    >>> vitro.score_edges(model, task, "eap-ig").numbers["edge"].to_list()[:2]
    ['input->a1.h1<v>', 'a1.h1->logits']
    """
    return experiment_of(name).measure(model, task, options)
