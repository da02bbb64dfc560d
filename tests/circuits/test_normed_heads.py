"""Wired heads whose layer norms what they write together: in the model's own stream exactly, wired by a held scale."""

from typing import Literal

import pytest
import torch

from slow import slow_head_out, slow_read_out, slow_run
from small_models import random_model
from vitro.circuits import Circuit, Constants, run_circuits
from vitro.engine import Finals, mean_activations, sweep, z
from vitro.options import Ablation

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 6, 2, 4, 7]]
of_each_family = pytest.mark.parametrize("name", ["gemma2", "olmo2-biases-tied", "glm4"])
with_and_without = pytest.mark.parametrize("value_bias", ["excluded", "included"])


def logits(finals: Finals) -> dict[str, torch.Tensor]:
    return {"logits": finals.logits}


@of_each_family
def test_the_models_own_stream_has_its_heads_normed_together(name: str) -> None:
    model = random_model(name)
    last, means = model.shape.n_layers - 1, Constants.of(mean_activations(model, PROMPTS))
    constants: dict[Ablation, Constants] = {"mean": means}
    circuit = Circuit.wire(f"mean: a0.h1, a{last}.h0\nresid_post{last} -> logits")
    ours = run_circuits(model, PROMPTS, [circuit], logits, constants=constants)["logits"][0]
    edits = tuple(edit for at in ((0, 1), (last, 0)) for edit in means.in_place_of(z(*at), 5))
    torch.testing.assert_close(ours, sweep(model, PROMPTS, [edits], logits)["logits"][0], atol=1e-4, rtol=0)


@of_each_family
@with_and_without
def test_all_heads_of_a_layer_with_their_bias_write_what_the_layer_does(
    name: str, value_bias: Literal["excluded", "included"]
) -> None:
    model = random_model(name)
    heads = ", ".join(f"a0.h{head}" for head in range(model.shape.n_heads))
    wired = f"input -> {heads}\ninput, {heads}, b0 -> m0\ninput, {heads}, b0, m0 -> logits"
    circuits = [Circuit.wire(text) for text in (wired, "resid_post0 -> logits")]
    ours, own = run_circuits(model, PROMPTS, circuits, logits, value_bias=value_bias)["logits"]
    torch.testing.assert_close(ours, own, atol=1e-4, rtol=0)


@of_each_family
@with_and_without
def test_a_wired_head_writes_over_the_scale_of_the_clean_run(
    name: str, value_bias: Literal["excluded", "included"]
) -> None:
    model = random_model(name)
    circuit = Circuit.wire("resid_post0 -> a1.h1\ninput, a1.h1 -> logits")
    ours = run_circuits(model, PROMPTS, [circuit], logits, value_bias=value_bias)["logits"][0]
    for prompt, tokens in enumerate(PROMPTS):
        seen = slow_run(model, tokens)
        read = seen.resid_pre[0, -1] + slow_head_out(model, seen, 1, 1, value_bias)
        torch.testing.assert_close(ours[prompt].double(), slow_read_out(model, read), atol=1e-4, rtol=0)
