"""Ablation by each prompt's counterfactual, for prompts of unequal lengths: plain hooks, prompt by prompt."""

import pytest
import torch
from torch import Tensor

from circuits.slow_circuits import slow_logits as slow_circuit
from circuits.slow_edges import slow_counterfactual, slow_cut
from slow import slow_logits
from small_models import random_model
from vitro.circuits import (
    Circuit,
    Constants,
    Graph,
    counterfactual,
    cut_edges,
    resampled,
    run_circuits,
)
from vitro.engine import Budget, Edit, Finals, PromptError, mean_activations, mlp_out, sweep, z

# Two begin alike, and so do their counterfactuals, one position less far; the others are of other lengths.
PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 3, 7, 8, 11], [0, 6, 2], [0, 5, 9, 4, 7]]
PARTNERS = [[0, 5, 10, 3, 7, 8], [0, 5, 10, 12, 7, 8, 11], [0, 6, 4], [0, 5, 10, 4, 1]]
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3"]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


@pytest.mark.parametrize("family", FAMILIES)
def test_constants_are_what_hooks_see_on_each_partner_and_zeros_beyond_its_end(family: str) -> None:
    model = random_model(family)
    fast, slow = counterfactual(model, PROMPTS, PARTNERS), slow_counterfactual(model, PARTNERS)
    for name in ("embed", "z", "mlp_out"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name).nan_to_num(0.0), atol=1e-4, rtol=0)
    assert fast.apart() == 3
    torch.testing.assert_close(counterfactual(model, PROMPTS, PARTNERS, Budget.of(model).need(7, 1)).z, fast.z)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_or_mlp_at_its_counterfactual_gives_what_hooks_give(family: str) -> None:
    model = random_model(family)
    fast, slow = counterfactual(model, PROMPTS, PARTNERS), slow_counterfactual(model, PARTNERS)

    def variants(constants: Constants) -> list[tuple[Edit, ...]]:
        heads = [
            (Edit(z(layer, head), constants.z[layer, :, :, head]),)
            for layer in range(model.shape.n_layers)
            for head in range(model.shape.n_heads)
        ]
        return [*heads, *((Edit(mlp_out(layer), constants.mlp_out[layer]),) for layer in range(model.shape.n_layers))]

    logits = sweep(model, PROMPTS, variants(fast), final_logits)["logits"]
    torch.testing.assert_close(logits, slow_logits(model, PROMPTS, variants(slow)), atol=1e-4, rtol=0)
    assert (logits - sweep(model, PROMPTS, [()], final_logits)["logits"]).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edge_cut_to_the_counterfactual_gives_what_hooks_give(family: str) -> None:
    model = random_model(family)
    fast, slow, draw = (
        counterfactual(model, PROMPTS, PARTNERS),
        slow_counterfactual(model, PARTNERS),
        torch.Generator().manual_seed(1),
    )
    for layer in range(model.shape.n_layers + 1):
        edges = Graph.of(model).edges_into(layer)
        logits = cut_edges(model, PROMPTS, layer, fast, final_logits)["logits"]
        for number in torch.randperm(len(edges), generator=draw)[:4].tolist():
            for prompt, tokens in enumerate(PROMPTS):
                expected = slow_cut(model, tokens, prompt, edges[number], slow, since=0)
                torch.testing.assert_close(logits[number, prompt], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "text",
    [
        "counterfactual: a0.h0-3, m1; resid_post1 -> a2.h1; a2.h1, m1 -> logits",
        "counterfactual: a0.h1, a1.h0-2, m0; resid_post2 -> logits",
    ],
)
def test_a_circuit_with_the_rest_at_its_counterfactual_gives_what_plain_code_gives(family: str, text: str) -> None:
    model, circuit = random_model(family), Circuit.wire(text)
    constants = counterfactual(model, PROMPTS, PARTNERS)
    fast = run_circuits(model, PROMPTS, [circuit], final_logits, constants={"counterfactual": constants})["logits"][0]
    slow = slow_circuit(model, PROMPTS, circuit, 0, {"counterfactual": slow_counterfactual(model, PARTNERS)})
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)


def test_resampling_is_a_counterfactual_from_another_prompt() -> None:
    model, prompts = random_model("gpt2"), [[0, 5, 9, word, 7] for word in (3, 4, 6, 8)]
    other = resampled(model, prompts, seed=2)
    own = counterfactual(model, prompts, prompts)
    number = [next(i for i in range(4) if torch.equal(own.z[:, i], other.z[:, at])) for at in range(4)]
    partners = counterfactual(model, prompts, [prompts[i] for i in number])
    assert other.agree_before == partners.agree_before
    for name in ("embed", "z", "mlp_out"):
        torch.testing.assert_close(getattr(partners, name), getattr(other, name), atol=1e-5, rtol=0)


def test_partners_that_do_not_fit_and_prompts_that_no_mean_fits_are_refused_with_what_works() -> None:
    model = random_model("gpt2")
    with pytest.raises(PromptError, match=r"prompt 2 has 3 tokens and its counterfactual 4; what works: "):
        counterfactual(model, PROMPTS, [*PARTNERS[:2], [0, 6, 4, 4], PARTNERS[3]])
    with pytest.raises(PromptError, match="there are 4 prompts and 3 counterfactuals"):
        counterfactual(model, PROMPTS, PARTNERS[:3])
    for refused in (lambda: resampled(model, PROMPTS, seed=0), lambda: mean_activations(model, PROMPTS)):
        with pytest.raises(PromptError, match="these have 3 to 7 tokens; what works: counterfactual or zero ablation"):
            refused()
