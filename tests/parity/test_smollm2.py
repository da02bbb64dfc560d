"""The same parity on a real model: SmolLM2-135M, out of its GGUF file (grouped keys 3:1, 30 layers, tied)."""

import pytest
import torch

from slow import slow_logits
from vitro.engine import Edit, Variant, mlp_out, pin, resid_mid, resid_post, sweep, z
from vitro.models import Model
from vitro.tasks import TaskError, days, months, numbers


def test_logits_and_edits_equal_plain_passes_on_smollm2(smollm2: Model) -> None:
    prompts = days().questions(smollm2.tokenizer, None).tokens[:3]
    draw, shape = torch.Generator().manual_seed(0), smollm2.shape
    variants: list[Variant] = [()]
    for layer in (0, 15, 29):
        variants += [
            (Edit(z(layer, 4), torch.randn(8, shape.d_head, generator=draw)),),
            (Edit(mlp_out(layer), torch.zeros(shape.d_model)),),
            (Edit(resid_mid(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(4,)),),
            (Edit(resid_post(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(-1,)),),
            (pin(layer, 8, to=4), pin(layer, 0, to=0)),
        ]
    results = sweep(smollm2, prompts, variants, lambda finals: {"logits": finals.logits})["logits"]
    expected = slow_logits(smollm2, prompts, variants)
    for number, (result, reference) in enumerate(zip(results, expected, strict=True)):
        assert (result - reference).abs().max() <= 1e-4, variants[number]


def test_smollm2_reads_the_tasks_and_says_how_far_numbers_go(smollm2: Model) -> None:
    assert days().questions(smollm2.tokenizer, None).lengths == (8,) * 7
    assert months().questions(smollm2.tokenizer, None).marks["subject"] == (5,) * 12
    assert len(numbers(8).questions(smollm2.tokenizer, None).notes) == 2
    with pytest.raises(TaskError, match="numbers:8 fits"):
        numbers(10).questions(smollm2.tokenizer, None)
