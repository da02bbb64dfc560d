"""The clean run's logits are those of transformers, for every family and shape."""

import pytest
import torch

from small_models import MAKERS, random_model
from vitro.engine import sweep

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4, 7, 8], [0, 6, 2], [0, 5, 9, 3, 7, 8, 11, 12, 13], [0]]


@pytest.mark.parametrize("name", MAKERS)
def test_logits_equal_those_of_transformers(name: str) -> None:
    model = random_model(name)
    results = sweep(model, PROMPTS, [()], lambda finals: {"logits": finals.logits})["logits"][0]
    for prompt, logits in zip(PROMPTS, results, strict=True):
        with torch.no_grad():
            expected = model.hf(torch.tensor([prompt])).logits[0, -1]
        assert expected.std() > 0.1, "the random model says the same of every token"
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)
