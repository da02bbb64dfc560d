"""Random models of every family that read the words of the day task, and the slow way's view of their prompts."""

from typing import Any

import pytest

from small_models import VOCAB, random_model
from task_tokenizers import whole_words
from vitro.models import Model
from vitro.tasks import days

WITH_WORDS = ["gpt2", "llama-gqa-2-biases-wide-heads", "neox-parallel", "gemma2-all-full-relu"]


@pytest.fixture(scope="session")
def day_words() -> Any:
    """A tokenizer of the day task, with a name for each token that a random model can say."""
    task = days()
    spare = VOCAB - len(whole_words(task, known="\n".join(task.prompts)))
    words = "".join(f" word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(spare))
    tokenizer = whole_words(task, known="\n".join([*task.prompts, words]))
    assert len(tokenizer) == VOCAB
    return tokenizer


@pytest.fixture(params=WITH_WORDS)
def with_words(request: pytest.FixtureRequest, day_words: Any) -> Model:
    """A small random model, every weight random, that reads and says day words."""
    model = random_model(request.param)
    model.tokenizer = day_words
    return model
