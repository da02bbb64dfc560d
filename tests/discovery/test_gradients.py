"""Scores by gradients of every edge equal plain autograd through Hugging Face's own model, prompt by prompt."""

from functools import cache

import pytest
import torch
from torch import Tensor

from circuits.slow_edges import slow_counterfactual, slow_gradient, written
from discovery.cases import RIGHT, WRONG, case_of
from slow import slow_run
from small_models import random_model
from vitro.circuits import INPUT, Graph, Node, counterfactual
from vitro.discovery import score_edges
from vitro.discovery.gradients import CLEAN, mib_weights, paper_weights
from vitro.models import Model
from vitro.options import IgEndpoints, ScoreName

# Of three lengths; partners differ from their prompts from position 1, 2 and 5 on, and not at all.
PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7, 8, 2], [0, 5, 9], [0, 5, 9, 3, 11, 20, 4]]
PARTNERS = [[0, 5, 8, 3, 7], [0, 6, 9, 4, 7, 8, 2], [0, 5, 9], [0, 5, 9, 3, 11, 21, 4]]
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3", "mistral-window"]


@cache
def exact(name: str) -> Model:
    """A random model in float64."""
    model = random_model(name)
    model.hf.double()
    return model


def logit_diff(logits: Tensor) -> Tensor:
    return logits[RIGHT] - logits[WRONG]


@cache
def slow_scores(name: str) -> dict[float, Tensor]:
    """Every edge by Hugging Face's own passes, hooks and backward passes, each prompt and reader alone, by weight."""
    model = exact(name)
    constants, edges = slow_counterfactual(model, PARTNERS), Graph.of(model).edges
    table = model.hf.get_input_embeddings()
    scores = {weight: torch.zeros(len(edges), len(PROMPTS), dtype=torch.float64) for weight in paper_weights(5)}
    scores[0.0] = torch.zeros_like(scores[1.0])
    for prompt, (tokens, partner) in enumerate(zip(PROMPTS, PARTNERS, strict=True)):
        if tokens == partner:
            continue
        seen = slow_run(model, tokens)
        since = next(at for at in range(len(tokens)) if tokens[at] != partner[at])
        changes = {edge.source: written(model, seen, edge, constants, prompt).clone() for edge in edges}
        for change in changes.values():
            change[:since] = 0.0
        for weight, by_edge in scores.items():
            inputs = table(torch.tensor([tokens])) + (1 - weight) * changes[INPUT]
            gradients: dict[tuple[Node, str | None], Tensor] = {}
            for number, edge in enumerate(edges):
                reads = edge.reader, edge.input
                if reads not in gradients:
                    with torch.enable_grad():
                        gradients[reads] = slow_gradient(model, edge, inputs.clone().requires_grad_(), logit_diff)
                by_edge[number, prompt] = -(changes[edge.source] * gradients[reads]).sum()
    return scores


def assert_close(scores: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest of each prompt's; and the prompt in which nothing changes has zeros."""
    largest = expected.abs().amax(0)
    assert (largest[[0, 1, 3]] > 1e-2).all()
    assert ((scores - expected).abs() <= 1e-5 * largest).all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("score", "endpoints", "weights"),
    [("eap", "mib", CLEAN), ("eap-ig", "mib", mib_weights(5)), ("eap-ig", "paper", paper_weights(5))],
)
def test_every_edge_scores_the_mean_gradient_of_the_plain_model(
    name: str, score: ScoreName, endpoints: IgEndpoints, weights: tuple[float, ...]
) -> None:
    model = exact(name)
    case = case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS), endpoints=endpoints)
    scores = score_edges(case, score)
    assert scores.dtype is torch.float32
    assert_close(scores, torch.stack([slow_scores(name)[weight] for weight in weights]).mean(0))
