"""Patching sets one activation to the partner's: plain forward hooks say so, at every place of every family."""

import pytest
import torch
from torch import Tensor

from slow import Seen, slow_logits, slow_run
from small_models import random_model
from vitro.engine import (
    PATCHES,
    Edit,
    EditError,
    Finals,
    Patch,
    PromptError,
    Site,
    SiteError,
    attn_out,
    mlp_out,
    patch,
    pattern,
    resid_mid,
    resid_post,
    resid_pre,
    sweep,
    z,
)
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 6, 2], [0, 5, 9, 4, 7]]
PARTNERS = [[0, 5, 10, 3, 7, 1], [0, 4, 2], [0, 5, 13, 4, 1]]
MARKS = ((2, 1, 3),)


def logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def slow_sites(model: Model, what: Patch, layer: int, seen: Seen) -> list[tuple[Site, Tensor]]:
    """The sites of a layer, and what hooks saw there: [position, width] each."""
    heads = range(model.shape.n_heads)
    match what:
        case "z":
            return [(z(layer, head), seen.z[layer, :, head]) for head in heads]
        case "pattern":
            return [(pattern(layer, head), seen.attention[layer, head]) for head in heads]
        case "attn_out":
            return [(attn_out(layer), seen.resid_mid[layer] - seen.resid_pre[layer])]
        case _:
            site = {"resid_pre": resid_pre, "resid_mid": resid_mid, "resid_post": resid_post, "mlp_out": mlp_out}[what]
            return [(site(layer), getattr(seen, what)[layer])]


@pytest.mark.parametrize("family", ["gpt2", "neox-parallel", "llama-gqa-3"])
@pytest.mark.parametrize("what", PATCHES)
def test_every_layer_head_and_position_is_patched_as_by_hooks(family: str, what: Patch) -> None:
    model = random_model(family)
    if what == "resid_mid" and model.parallel:
        with pytest.raises(SiteError, match="a parallel block has no stream between its heads and its MLP"):
            patch(model, PROMPTS, PARTNERS, what, logits)
        return
    by_position = patch(model, PROMPTS, PARTNERS, what, logits)["logits"]
    by_mark = patch(model, PROMPTS, PARTNERS, what, logits, positions=MARKS)["logits"]
    heads = (model.shape.n_heads,) if what in ("z", "pattern") else ()
    assert by_position.shape == (model.shape.n_layers, *heads, 6, len(PROMPTS), model.shape.d_vocab)
    moved = 0.0
    for number, (prompt, partner) in enumerate(zip(PROMPTS, PARTNERS, strict=True)):
        clean, seen = slow_logits(model, [prompt], [()])[0, 0], slow_run(model, partner)
        for layer in range(model.shape.n_layers):
            # Each place of a layer in turn, and the heads only at some: plain passes take their time.
            sites = slow_sites(model, what, layer, seen)
            for head in range(len(sites)) if len(sites) == 1 else (layer, (layer + 2) % len(sites)):
                site, value = sites[head]
                at = (layer, head) if heads else (layer,)
                for position in range(len(prompt)):
                    expected = slow_logits(model, [prompt], [(Edit(site, value.float(), positions=(position,)),)])[0, 0]
                    torch.testing.assert_close(by_position[at][position, number], expected, atol=1e-4, rtol=0)
                    moved = max(moved, float((expected - clean).abs().max()))
                    if position == MARKS[0][number]:
                        torch.testing.assert_close(by_mark[at][0, number], expected, atol=1e-4, rtol=0)
                assert by_position[at][len(prompt) :, number].isnan().all()
    assert moved > 0.1


def test_the_stream_patched_at_every_position_of_a_prompt_is_the_partner() -> None:
    model, prompt, partner = random_model("gpt2"), [0, 5, 9, 3], [0, 5, 9, 8]
    at_the_end = patch(model, [prompt], [partner], "resid_post", logits, positions=(-1,))["logits"]
    # Only the final position differs, so that the stream there is all that can.
    expected = sweep(model, [partner], [()], logits)["logits"][0, 0]
    for layer in range(model.shape.n_layers):
        torch.testing.assert_close(at_the_end[layer, 0, 0], expected, atol=1e-5, rtol=0)


def test_a_reading_in_whole_numbers_becomes_one_that_can_say_that_there_is_no_such_position() -> None:
    model = random_model("gpt2")
    first = patch(model, PROMPTS, PARTNERS, "mlp_out", lambda finals: {"top": finals.top()[0]}, positions=(4, 0))["top"]
    assert first.dtype == torch.float32
    assert first[:, 0].isnan().tolist() == [[False, True, False]] * 3
    whole = patch(model, PROMPTS, PARTNERS, "mlp_out", lambda finals: {"top": finals.top()[0]}, positions=(0,))["top"]
    assert whole.dtype == torch.int64


def test_what_cannot_be_patched_is_refused_in_one_line() -> None:
    model = random_model("gpt2")
    with pytest.raises(SiteError, match=r"'q' cannot be patched; what works: resid_pre, .* pattern"):
        patch(model, PROMPTS, PARTNERS, "q", logits)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match="prompt 1 has 3 tokens and its counterfactual 6"):
        patch(model, PROMPTS, [PARTNERS[0], PARTNERS[0], PARTNERS[2]], "z", logits)
    with pytest.raises(EditError, match="there is no position 6; there are -6 to 5"):
        patch(model, PROMPTS, PARTNERS, "z", logits, positions=(6,))
    with pytest.raises(EditError, match="there is no position 3 in prompt 1; there are -3 to 2"):
        patch(model, PROMPTS, PARTNERS, "z", logits, positions=((1, 3, 1),))
