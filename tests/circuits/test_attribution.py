"""Edge attribution equals small exact cuts, and plain autograd through Hugging Face's own model."""

from typing import Any

import pytest
import torch
from torch import Tensor

from circuits.slow_edges import slow_gradient, written
from slow import slow_run
from small_models import random_model
from vitro.circuits import (
    CLEAN,
    Constants,
    Graph,
    attribute_edges,
    cut_edges,
    mib_weights,
    paper_weights,
    resampled,
)
from vitro.engine import Finals, MemoryBudgetError, pack, run
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 5, 9, 6, 7]]
SINCE = 3
FAMILIES = ["gpt2", "llama-gqa-3", "neox-parallel", "mistral-window"]
ANSWERS = torch.tensor([3, 17, 40])


def exact(name: str) -> Model:
    """A random model in float64."""
    model = random_model(name)
    model.hf.double()
    return model


def metrics(logits: Tensor) -> dict[str, Tensor]:
    rows = torch.arange(len(logits))
    return {"logit": logits[rows, ANSWERS], "log_prob": logits.log_softmax(-1)[rows, ANSWERS]}


def nearly_clean(model: Model, constants: Constants, size: float) -> Constants:
    """What the components put out, moved a little towards their constants."""
    clean = run(model, tree := pack(PROMPTS, apart=0))

    def towards(now: Tensor, constant: Tensor) -> Tensor:
        return now + size * (constant - now)

    return Constants(
        towards(clean.layers[0].resid_pre[tree.paths], constants.embed),
        torch.stack([towards(layer.z[tree.paths], constants.z[i]) for i, layer in enumerate(clean.layers)]),
        torch.stack([towards(layer.mlp_out[tree.paths], constants.mlp_out[i]) for i, layer in enumerate(clean.layers)]),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_the_clean_gradient_is_the_slope_of_every_exact_cut(name: str) -> None:
    model = exact(name)
    constants = resampled(model, PROMPTS, seed=1)
    scores = attribute_edges(model, PROMPTS, constants, metrics)
    # Final logits leave the engine in float32: a step this large keeps their rounding below the slope's own error.
    size = 1e-3

    def read(finals: Finals) -> dict[str, Tensor]:
        return {"logits": finals.logits}

    ends = []
    for signed in (size, -size):
        near = nearly_clean(model, constants, signed)
        layers = range(model.shape.n_layers + 1)
        logits = torch.cat([cut_edges(model, PROMPTS, at, near, read)["logits"] for at in layers])
        ends.append(torch.stack([torch.stack(list(metrics(row.double()).values())) for row in logits], dim=1))
    slopes = (ends[0] - ends[1]) / (2 * size)
    for score, slope in zip(scores.values(), slopes, strict=True):
        assert score.shape == slope.shape
        assert slope.abs().max() > 0.1
        torch.testing.assert_close(score, slope, atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("weights", [mib_weights(5), paper_weights(5)])
def test_scores_are_the_mean_of_the_gradients_of_the_plain_model(name: str, weights: tuple[float, ...]) -> None:
    model = exact(name)
    constants = resampled(model, PROMPTS, seed=1)
    scores = attribute_edges(model, PROMPTS, constants, metrics, weights=weights)["logit"]
    edges = Graph.of(model).edges
    head_edge = next(edge for edge in edges if str(edge) == "m0->a2.h1<q>")
    for number, edge in enumerate(edges):
        if edge == head_edge or str(edge.reader) == "logits":
            expected = slow_score(model, edge, constants, prompt=1, weights=weights)
            assert scores[number, 1] == pytest.approx(expected, abs=1e-5, rel=1e-5), str(edge)


def test_the_endpoints_are_the_ablated_or_the_clean_run() -> None:
    assert mib_weights(4) == (0.0, 0.25, 0.5, 0.75)
    assert paper_weights(4) == (0.25, 0.5, 0.75, 1.0)
    assert paper_weights(1) == CLEAN


def test_scores_without_a_run_are_refused() -> None:
    model = random_model("gpt2")
    with pytest.raises(ValueError, match="at least one run"):
        attribute_edges(model, PROMPTS, resampled(model, PROMPTS, seed=1), metrics, weights=())


def slow_score(model: Model, edge: Any, constants: Constants, prompt: int, weights: tuple[float, ...]) -> float:
    """An edge's score by Hugging Face's own passes, hooks and backward passes."""
    tokens = PROMPTS[prompt]
    change = written(model, slow_run(model, tokens), edge, constants, prompt).expand(len(tokens), -1).clone()
    change[:SINCE] = 0.0
    table = model.hf.get_input_embeddings()
    clean = slow_run(model, tokens).resid_pre[0]
    towards = (constants.embed[prompt] - clean).clone()
    towards[:SINCE] = 0.0
    total = 0.0
    for weight in weights:
        inputs = (table(torch.tensor([tokens])) + (1 - weight) * towards).requires_grad_()
        with torch.enable_grad():
            gradient = slow_gradient(model, edge, inputs, lambda logits: logits[ANSWERS[prompt]])
            total += float((change * gradient).sum()) / len(weights)
    return total


def test_scores_do_not_depend_on_the_memory_budget() -> None:
    model = random_model("llama-gqa-3")
    prompts = [PROMPTS[0], PROMPTS[1][:4], PROMPTS[2]]
    constants = resampled(model, PROMPTS, seed=1)
    ample = attribute_edges(model, prompts, constants, metrics, weights=mib_weights(2))
    calls: list[int] = []

    def counted(logits: Tensor) -> dict[str, Tensor]:
        calls.append(len(logits))
        return metrics(logits)

    memory = 1000
    while not calls:
        try:
            tight = attribute_edges(model, prompts, constants, counted, weights=mib_weights(2), memory=memory)
        except MemoryBudgetError:
            memory += memory // 10
    assert calls == [3] * 6
    for name in ample:
        torch.testing.assert_close(tight[name], ample[name], atol=1e-5, rtol=0)


def test_a_caller_in_inference_mode_gets_the_same_scores() -> None:
    model = random_model("gpt2")
    constants = resampled(model, PROMPTS, seed=1)
    outside = attribute_edges(model, PROMPTS, constants, metrics)
    with torch.inference_mode():
        inside = attribute_edges(model, PROMPTS, constants, metrics)
    assert all(torch.equal(inside[name], outside[name]) for name in outside)
