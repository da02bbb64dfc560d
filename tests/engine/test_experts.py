"""One expert of a mixture, edited: what transformers computes where the router's weight of that expert is zero."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from families_llama import MAKERS
from small_models import filled_model, random_model
from vitro.engine import Edit, EditError, Finals, Variant, expert_out, mlp_out, resid_pre, sweep
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4, 7, 8], [0, 6, 2]]
TYPES = ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss"]


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def slow(model: Model, layer: int, expert: int, positions: Sequence[int] | None, value: Tensor | None) -> Tensor:
    """Final logits of each prompt where an expert is left out at some positions, and `value` written in its place."""
    mlp = model.hf.model.layers[layer].mlp

    def left_out(module: Any, args: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        read, chosen, weights = args
        there = torch.ones(len(chosen), 1, dtype=torch.bool)
        if positions is not None:
            there[:] = False
            there[list(positions)] = True
        return read, chosen, weights.masked_fill(there & (chosen == expert), 0.0)

    def written(module: Any, args: Any, out: Any) -> Any:
        total = (out[0] if isinstance(out, tuple) else out).clone()
        at = range(total.shape[1]) if positions is None else positions
        total[:, list(at)] += 0.0 if value is None else value
        return (total, *out[1:]) if isinstance(out, tuple) else total

    handles = [mlp.experts.register_forward_pre_hook(left_out), mlp.register_forward_hook(written)]
    with torch.no_grad():
        logits = [model.hf(torch.tensor([prompt])).logits[0, -1] for prompt in PROMPTS]
    for handle in handles:
        handle.remove()
    return torch.stack(logits)


def mixture(model_type: str) -> tuple[Model, int, int]:
    """A model, a layer of it that has experts, and one of them that its router chooses for some token."""
    model = filled_model(MAKERS[model_type]())
    model.hf.set_experts_implementation("eager")
    layer = next(layer for layer in range(model.shape.n_layers) if model.n_experts(layer))
    clean = sweep(model, PROMPTS, [()], final_logits)["logits"][0]
    for expert in range(model.n_experts(layer)):
        if (slow(model, layer, expert, None, None) - clean).abs().max() > 1e-2:
            return model, layer, expert
    raise AssertionError("no expert does anything")


@pytest.mark.parametrize("model_type", TYPES)
def test_an_expert_that_is_set_is_left_out_by_the_router(model_type: str) -> None:
    model, layer, expert = mixture(model_type)
    value = torch.randn(model.shape.d_model, generator=torch.Generator().manual_seed(1))
    zero = torch.zeros(model.shape.d_model)
    variants: list[Variant] = [
        (Edit(expert_out(layer, expert), zero),),
        (Edit(expert_out(layer, expert), zero, positions=(1,)),),
        (Edit(expert_out(layer, expert), value),),
        (Edit(expert_out(layer, expert), value, positions=(2,)),),
    ]
    results = sweep(model, PROMPTS, variants, final_logits)["logits"]
    expected = [
        slow(model, layer, expert, None, None),
        slow(model, layer, expert, [1], None),
        slow(model, layer, expert, None, value),
        slow(model, layer, expert, [2], value),
    ]
    torch.testing.assert_close(results, torch.stack(expected), atol=1e-4, rtol=0)


def test_an_edit_of_an_expert_is_made_in_the_stream_that_other_edits_leave() -> None:
    model, layer, expert = mixture("mixtral")
    draw = torch.Generator().manual_seed(2)
    stream, added = (torch.randn(model.shape.d_model, generator=draw) for _ in range(2))
    zero = torch.zeros(model.shape.d_model)
    before = (Edit(resid_pre(layer), stream, positions=(1,)),)
    handle = model.hf.model.layers[layer].register_forward_pre_hook(
        lambda module, args: (torch.cat([args[0][:, :1], stream.expand(1, 1, -1), args[0][:, 2:]], dim=1), *args[1:])
    )
    expected = slow(model, layer, expert, None, added)
    handle.remove()
    edits = (*before, Edit(expert_out(layer, expert), zero), Edit(mlp_out(layer), added, how="add"))
    results = sweep(model, PROMPTS, [edits, before], final_logits)["logits"]
    torch.testing.assert_close(results[0], expected, atol=1e-4, rtol=0)
    assert (results[1] - results[0]).abs().max() > 1e-2


def test_what_is_added_to_an_expert_is_added_to_the_mlp() -> None:
    model, layer, expert = mixture("mixtral")
    value = torch.randn(model.shape.d_model, generator=torch.Generator().manual_seed(3))
    variants = [(Edit(site, value, how="add", positions=(2,)),) for site in (expert_out(layer, expert), mlp_out(layer))]
    results = sweep(model, PROMPTS, variants, final_logits)["logits"]
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)


def test_an_expert_that_is_not_there_is_refused() -> None:
    value = torch.zeros(48)
    model = filled_model(MAKERS["mixtral"]())
    with pytest.raises(EditError, match="the MLP of layer 1 has experts 0 to"):
        sweep(model, PROMPTS, [(Edit(expert_out(1, 99), value),)], final_logits)
    with pytest.raises(EditError, match="the MLP of layer 1 is no mixture of experts; mlp_out is all of it"):
        sweep(random_model("llama-gqa-3"), PROMPTS, [(Edit(expert_out(1, 0), value),)], final_logits)
