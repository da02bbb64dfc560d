"""Scores by gradients of every edge equal plain autograd through Hugging Face's own model, prompt by prompt."""

from functools import cache, partial

import pytest
import torch
from torch import Tensor

from circuits.slow_edges import slow_counterfactual, slow_gradient, written
from discovery.cases import RIGHT, WRONG, case_of
from places import Layer
from slow import slow_run
from slow_hooks import argument
from small_models import random_model
from vitro.circuits import INPUT, Graph, Node, counterfactual
from vitro.discovery import score_edges
from vitro.discovery.gradients import CLEAN, by_inputs, mib_weights, paper_weights
from vitro.models import Model
from vitro.options import IgEndpoints, ScoreName

# Of three lengths; partners differ from their prompts from position 3 and 1 on, and not at all.
PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7, 8], [0, 5, 9]]
PARTNERS = [[0, 5, 9, 4, 7], [0, 6, 9, 4, 7, 8], [0, 5, 9]]
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3", "mistral-window"]
# Heads normed together, queries and keys normed, cut off or with biases of positions, sinks, experts, a factor.
NORMED = ["gemma2", "gemma3_text", "olmo2", "qwen3", "cohere", "stablelm", "glm4", "olmoe", "granite"]
SPECIAL = [*NORMED, "gpt_oss", "mpt-cut-off", "bloom"]


@cache
def exact(name: str) -> Model:
    """A random model in float64."""
    model = random_model(name)
    # torch's own grouped products of experts know no float64.
    model.hf.set_experts_implementation("eager")
    model.hf.double()
    return model


def logit_diff(logits: Tensor) -> Tensor:
    return logits[RIGHT] - logits[WRONG]


ALL_WEIGHTS = (0.0, *paper_weights(5))


@cache
def slow_scores(
    name: str, weights: tuple[float, ...] = ALL_WEIGHTS, prompts: tuple[int, ...] = (0, 1, 2)
) -> dict[float, Tensor]:
    """Every edge by Hugging Face's own passes, hooks and backward passes, each prompt and reader alone, by weight."""
    model = exact(name)
    constants, edges = slow_counterfactual(model, PARTNERS), Graph.of(model).edges
    scores = {weight: torch.zeros(len(edges), len(prompts), dtype=torch.float64) for weight in weights}
    for prompt in prompts:
        tokens, partner = PROMPTS[prompt], PARTNERS[prompt]
        if tokens == partner:
            continue
        seen = slow_run(model, tokens)
        since = next(at for at in range(len(tokens)) if tokens[at] != partner[at])
        changes = {edge.source: written(model, seen, edge, constants, prompt).clone() for edge in edges}
        for change in changes.values():
            change[:since] = 0.0
        for weight, by_edge in scores.items():
            start = (seen.resid_pre[0] + (1 - weight) * changes[INPUT])[None].requires_grad_()
            # What the first block reads is not always what a model takes for its embeddings.
            first = Layer(model, 0).block.register_forward_pre_hook(argument(partial(_instead, start)))
            gradients: dict[tuple[Node, str | None], Tensor] = {}
            for number, edge in enumerate(edges):
                reads = edge.reader, edge.input
                if reads not in gradients:
                    with torch.enable_grad():
                        gradients[reads] = slow_gradient(model, edge, start, logit_diff)
                by_edge[number, prompt] = -(changes[edge.source] * gradients[reads]).sum()
            first.remove()
    return scores


def _instead(stream: Tensor, old: Tensor) -> Tensor:
    return stream


def assert_close(scores: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest of each prompt's; and the prompt in which nothing changes has zeros."""
    largest = expected.abs().amax(0)
    assert (largest[:2] > 1e-2).all()
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


@pytest.mark.parametrize("name", SPECIAL)
def test_so_it_does_where_heads_or_their_queries_and_keys_are_special(name: str) -> None:
    model, weights = exact(name), (0.5, 1.0)
    scores = by_inputs(case_of(model, PROMPTS[:1], counterfactual(model, PROMPTS[:1], PARTNERS[:1])), weights)
    assert_close(scores, torch.stack(list(slow_scores(name, weights, (0,)).values())).mean(0))
