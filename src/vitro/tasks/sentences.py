"""The sentences whose mean activations replace a component's output: the prompt with random words in it."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from vitro.tasks.errors import TaskError
from vitro.tasks.questions import Questions
from vitro.tasks.task import DATASETS, Dataset
from vitro.tasks.tokenizer import SPACE_MARKS, Tokenizer


def space_tokens(tokenizer: Tokenizer, n_tokens: int | None = None) -> Int[np.ndarray, " token"]:
    """The ids, in order, of the tokens that begin with a space: random words are drawn from these.

    GPT-2 has 33,135 of them. Special and added tokens are left out, and those from `n_tokens` on, which the model's
    embedding has not (None: it has all).

    >>> len(space_tokens(model.tokenizer)) > 7
    True

    Raises `TaskError` if there are none.
    """
    vocabulary = tokenizer.get_vocab()
    left_out = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    # Only a single mark: a vocabulary that writes its spaces as "▁" may also hold the letter "Ġ".
    known = {entry: i for entry, i in vocabulary.items() if i not in left_out and (n_tokens is None or i < n_tokens)}
    marked = [[i for entry, i in known.items() if entry.startswith(mark)] for mark in SPACE_MARKS]
    ids = max(marked, key=len)
    if not ids:
        marks = ", ".join(repr(mark) for mark in SPACE_MARKS)
        raise TaskError(
            f"no token of this tokenizer begins with a space ({marks}), so there are no random words; "
            "use zero or resample ablation, or another model"
        )
    return np.array(sorted(ids), dtype=np.int64)


def drawn(
    questions: Questions,
    tokenizer: Tokenizer,
    dataset: Dataset,
    samples: int,
    seed: int,
    n_tokens: int | None = None,
) -> Int[np.ndarray, "sample position"]:
    """Copies of the template's tokens with random words in them, drawn uniformly and independently.

    `mean` replaces the subject, `random` the subject and the content words, by any of `space_tokens`. The two
    are drawn independently of each other and of the order of the calls; a larger draw begins with
    the smaller draw. Source: the mean and random ablations of "Mechanistically interpreting time in GPT-2
    small", whose means are taken over such sentences.

    >>> drawn(task.questions(model.tokenizer, None), model.tokenizer, "mean", samples=5, seed=0).shape
    (5, 8)

    Raises `TaskError` if samples < 1, seed < 0, the dataset is unknown or there is nothing to draw from.
    """
    if dataset not in DATASETS:
        raise TaskError(f"there is no dataset {dataset!r}; there are {' and '.join(DATASETS)}")
    if samples < 1:
        raise TaskError(f"samples is {samples}; it must be 1 or more")
    if seed < 0:
        raise TaskError(f"seed is {seed}; it must be 0 or more")
    words = space_tokens(tokenizer, n_tokens)
    positions = [questions.marks["subject"][0]]
    if dataset == "random":
        positions += questions.content
    generator = np.random.default_rng([seed, DATASETS.index(dataset)])
    sentences = np.repeat(np.array(questions.tokens[:1], dtype=np.int64), samples, axis=0)
    sentences[:, positions] = words[generator.integers(len(words), size=(samples, len(positions)))]
    return sentences


def of_partners(questions: Questions) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
    """The counterfactual prompts, over which the mean of a pair task is taken; without them, the prompts themselves.

    Empty where the prompts differ in length, for a mean is taken position by position; and of one prompt alone, whose
    mean is itself.
    """
    if not questions.one_length or (len(questions) == 1 and questions.partner is None):
        return {}
    return {"mean": np.array(questions.partner or questions.tokens, dtype=np.int64)}
