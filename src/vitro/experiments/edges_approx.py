"""Approximate effects of every edge, from gradients: attribution patching and its integrated form."""

from collections.abc import Mapping

import polars as pl
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import CLEAN, Graph, attribute_edges, mib_weights, paper_weights
from vitro.experiments.ablation import metric_columns
from vitro.experiments.edges import by_edge, edge_columns, edge_metric, strongest
from vitro.experiments.effects import CHANGES
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import strongest_edges
from vitro.metrics import DIFFERENTIABLE, Whole, fitting
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, IgEndpoints, Options
from vitro.tables import Tables
from vitro.tasks import Task

APPROXIMATIONS = ("EAP", "EAP-IG")
STEPS = 5
"""How many gradients EAP-IG averages: as many as its authors take."""
WEIGHTS: Mapping[IgEndpoints, tuple[float, ...]] = {"mib": mib_weights(STEPS), "paper": paper_weights(STEPS)}


def run(setup: Setup) -> Tables:
    """Table `edges_approx`: as `edges`, with the column approximation (EAP, EAP-IG) behind the method."""
    setup = setup.swept
    fit = [metric for metric in fitting(setup.questions) if metric.name in DIFFERENTIABLE]

    def metrics(logits: Float[Tensor, "prompt d_vocab"]) -> dict[str, Float[Tensor, " prompt"]]:
        answers = setup.asked.of_logits(Whole(logits))
        return {f"{metric.name}_change": metric.of(answers) for metric in fit}

    method, prompts = setup.edge_ablation, setup.questions.tokens
    edges = Graph.of(setup.model).edges
    frames = []
    for approximation, weights in zip(APPROXIMATIONS, (CLEAN, WEIGHTS[setup.options.ig_endpoints]), strict=True):
        changes = attribute_edges(
            setup.model,
            prompts,
            setup.constants(method),
            metrics,
            weights=weights,
            memory=setup.options.memory,
        )
        table = edge_columns(edges, setup.prompt_numbers, method).with_columns(approximation=pl.lit(approximation))
        frames.append(table.with_columns(**metric_columns(changes, CHANGES, len(table))))
    return {"edges_approx": pl.concat(frames)}


def numbers(tables: Tables) -> pl.DataFrame:
    """The strongest edges by integrated gradients."""
    return strongest(_integrated(tables), edge_metric(tables))


def _integrated(tables: Tables) -> pl.DataFrame:
    return by_edge(tables["edges_approx"].filter(approximation="EAP-IG"), edge_metric(tables))


EDGES_APPROX = Experiment(
    name="edges_approx",
    title="Every edge, by its gradient",
    reading="Each bar is one edge: what cutting it would change to first order, by integrated gradients (EAP-IG); an "
    "estimate of the exact effects, which take minutes.",
    python="vitro.approximate_edges(model, task)",
    tables=("edges_approx",),
    run=run,
    figures=lambda tables: {
        "edges_approx": strongest_edges(_integrated(tables), f"{edge_metric(tables)}_change", "estimated by EAP-IG")
    },
    numbers=numbers,
    needs=(PROMPTS,),
)


def approximate_edges(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every edge by attribution patching (EAP, arXiv 2310.10348) and integrated gradients (EAP-IG, arXiv 2403.17806).

    Table `edges_approx` has a row per prompt, edge (source, target, input) and approximation: how each metric that has
    a gradient would change, to first order, if the edge alone were cut. Probabilities are shares of 1, logits in nats.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.approximate_edges(model, task).numbers["edge"].to_list()[:2]
    ['input->a1.h1<v>', 'a1.h1->logits']
    """
    return EDGES_APPROX.measure(model, task, options)
