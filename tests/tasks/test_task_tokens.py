"""Prompts are comparable position by position, or the error says which word is at fault and what would fit."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_tokenizers import byte_level, cut_by, digit_by_digit, gpt2, sentencepiece, whole_words, with_bytes
from vitro.tasks import Questions, Successors, TaskError, days, months, numbers, readable, tokenize

MORE_NUMBERS = "for more, use a model with a token for each number (gpt2 to 361)"
BESIDE = "what also works: rows of your own with --first-token (see vitro tasks), or another model"
WORDS = st.lists(st.text("bcdég", min_size=1, max_size=4), min_size=2, max_size=6, unique=True).map(tuple)


def small(words: tuple[str, ...] = ("a", "b", "c"), template: str = "x {s} y z", **options: Any) -> Successors:
    return Successors("small", template, words, **options)


def refusal(task: Successors, tokenizer: Any, n_ctx: int | None = None) -> str:
    with pytest.raises(TaskError) as caught:
        tokenize(task, tokenizer, n_ctx)
    return str(caught.value)


def texts(tokenizer: Any, tokens: Sequence[tuple[int, ...]]) -> list[str]:
    return [readable(tokenizer, token) for (token,) in tokens]


def subject_position(questions: Questions) -> int:
    (position,) = set(questions.marks["subject"])
    return position


def test_gpt2_day_prompts_are_eight_tokens_with_the_subject_at_4() -> None:
    questions = tokenize(days(), gpt2(), n_ctx=8)
    assert questions.lengths == (8,) * 7
    assert {prompt[0] for prompt in questions.tokens} == {gpt2().bos_token_id}
    assert questions.marks == {"subject": (4,) * 7, "final": (7,) * 7}
    assert questions.content == (2, 6)
    assert texts(gpt2(), questions.right) == [f" {answer}" for answer in days().answers]
    assert texts(gpt2(), questions.wrong) == [f" {subject}" for subject in days().subjects]
    assert questions.notes == ()


def test_gpt2_month_prompts_have_the_subject_at_5_and_twelve_answers() -> None:
    questions = tokenize(months(), gpt2(), n_ctx=None)
    assert subject_position(questions) == 5
    assert questions.content == (2, 3, 7, 8)
    assert len(set(questions.among)) == 12
    assert (readable(gpt2(), 2447), readable(gpt2(), 2932)) == (" Aug", " August")
    assert questions.among[7] == 2932


def test_gpt2_number_prompts_have_the_subject_at_2_and_a_content_word_at_the_end() -> None:
    questions = tokenize(numbers(100), gpt2(), n_ctx=None)
    assert questions.lengths == (4,) * 100
    assert subject_position(questions) == 2
    assert questions.content == (3,)


def test_gpt2_counts_to_361_in_single_tokens() -> None:
    assert tokenize(numbers(360), gpt2(), n_ctx=None).notes == ()
    text = f"task 'numbers-361': '362' is 2 tokens here (' 36', '2') and must be one; numbers:360 fits; {MORE_NUMBERS}"
    assert refusal(numbers(361), gpt2()) == text


@given(words=WORDS, cyclic=st.booleans(), bos=st.sampled_from(["<s>", None]))
@settings(max_examples=40)
def test_prompts_differ_at_the_subject_alone(words: tuple[str, ...], cyclic: bool, bos: str | None) -> None:
    task = small(words, cyclic=cyclic, content=("y",))
    tokenizer = whole_words(task, bos=bos)
    questions = tokenize(task, tokenizer, n_ctx=None)
    at = subject_position(questions)
    tokens = np.array(questions.tokens)
    beside = np.delete(tokens, at, axis=1)
    assert (beside == beside[0]).all()
    assert [tokenizer.decode(row[bos is not None :]) for row in questions.tokens] == list(task.prompts)
    assert tokens[:, at].tolist() == [wrong for (wrong,) in questions.wrong]
    read = [text.strip() for text in texts(tokenizer, questions.right)]
    assert read == list(task.answers)
    assert [tokenizer.decode([i]).strip() for i in questions.among] == list(task.answer_list)
    assert questions.content[0] == at + 1


def test_without_a_bos_token_none_is_prepended() -> None:
    with_bos = tokenize(days(), whole_words(days()), n_ctx=None)
    without = tokenize(days(), whole_words(days(), bos=None), n_ctx=None)
    assert (with_bos.lengths[0], without.lengths[0]) == (8, 7)
    assert subject_position(without) == subject_position(with_bos) - 1 == 3
    assert without.content == (1, 5)


@pytest.mark.parametrize("trim_offsets", [False, True])
def test_a_space_cut_off_every_word_belongs_to_the_template_and_ends_the_prompt(trim_offsets: bool) -> None:
    tokenizer = digit_by_digit(numbers(8), trim_offsets=trim_offsets)
    questions = tokenize(numbers(8), tokenizer, n_ctx=None)
    assert [readable(tokenizer, i) for i in questions.tokens[4]] == ["<s>", "If", " ", "5", " then", " "]
    assert (subject_position(questions), questions.content) == (3, (4,))
    assert (texts(tokenizer, questions.wrong)[4], texts(tokenizer, questions.right)[4]) == ("5", "6")
    space = tokenizer.convert_tokens_to_ids("Ġ")
    assert questions.notes == (
        f"every subject begins with the token ' ' ({space}), counted as the template's",
        f"every answer begins with the token ' ' ({space}), which ends the prompt",
    )


def test_sentencepiece_keeps_or_cuts_the_space_as_others_do() -> None:
    task = small()
    words = sentencepiece("▁x", "▁y", "▁z", "▁a", "▁b", "▁c")
    questions = tokenize(task, words, n_ctx=None)
    assert [readable(words, i) for i in questions.tokens[0]] == [" x", " a", " y", " z"]
    digits = sentencepiece("▁If", "▁then", "▁", *"0123456789")
    questions = tokenize(numbers(8), digits, n_ctx=None)
    assert [readable(digits, i) for i in questions.tokens[0]] == [" If", " ", "1", " then", " "]
    assert subject_position(questions) == 2
    assert "numbers:8 fits" in refusal(numbers(10), digits)


def test_a_first_piece_that_all_words_share_is_absorbed() -> None:
    task = small(("A1", "A2", "A3"))
    tokenizer = digit_by_digit(task)
    questions = tokenize(task, tokenizer, n_ctx=None)
    assert [readable(tokenizer, i) for i in questions.tokens[0]] == ["<s>", "x", " A", "1", " y", " z", " A"]
    assert texts(tokenizer, questions.right) == ["2", "3"]


def test_a_last_piece_that_all_words_share_is_not_absorbed() -> None:
    task = small(("Monday", "Tuesday"))
    text = "task 'small': 'Monday' is 2 tokens here (' Mon', 'day') and must be one; none of its words fits"
    assert refusal(task, cut_by("day| ?[A-Z][a-z]{2,3}(?=day)| ?[a-z]+", task)).startswith(text)


def test_a_space_that_only_some_words_shed_is_an_error() -> None:
    task = small(("a", "7", "b"))
    text = f"task 'small': '7' is 2 tokens here (' ', '7') and must be one; these fit: 'a', 'b'; {BESIDE}"
    assert refusal(task, digit_by_digit(task)) == text


def test_the_slot_may_open_the_prompt_or_end_it() -> None:
    opening = small(template="{s} y")
    first = tokenize(opening, whole_words(opening), n_ctx=None)
    assert subject_position(first) == 1
    # "a" in the prompt, " a" as its continuation
    assert all(prompt[1] != wrong for prompt, (wrong,) in zip(first.tokens, first.wrong, strict=True))
    closing = small(template="y {s}")
    last = tokenize(closing, whole_words(closing), n_ctx=None)
    assert subject_position(last) == 2
    assert last.content == (1,)


def test_a_content_word_of_two_tokens_has_two_positions() -> None:
    task = small(template="x {s} in 42", content=("42",))
    questions = tokenize(task, digit_by_digit(task), n_ctx=None)
    assert questions.content == (5, 6)


def test_a_number_of_several_tokens_says_which_size_fits() -> None:
    text = f"task 'numbers-10': '10' is 3 tokens here (' ', '1', '0') and must be one; numbers:8 fits; {MORE_NUMBERS}"
    assert refusal(numbers(10), digit_by_digit(numbers(10))) == text


def test_many_words_that_fit_are_cut_short() -> None:
    task = small((*"abcdefghijklmnop", "q1"), cyclic=True)
    listed = ", ".join(map(repr, "abcdefghijkl"))
    assert refusal(task, digit_by_digit(task)).endswith(f"these fit: {listed} and 4 more; {BESIDE}")


def test_where_the_first_words_fit_the_n_that_keeps_to_them_is_said_and_works() -> None:
    task = small(("a", "b", "c", "d1", "e"))
    text = f"these fit: 'a', 'b', 'c', 'e'; n = 2 keeps to the first of them; {BESIDE}"
    assert refusal(task, digit_by_digit(task)).endswith(text)
    assert tokenize(replace(task, n=2), digit_by_digit(task), n_ctx=None).answers == ("b", "c")


def test_only_the_words_in_use_must_fit() -> None:
    task = small(("a", "b", "c", "d1"), n=2)
    assert tokenize(task, digit_by_digit(task), n_ctx=None).lengths == (5, 5)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?<= a) y z| ?[a-z]", "'x a y z' and 'x b y z' are 3 and 4 tokens; every prompt must have the same length"),
        ("(?<= a) y z|(?<= b y) z$| ?[a-z]", "are 3 and 4 tokens"),
    ],
)
def test_prompts_cut_differently_are_an_error(pattern: str, text: str) -> None:
    assert text in refusal(small(), cut_by(pattern, small()))


def test_prompts_that_differ_beside_the_subject_are_an_error() -> None:
    task = small(template="x {s} y z w")
    text = "'x a y z w' and 'x b y z w' differ beside the subject, in ' y z' and ' y'; set the slot apart by spaces"
    assert text in refusal(task, cut_by("(?<= a) y z|(?<= b y) z w| ?[a-z]", task))


def test_a_subject_that_moves_is_an_error() -> None:
    task = small(("a", "b"), template="w x {s} y z", cyclic=True)
    assert "differ beside the subject" in refusal(task, cut_by("w x(?= a)|(?<= b) y z| ?[a-z]", task))


def test_an_answer_that_changes_the_prompt_is_an_error() -> None:
    text = "'a' changes the tokens of 'x a y z' before it; end the template at a whole word"
    assert text in refusal(small(), cut_by(" z [a-z]| ?[a-z]", small()))


def test_a_word_cut_in_two_ways_is_an_error() -> None:
    task = small(("aa", "bb"), cyclic=True)
    tokenizer = cut_by("(?<= bb y z) a(?=a$)| ?[a-z]+", task)
    text = "'aa' is ' aa' after one prompt and ' a', 'a' after 'x bb y z'; end the template at a whole word"
    assert text in refusal(task, tokenizer)


def test_an_unknown_word_is_named() -> None:
    text = "task 'small': this tokenizer does not know 'c'; try other words or another model"
    assert refusal(small(), whole_words(small(), known="x a b y z a b")) == text


def test_words_that_are_one_token_are_named() -> None:
    task = small(("b", "B", "c"))
    tokenizer = whole_words(task, lowercase=True)
    token = tokenizer.convert_tokens_to_ids("Ġb")
    assert refusal(task, tokenizer) == (
        f"task 'small': 'b' and 'B' are the same token here, ' b' ({token}); keep one of them"
    )


def test_a_prompt_longer_than_the_context_is_an_error() -> None:
    assert tokenize(days(), whole_words(days()), n_ctx=8).lengths == (8,) * 7
    text = "task 'days': its prompts are 8 tokens and the model takes 7; shorten the template"
    assert refusal(days(), whole_words(days()), n_ctx=7) == text


def test_a_tokenizer_without_offsets_is_refused() -> None:
    text = "a SimpleNamespace does not say which characters a token stands for; use a fast tokenizer"
    assert text in refusal(days(), SimpleNamespace(is_fast=False))


def test_a_piece_of_a_character_is_shown_as_its_bytes() -> None:
    tokenizer = byte_level("é", " é")
    shown = [readable(tokenizer, token) for token in range(len(tokenizer))]
    assert {f"<0x{byte:02X}>" for byte in range(0x80, 0x100)} <= set(shown)
    assert {"A", " ", "\n", "é", " é"} <= set(shown)
    pieces = gpt2()(" 星", add_special_tokens=False)["input_ids"]
    assert [readable(gpt2(), i) for i in pieces] == [" <0xE6>", "<0x98>", "<0x9F>"]


def test_a_byte_of_sentencepiece_is_shown_as_a_byte_and_the_letter_as_a_letter() -> None:
    tokenizer = with_bytes("A", "▁A")
    by_entry = {entry: readable(tokenizer, token) for entry, token in tokenizer.get_vocab().items()}
    assert (by_entry["<0x41>"], by_entry["A"], by_entry["▁A"], by_entry["<0xE4>"]) == ("<0x41>", "A", " A", "<0xE4>")


@pytest.mark.parametrize(
    "tokenizer",
    [
        byte_level("é", " é", "\ufffd", "<0xE9>", "<0x3C>0xE9>", "¢", "a¢", " ", "  ", "\u00a0"),
        with_bytes("A", "▁A", "▁", "▁▁", "▁▁▁", "▁▁A", "\ufffd", "é", "▁é"),
        sentencepiece("A", "▁A", "▁", "▁▁", "▁▁A", "<0xE9>", "<0x3C>0xE9>"),
    ],
    ids=["byte-level", "sentencepiece with bytes", "sentencepiece"],
)
def test_no_two_tokens_of_a_vocabulary_are_shown_alike_nor_with_the_sign_for_what_cannot_be_read(
    tokenizer: Any,
) -> None:
    shown = [readable(tokenizer, token) for token in range(len(tokenizer))]
    assert len(set(shown)) == len(shown)
    assert "\ufffd" not in "".join(shown)


def test_no_two_tokens_of_gpt2_are_shown_alike() -> None:
    shown = [readable(gpt2(), token) for token in range(len(gpt2()))]
    assert len(set(shown)) == len(shown)
    assert "\ufffd" not in "".join(shown)


def test_a_token_beyond_the_vocabulary_is_shown_as_its_number() -> None:
    tokenizer = whole_words(days())
    assert readable(tokenizer, len(tokenizer) + 7) == f"[{len(tokenizer) + 7}]"
