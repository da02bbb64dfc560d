"""Approximate effects of every edge, from gradients: attribution patching and its integrated form."""

from collections.abc import Mapping

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import CLEAN, attribute_edges, mib_weights, model_edges, paper_weights
from vitro.experiments.edges import by_edge, edge_columns, since, strongest
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, IgEndpoints, Options, Setup, Tables
from vitro.figures import strongest_edges
from vitro.models import Model
from vitro.tasks import Task

APPROXIMATIONS = ("EAP", "EAP-IG")
STEPS = 5
"""How many gradients EAP-IG averages: as many as its authors take."""
WEIGHTS: Mapping[IgEndpoints, tuple[float, ...]] = {"mib": mib_weights(STEPS), "paper": paper_weights(STEPS)}


def run(setup: Setup) -> Tables:
    """Table `edges_approx`: as `edges`, with the column approximation (EAP, EAP-IG) behind the method."""
    answers, subjects, _ = setup.token_ids

    def metrics(logits: Float[Tensor, "prompt d_vocab"]) -> dict[str, Float[Tensor, " prompt"]]:
        row = torch.arange(len(logits), device=logits.device)
        answer, subject = logits[row, answers], logits[row, subjects]
        return {
            "answer_logit_change": answer,
            "answer_prob_change": (answer - logits.logsumexp(-1)).exp(),
            "logit_diff_change": answer - subject,
        }

    method, prompts = setup.options.edge_ablation, setup.prompts.tokens
    edges = [edge for layer in range(setup.model.shape.n_layers + 1) for edge in model_edges(setup.model, layer)]
    frames = []
    for approximation, weights in zip(APPROXIMATIONS, (CLEAN, WEIGHTS[setup.options.ig_endpoints]), strict=True):
        found = attribute_edges(
            setup.model,
            prompts.tolist(),
            setup.constants(method),
            metrics,
            since=since(setup),
            weights=weights,
            memory=setup.options.memory,
        )
        named = edge_columns(edges, len(prompts), method).with_columns(approximation=pl.lit(approximation))
        frames.append(named.with_columns(**{name: values.float().numpy().ravel() for name, values in found.items()}))
    return {"edges_approx": pl.concat(frames)}


def numbers(tables: Tables) -> pl.DataFrame:
    """The strongest edges by integrated gradients."""
    return strongest(by_edge(tables["edges_approx"].filter(approximation="EAP-IG")))


EDGES_APPROX = Experiment(
    name="edges_approx",
    title="Every edge, by its gradient",
    reading="Each bar is one edge: what cutting it would change to first order, by integrated gradients (EAP-IG); an "
    "estimate of the exact effects, which take minutes.",
    python="vitro.approximate_edges(model, task)",
    tables=("edges_approx",),
    run=run,
    figures=lambda tables: {
        "edges_approx": strongest_edges(
            by_edge(tables["edges_approx"].filter(approximation="EAP-IG")), "estimated by EAP-IG"
        )
    },
    numbers=numbers,
)


def approximate_edges(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every edge by attribution patching (EAP, arXiv 2310.10348) and integrated gradients (EAP-IG, 2403.17806)."""
    return EDGES_APPROX.measure(model, task, options)
