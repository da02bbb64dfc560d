"""Every kind of edit, at early, middle and last layers, equals a full pass with plain forward hooks."""

import pytest
import torch

from edits import LONGEST, PROMPTS, every_kind
from slow import slow_logits
from small_models import MAKERS, random_model
from vitro.engine import Edit, Variant, mlp_out, pin, resid_post, resid_pre, sweep, z
from vitro.models import Model


def final_logits(model: Model, variants: list[Variant]) -> torch.Tensor:
    return sweep(model, PROMPTS, variants, lambda finals: {"logits": finals.logits})["logits"]


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_edit_equals_forward_hooks(name: str) -> None:
    model = random_model(name)
    last = model.shape.n_layers - 1
    kinds = {
        (layer, kind): variant
        for layer in sorted({0, last // 2, last})
        for kind, variant in every_kind(model, layer).items()
    }
    results, expected = final_logits(model, list(kinds.values())), slow_logits(model, PROMPTS, list(kinds.values()))
    clean = slow_logits(model, PROMPTS, [()])[0]
    for number, kind in enumerate(kinds):
        difference = (results[number] - expected[number]).abs().max()
        assert difference <= 1e-4, f"{kind}: {difference:.1e}"
        assert (expected[number] - clean).abs().max() > 1e-3, f"{kind} changes nothing, so the test shows nothing"


@pytest.mark.parametrize("name", ["gpt2-odd", "llama-gqa-3", "neox-parallel", "mistral-window"])
def test_edits_made_together_equal_forward_hooks(name: str) -> None:
    model = random_model(name)
    shape, draw = model.shape, torch.Generator().manual_seed(7)

    def value(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=draw)

    every_head = [z(layer, head) for layer in range(2) for head in range(shape.n_heads)]
    variants: list[Variant] = [
        tuple(Edit(site, value(LONGEST, shape.d_head)) for site in every_head),
        (
            pin(1, 0, to=2),
            pin(1, min(1, shape.n_heads - 1), to=0),
            Edit(mlp_out(0), value(shape.d_model), positions=(1,)),
        ),
        (
            Edit(z(0, 0), value(shape.d_head), positions=(-1,)),
            Edit(resid_post(1), value(shape.d_model), how="add", positions=(1,)),
            Edit(mlp_out(1), value(shape.d_model), prompts=(0, 3)),
        ),
        (
            Edit(mlp_out(2 % shape.n_layers), value(shape.d_model), how="add"),
            Edit(mlp_out(2 % shape.n_layers), value(shape.d_model), positions=(1, 2)),
            Edit(resid_pre(1), value(shape.d_model), positions=(2,)),
            Edit(z(1, 0), value(len(PROMPTS), 1, shape.d_head), positions=(2,)),
        ),
    ]
    torch.testing.assert_close(final_logits(model, variants), slow_logits(model, PROMPTS, variants), atol=1e-4, rtol=0)
