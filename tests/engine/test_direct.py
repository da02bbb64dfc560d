"""Direct attribution sums to the difference of logits, and each share is what its part of the final stream says."""

from typing import Literal

import pytest
import torch

from places import gain_of, norm_scale, places_of
from slow import final_norm_of, slow_head_out, slow_run, unembedding_of
from small_models import MAKERS, random_model
from vitro.engine import Budget, PromptError, direct_attribution
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4, 7], [0, 6, 2]]
RIGHT = [[3], [17, 4], [40, 5, 6]]
WRONG = [[8, 9], [], [7]]


def difference(model: Model, prompt: int) -> float:
    """By transformers' own logits."""
    logits = slow_run(model, PROMPTS[prompt]).logits
    return float(logits[RIGHT[prompt]].mean() - (logits[WRONG[prompt]].mean() if WRONG[prompt] else 0.0))


HELD = ["gemma3_text", "olmo2-biases-tied", "glm4"]
"""A norm stands after the heads; it leaves each what it wrote over the scale of all together."""
SCALED = ["cohere", "granite"]


@pytest.mark.parametrize("family", [*MAKERS, *HELD, *SCALED])
@pytest.mark.parametrize("value_bias", ["excluded", "included"])
def test_the_shares_sum_to_the_difference_of_the_logits(
    family: str, value_bias: Literal["excluded", "included"]
) -> None:
    model = random_model(family)
    shares = direct_attribution(model, PROMPTS, RIGHT, WRONG, value_bias=value_bias)
    for prompt in range(len(PROMPTS)):
        expected = difference(model, prompt)
        assert float(shares.values[:, prompt].sum()) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert len(set(shares.names)) == len(shares.names) == len(shares.values)


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa-3", *HELD])
@pytest.mark.parametrize("value_bias", ["excluded", "included"])
def test_a_share_is_the_parts_own_logits_by_the_norm_of_the_whole(
    family: str, value_bias: Literal["excluded", "included"]
) -> None:
    model = random_model(family)
    shares = direct_attribution(model, PROMPTS, RIGHT, WRONG, value_bias=value_bias)
    norm, unembedding = final_norm_of(model), unembedding_of(model).double()
    for prompt, tokens in enumerate(PROMPTS):
        seen = slow_run(model, tokens)
        scale = norm_scale(places_of(model), norm, seen.resid_post[-1, -1])

        def by_itself(part: torch.Tensor, prompt: int = prompt, scale: torch.Tensor = scale) -> float:
            part = part - part.mean() if isinstance(norm, torch.nn.LayerNorm) else part
            logits = part / scale * gain_of(places_of(model), norm) @ unembedding
            wrong = logits[WRONG[prompt]].mean() if WRONG[prompt] else 0.0
            return float(logits[RIGHT[prompt]].mean() - wrong)

        embedded = [float(shares[name][prompt]) for name in ("embed", "pos_embed") if name in shares.names]
        assert sum(embedded) == pytest.approx(by_itself(seen.resid_pre[0, -1]), abs=1e-4)
        for layer in range(model.shape.n_layers):
            heads = [slow_head_out(model, seen, layer, head, value_bias) for head in range(model.shape.n_heads)]
            for head, written in enumerate(heads):
                assert float(shares[f"a{layer}.h{head}"][prompt]) == pytest.approx(by_itself(written), abs=1e-4)
            rest = (seen.resid_mid - seen.resid_pre)[layer, -1] - torch.stack(heads).sum(0)
            assert float(shares[f"b{layer}"][prompt]) == pytest.approx(by_itself(rest), abs=1e-4)
            assert float(shares[f"m{layer}"][prompt]) == pytest.approx(by_itself(seen.mlp_out[layer, -1]), abs=1e-4)


def test_a_bias_of_the_unembedding_has_its_share() -> None:
    model = random_model("gpt2")
    before = direct_attribution(model, PROMPTS, RIGHT, WRONG)
    model.hf.lm_head.bias = torch.nn.Parameter(torch.arange(60.0) / 10, requires_grad=False)
    after = direct_attribution(model, PROMPTS, RIGHT, WRONG)
    torch.testing.assert_close(after["unembed"], torch.tensor([(0.3 - 0.85), 1.05, 1.7 - 0.7]))
    torch.testing.assert_close(after.values[:-1], before.values[:-1])
    assert not before["unembed"].any()
    assert float(after.values[:, 1].sum()) == pytest.approx(difference(model, 1), rel=1e-4)


def test_a_small_memory_gives_the_same_shares_and_columns_that_do_not_fit_are_refused() -> None:
    model = random_model("llama-gqa-3")
    small = direct_attribution(model, PROMPTS, RIGHT, WRONG, memory=Budget.of(model).need(6, 1))
    torch.testing.assert_close(small.values, direct_attribution(model, PROMPTS, RIGHT, WRONG).values)
    with pytest.raises(PromptError, match="there are 3 prompts, right tokens of 2 and wrong ones of 3"):
        direct_attribution(model, PROMPTS, RIGHT[:2], WRONG)
    with pytest.raises(PromptError, match="prompt 2 asks for the token 60, and the model knows 0 to 59"):
        direct_attribution(model, PROMPTS, RIGHT, [*WRONG[:2], [60]])


def test_shares_of_capped_logits_are_those_before_the_cap() -> None:
    capped, plain = random_model("gemma2-logits-capped"), random_model("gemma2-logits-capped")
    plain.hf.config.final_logit_softcapping = None
    before = direct_attribution(plain, PROMPTS, RIGHT, WRONG)
    torch.testing.assert_close(direct_attribution(capped, PROMPTS, RIGHT, WRONG).values, before.values)
    for prompt in range(len(PROMPTS)):
        assert float(before.values[:, prompt].sum()) == pytest.approx(difference(plain, prompt), rel=1e-4, abs=1e-4)
        assert abs(difference(capped, prompt) - difference(plain, prompt)) > 1e-3
