"""A task is a template, its words in order, and nothing that cannot be asked."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitro.errors import VitroError
from vitro.tasks import BUILTIN, Successors, TaskError, days, months, numbers

WORDS = st.lists(st.text("abcdéЖ", min_size=1), min_size=2, max_size=8, unique=True).map(tuple)


def letters(**changed: Any) -> Successors:
    fields: dict[str, Any] = {"name": "letters", "template": "After {letter} comes", "words": ("A", "B", "C")}
    return Successors(**(fields | changed))


@given(words=WORDS, cyclic=st.booleans(), data=st.data())
def test_each_answer_is_the_word_after_its_subject(words: tuple[str, ...], cyclic: bool, data: Any) -> None:
    most = len(words) if cyclic else len(words) - 1
    n = data.draw(st.none() | st.integers(1, most))
    task = letters(words=words, cyclic=cyclic, n=n)
    assert task.subjects == words[: most if n is None else n]
    following = dict(zip(words, words[1:] + words[:1], strict=True))
    assert task.answers == tuple(following[subject] for subject in task.subjects)
    assert task.answer_list == (words if cyclic else task.answers)


@given(before=st.text("ab .", max_size=5), word=st.text("xyz", min_size=1), after=st.text("ab.", max_size=5))
def test_the_subject_stands_where_its_span_says(before: str, word: str, after: str) -> None:
    task = letters(template=f"{before}{{slot}}{after}", words=(word, f"{word}2"))
    start, end = task.subject_span(word)
    text = task.fill(word)
    assert (text[:start], text[start:end], text[end:]) == (before, word, after)


@given(template=st.text("ab {}\n"))
def test_any_text_is_a_template_with_one_slot_or_an_error(template: str) -> None:
    try:
        task = letters(template=template)
    except TaskError:
        return
    assert template.count("{") == template.count("}") == 1
    assert template == template.rstrip()
    assert task.prompts[0] == template.replace(f"{{{task.slot}}}", "A")


def test_the_template_may_use_any_name_for_its_slot() -> None:
    assert letters(template="After {größe_2} comes").slot == "größe_2"


def test_lists_become_tuples_so_that_a_task_is_a_value() -> None:
    assert letters(words=["A", "B"], content=["comes"]) == letters(words=("A", "B"), content=("comes",))
    assert hash(letters(words=["A", "B"])) == hash(letters(words=("A", "B")))


def test_content_counts_every_whole_word() -> None:
    task = letters(template="If this month is {x}, next month is monthly", content=("month",))
    text = task.fill("A")
    assert [text[a:b] for a, b in task.content_spans("A")] == ["month", "month"]
    assert [a for a, _ in task.content_spans("A")] == [8, 25]


def test_content_never_lies_in_the_subject() -> None:
    task = letters(template="From next {x}", words=("next", "last"), content=("next",))
    assert task.content_spans("next") == ((5, 9),)


def test_content_left_out_is_every_word_outside_the_slot() -> None:
    task = letters(template="It's the {x}th, and the next: is")
    assert task.content == ("It's", "the", "and", "next", "is")
    assert letters(template="{x}").content == ()


def test_content_may_be_none_at_all_or_a_sign() -> None:
    assert letters(content=()).content_spans("A") == ()
    assert len(letters(template="A, {x}, C, then", content=(",",)).content_spans("A")) == 3


def test_days_months_and_numbers_are_those_of_the_post() -> None:
    assert days().prompts[0] == "If today is Monday, tomorrow is"
    assert days().answers[-1] == "Monday"
    assert days().content == ("today", "tomorrow")
    assert months().prompts[11] == "If this month is December, next month is"
    assert len(months().content_spans("May")) == 4
    assert numbers().prompts[9] == "If 10 then"
    assert numbers(100).answers == tuple(str(i) for i in range(2, 102)) == numbers(100).answer_list
    assert [make().name for make in BUILTIN.values()] == ["days", "months", "numbers-10"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ""}, "task name '' will not do for a folder; use letters, digits, - and _"),
        ({"name": "../up"}, "task name '../up' will not do"),
        ({"name": "a\n"}, r"task name 'a\n' will not do"),
        ({"name": 3}, "a task's name must be a text, and this one is 3"),
        ({"template": "After"}, "the template 'After' has no slot; write one {slot}"),
        ({"template": ""}, "the template '' has no slot"),
        ({"template": "{a} and {b} are"}, "has 2 slots, {a} and {b}; keep one"),
        ({"template": "After {a comes"}, "has a brace without its partner"),
        ({"template": "After a} comes"}, "has a brace without its partner"),
        ({"template": "After {{a}} comes"}, "has a brace without its partner"),
        ({"template": "After {} comes"}, "has {} for a slot; a name goes between the braces"),
        ({"template": "After {a b} comes"}, "has {a b} for a slot"),
        ({"template": "After {a} comes "}, "ends in white space; end it at its last word"),
        ({"template": "After {a} comes\n"}, "ends in white space"),
        ({"template": None}, "the template must be a text, and it is None"),
        ({"words": ()}, "words has 0; a task needs at least two"),
        ({"words": ("A",)}, "words has 1; a task needs at least two"),
        ({"words": ("A", "B", "A")}, "words holds 'A' twice; name each word once"),
        ({"words": ("A", "")}, "words holds an empty word at place 2; leave it out"),
        ({"words": ("A", " ")}, "words holds an empty word at place 2"),
        ({"words": ("A", " B")}, "words holds ' B'; write it without the space around it, 'B'"),
        ({"words": ("A", 2)}, 'words holds 2, which is not a text; write it in quotes, "2"'),
        ({"words": "AB"}, "words must be a list of texts, and it is 'AB'"),
        ({"words": 3}, "words must be a list of texts, and it is 3"),
        ({"cyclic": "yes"}, "cyclic is 'yes'; it must be true or false"),
        ({"n": 0}, "n is 0; its words give 1 to 2 prompts"),
        ({"n": 3}, "n is 3; its words give 1 to 2 prompts"),
        ({"n": 4, "cyclic": True}, "n is 4; its words give 1 to 3 prompts"),
        ({"n": True}, "n is True; it must be a whole number"),
        ({"n": 1.0}, "n is 1.0; it must be a whole number"),
        ({"content": ("come",)}, "content word 'come' is not in the template 'After {letter} comes' as a word"),
        ({"content": ("letter",)}, "its words are 'After', 'comes'"),
        ({"content": ("comes", "comes")}, "content holds 'comes' twice"),
        ({"content": "comes"}, "content must be a list of texts"),
    ],
)
def test_what_cannot_be_asked_is_named_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as caught:
        letters(**changed)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, VitroError)


@pytest.mark.parametrize("n", [0, -1, 10_001, True, "10"])
def test_numbers_counts_from_one_to_a_limit(n: Any) -> None:
    with pytest.raises(TaskError, match=r"n is .*; it must be a whole number from 1 to 10000"):
        numbers(n)


def test_paraphrases_ask_the_same_words_by_another_template() -> None:
    task = Successors(
        "days", "If today is {day}, tomorrow is", ("Monday", "Tuesday"), paraphrases=("After {day} comes",)
    )
    (other,) = task.paraphrased
    assert other.prompts == ("After Monday comes",)
    assert (other.words, other.cyclic, other.answers) == (task.words, task.cyclic, task.answers)
    assert other.content == ("After", "comes")


@pytest.mark.parametrize("make", BUILTIN.values(), ids=BUILTIN)
def test_every_builtin_task_can_be_asked_in_eight_other_ways(make: Callable[[], Successors]) -> None:
    task = make()
    assert len({task.template, *task.paraphrases}) == 9
    assert all(other.subjects == task.subjects for other in task.paraphrased)


@pytest.mark.parametrize("paraphrase", ["no slot", "two {a} {b}", "ends in space {a} "])
def test_a_paraphrase_is_checked_as_the_template_is(paraphrase: str) -> None:
    with pytest.raises(TaskError):
        Successors("x", "After {a} comes", ("b", "c"), paraphrases=(paraphrase,))
