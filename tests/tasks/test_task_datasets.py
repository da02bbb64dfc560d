"""Drawn sentences are the prompt with random words in it: uniform, seeded, and the template untouched."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_tokenizers import digit_by_digit, gpt2, whole_words
from vitro.tasks import DATASETS, Dataset, TaskError, days, drawn, numbers, space_tokens, tokenize

TOKENIZER = whole_words(days())
QUESTIONS = tokenize(days(), TOKENIZER, n_ctx=None)
SEEDS = st.integers(0, 2**40)


def vocabulary(*entries: str, added: tuple[int, ...] = (), special: tuple[int, ...] = ()) -> Any:
    return SimpleNamespace(
        all_special_ids=special,
        get_vocab=lambda: {entry: i for i, entry in enumerate(entries)},
        get_added_vocab=lambda: {entries[i]: i for i in added},
    )


def test_gpt2_has_33135_tokens_that_begin_with_a_space() -> None:
    tokens = space_tokens(gpt2())
    assert len(tokens) == len(set(tokens.tolist())) == 33_135
    assert all(gpt2().decode([i]).startswith(" ") for i in tokens[::500])


@pytest.mark.parametrize("mark", ["Ġ", "▁", " "])
def test_a_vocabulary_writes_its_spaces_in_one_of_three_ways(mark: str) -> None:
    assert space_tokens(vocabulary("a", f"{mark}a", "b", mark, "ab")).tolist() == [1, 3]


def test_a_letter_that_looks_like_another_vocabularys_space_is_no_space() -> None:
    assert space_tokens(vocabulary("▁a", "▁b", "Ġ")).tolist() == [0, 1]


def test_special_and_added_tokens_are_never_drawn() -> None:
    tokenizer = vocabulary("Ġa", "Ġ<s>", "Ġ<tool>", "Ġb", special=(1,), added=(2,))
    assert space_tokens(tokenizer).tolist() == [0, 3]


@given(seed=SEEDS, dataset=st.sampled_from(DATASETS), samples=st.integers(1, 20))
def test_only_the_words_of_the_dataset_are_replaced(seed: int, dataset: Dataset, samples: int) -> None:
    sentences = drawn(QUESTIONS, TOKENIZER, dataset, samples, seed)
    replaced = [4] if dataset == "mean" else [2, 4, 6]
    assert sentences.shape == (samples, 8)
    kept = np.delete(sentences, replaced, axis=1)
    assert (kept == np.delete(QUESTIONS.tokens[:1], replaced, axis=1)).all()
    assert np.isin(sentences[:, replaced], space_tokens(TOKENIZER)).all()


@given(seed=SEEDS, dataset=st.sampled_from(DATASETS), few=st.integers(1, 20), more=st.integers(0, 20))
@settings(max_examples=50)
def test_a_larger_draw_begins_with_the_smaller_one(seed: int, dataset: Dataset, few: int, more: int) -> None:
    small = drawn(QUESTIONS, TOKENIZER, dataset, few, seed)
    large = drawn(QUESTIONS, TOKENIZER, dataset, few + more, seed)
    assert (large[:few] == small).all()


def test_seeds_and_datasets_are_drawn_independently() -> None:
    subjects = [drawn(QUESTIONS, TOKENIZER, dataset, 4000, seed)[:, 4] for dataset in DATASETS for seed in (0, 1)]
    chance = 1 / len(space_tokens(TOKENIZER))
    for i, sample in enumerate(subjects):
        for other in subjects[:i]:
            assert abs((sample == other).mean() - chance) < 5 * np.sqrt(chance / 4000)


def test_words_are_drawn_uniformly_and_independently() -> None:
    words = space_tokens(TOKENIZER)
    sentences = drawn(QUESTIONS, TOKENIZER, "random", 20_000, seed=0)
    pairs = sentences[:, 2] * 1000 + sentences[:, 4]
    expected = 20_000 / len(words) ** 2
    counts = np.array([(pairs == a * 1000 + b).sum() for a in words for b in words])
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_an_absorbed_space_stays_before_the_random_word() -> None:
    task = numbers(8)
    tokenizer = digit_by_digit(task)
    questions = tokenize(task, tokenizer, n_ctx=None)
    sentences = drawn(questions, tokenizer, "mean", 5, seed=0)
    assert (np.delete(sentences, 3, axis=1) == np.delete(questions.tokens[:1], 3, axis=1)).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": 0}, "samples is 0; it must be 1 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"dataset": "meen"}, "there is no dataset 'meen'; there are random and mean"),
        ({"tokenizer": vocabulary("a", "b")}, "no token of this tokenizer begins with a space ('Ġ', '▁', ' ')"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(changed: dict[str, Any], message: str) -> None:
    options = {"questions": QUESTIONS, "tokenizer": TOKENIZER, "dataset": "mean", "samples": 1, "seed": 0}
    with pytest.raises(TaskError) as caught:
        drawn(**(options | changed))
    assert message in str(caught.value)
