"""Activations are what plain hooks see of each prompt alone; tests/conventions holds their names to TransformerLens."""

import pytest
import torch

from slow import final_norm_of, slow_run, w_out_of
from small_models import random_model
from vitro.engine import Budget, PromptError, SiteError, activations, pattern, resid_post, z

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 2], [0, 5, 9, 4, 7]]
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3", "mistral-window"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("parts", ["one", "several"])
def test_each_prompts_activations_are_what_hooks_see_and_nan_beyond_its_end(family: str, parts: str) -> None:
    model = random_model(family)
    memory = Budget.of(model).need(len(PROMPTS[0]), 1) if parts == "several" else None
    names = ["resid_pre", "attn_out", "mlp_out", "resid_post", "z", "pattern", "result", "ln_final.hook_out"]
    names += [] if model.parallel else ["resid_mid"]
    given = activations(model, PROMPTS, names, memory)
    assert given.lengths == (6, 3, 5)
    for number, prompt in enumerate(PROMPTS):
        seen = slow_run(model, prompt)
        for layer in range(model.shape.n_layers):
            expected = {
                "hook_resid_pre": seen.resid_pre[layer],
                "hook_attn_out": seen.resid_mid[layer] - seen.resid_pre[layer],
                "hook_mlp_out": seen.mlp_out[layer],
                "hook_resid_post": seen.resid_post[layer],
                "attn.hook_z": seen.z[layer],
                "attn.hook_pattern": seen.attention[layer],
                "attn.hook_result": torch.stack(
                    [seen.z[layer, :, head] @ w_out_of(model, layer, head) for head in range(model.shape.n_heads)],
                    dim=1,
                ),
                **({} if model.parallel else {"hook_resid_mid": seen.resid_mid[layer]}),
            }
            for name, value in expected.items():
                stored = given.of(f"blocks.{layer}.{name}", number)
                torch.testing.assert_close(stored, value.float(), atol=1e-4, rtol=0)
                beyond = given[f"blocks.{layer}.{name}"][number]
                assert beyond.isnan().sum() == beyond.numel() - value.numel()
        last = final_norm_of(model)(seen.resid_post[-1].float())
        torch.testing.assert_close(given.of("ln_final.hook_out", number), last, atol=1e-4, rtol=0)


def test_a_place_has_a_long_name_a_short_one_and_the_engines_own() -> None:
    model = random_model("gpt2")
    every = tuple(f"blocks.{layer}.hook_resid_post" for layer in range(3))
    for asked in (["resid_post"], ["hook_resid_post"], "resid_post", [resid_post(layer) for layer in range(3)]):
        assert activations(model, PROMPTS, asked).names == every
    for asked in (["blocks.1.attn.hook_z"], ["z1"]):
        assert activations(model, PROMPTS, asked).names == ("blocks.1.attn.hook_z",)
    given = activations(model, PROMPTS, [z(1, 2), pattern(0, 3), "z", "pattern"])
    torch.testing.assert_close(given["blocks.1.attn.hook_z[2]"], given["blocks.1.attn.hook_z"][:, :, 2], equal_nan=True)
    head_pattern = given.of("blocks.0.attn.hook_pattern[3]", 1)
    torch.testing.assert_close(head_pattern, given.of("blocks.0.attn.hook_pattern", 1)[3])
    torch.testing.assert_close(head_pattern.sum(-1), torch.ones(3))
    assert given["blocks.0.attn.hook_z"].numpy().shape == (3, 6, 4, 8)


def test_the_embeddings_of_token_and_position_sum_to_the_first_stream() -> None:
    model = random_model("gpt2")
    given = activations(model, PROMPTS, ["embed", "pos_embed", "resid_pre0"])
    both = given["hook_embed"] + given["hook_pos_embed"]
    torch.testing.assert_close(both, given["blocks.0.hook_resid_pre"], equal_nan=True)


@pytest.mark.parametrize(
    ("family", "site", "says"),
    [
        (
            "gpt2",
            "blocks.3.hook_resid_pre",
            r"what works: hook_embed, .* in blocks 0 to 2 \(as blocks.0.hook_resid_pre",
        ),
        ("gpt2", "mlp.hook_post", "there is no 'mlp.hook_post' in this model; what works"),
        ("gpt2", "rot_q1", "there is no 'rot_q1' in this model: this model does not rotate queries and keys"),
        ("neox-parallel", "blocks.1.hook_resid_mid", "a parallel block has no stream between its heads and its MLP"),
        ("neox-parallel", "resid_mid", "a parallel block has no stream"),
        ("llama-gqa-3", "hook_pos_embed", "this model embeds no positions; its heads see them"),
    ],
)
def test_a_place_that_a_model_does_not_have_is_refused_in_one_line(family: str, site: str, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        activations(random_model(family), PROMPTS, [site])


def test_prompts_and_names_that_are_none_are_refused() -> None:
    model = random_model("gpt2")
    with pytest.raises(PromptError, match="prompt 0 is text"):
        activations(model, ["Monday"], ["z"])  # type: ignore[list-item]
    with pytest.raises(SiteError, match=r"there is no activation 'z' here; there are blocks.0.attn.hook_z"):
        activations(model, PROMPTS, ["z"])["z"]
