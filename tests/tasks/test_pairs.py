"""Rows of right and wrong answers become tokens as they stand, or the error names the row and its column."""

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from task_tokenizers import knowing
from vitro.tasks import Listed, Pair, Pairs, Questions, TaskError, Token, preview

MARY = Pair(
    "When Mary met John, John spoke to",
    (" Mary",),
    (" John",),
    "When Mary met John, Anna spoke to",
    marks={"IO": (5, 9)},
)
ANNA = Pair(
    "Later Anna met John at home. John ran to", (" Anna",), (" John",), "Later Anna met John at home. Mary ran to",
    marks={"IO": (6, 10)},
)  # fmt: skip
TOKENIZER = knowing(MARY.clean, ANNA.clean, "a Mary-Ann John-Ann 33 34")


def task(*rows: Pair, **options: Any) -> Pairs:
    return Pairs("small", rows or (MARY, ANNA), **options)


def row_of(**parts: Any) -> Pair:
    return replace(MARY, **parts)


def asked(*rows: Pair, **options: Any) -> Questions:
    return task(*rows, **options).questions(TOKENIZER, None)


def ids(text: str) -> tuple[int, ...]:
    return tuple(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def test_rows_are_asked_in_their_own_tokens_whatever_their_lengths() -> None:
    questions = asked()
    bos = (TOKENIZER.bos_token_id,)
    assert questions.tokens == (bos + ids(MARY.clean), bos + ids(ANNA.clean))
    assert questions.partner == (bos + ids(str(MARY.corrupt)), bos + ids(str(ANNA.corrupt)))
    assert not questions.one_length
    assert questions.right == (ids(" Mary"), ids(" Anna"))
    assert questions.wrong == (ids(" John"), ids(" John"))
    assert (questions.labels, questions.answers, questions.others) == (
        ("1: Mary", "2: Anna"), ("Mary", "Anna"), ("John", "John"),
    )  # fmt: skip
    assert questions.marks == {"IO": (2, 2), "final": (len(questions.tokens[0]) - 1, len(questions.tokens[1]) - 1)}
    assert (questions.among, questions.groups, questions.notes) == ((), (), ())


def test_without_a_bos_token_none_is_prepended() -> None:
    tokenizer = knowing(MARY.clean, bos=None)
    questions = task(MARY).questions(tokenizer, None)
    assert questions.tokens[0] == tuple(tokenizer(MARY.clean, add_special_tokens=False)["input_ids"])
    assert questions.marks["IO"] == (1,)


def test_a_mark_is_at_the_last_token_of_its_characters_or_at_the_token_that_it_names() -> None:
    row = Pair("Mary-Ann met John at home. John ran to", (" Mary",), (" John",), marks={"name": (0, 8), "at": 5})
    tokens = [TOKENIZER.decode([token]) for token in asked(row).tokens[0]]
    positions = {name: at[0] for name, at in asked(row).marks.items()}
    assert tokens[positions["name"]] == "Ann"
    # without BOS, which is the first of the tokens
    assert positions["at"] == 6


def test_several_right_and_wrong_answers_are_all_asked_each_token_once() -> None:
    row = replace(MARY, right=(" Mary", " Anna"), wrong=(" John", " home", Token(ids(" John")[0], " John")))
    questions = asked(row)
    assert questions.right[0] == ids(" Mary") + ids(" Anna")
    assert questions.wrong[0] == ids(" John") + ids(" home")
    assert questions.others == ("John, home, John",)


def test_token_ids_are_asked_as_they_are_and_checked_against_their_texts() -> None:
    row = replace(MARY, right=(ids(" Mary")[0],), wrong=(Token(ids(" John")[0], " John"),))
    questions = asked(row)
    assert (questions.right, questions.wrong, questions.answers) == ((ids(" Mary"),), (ids(" John"),), ("Mary",))


def test_an_id_with_a_longer_text_is_its_first_token_and_a_note_says_so() -> None:
    questions = asked(replace(MARY, right=(Token(ids(" Mary")[0], " Mary-Ann"),)))
    assert questions.right == (ids(" Mary"),)
    assert questions.notes == (
        "of answers of several tokens the first is asked, in 1 of 1 rows: ' Mary-Ann' (' Mary', '-', 'Ann')",
    )


def test_first_token_asks_for_the_first_token_where_it_tells_right_from_wrong() -> None:
    row = replace(MARY, right=(" Mary-Ann",))
    assert asked(row, answer_tokens="first_token").right == (ids(" Mary"),)
    same = replace(MARY, right=(" John-Ann",))
    text = r"column 'wrong': ' John' is right and wrong at once, the first token of ' John-Ann'"
    with pytest.raises(TaskError, match=text):
        asked(same, answer_tokens="first_token")


def test_listed_answers_of_several_tokens_are_left_out_with_a_note() -> None:
    row = replace(MARY, right=(Listed(" Mary"), Listed(" Mary-Ann"), Listed(" nobody")))
    questions = asked(row)
    assert questions.right == (ids(" Mary"),)
    assert questions.notes == ("2 of 3 listed answers are not one token here and are left out: ' Mary-Ann', ' nobody'",)


def test_bad_rows_are_left_out_with_their_number_and_reason_where_that_is_asked_for() -> None:
    bad = replace(MARY, corrupt="When Mary met John, John spoke")
    questions = asked(MARY, bad, ANNA, bad_rows="skip")
    assert questions.labels == ("1: Mary", "3: Anna")
    (note,) = questions.notes
    assert note.startswith(
        "1 of 3 rows are left out: row 2 (Mary), column 'corrupt': the prompt is 8 tokens and its count"
    )
    with pytest.raises(TaskError, match="none of its 1 rows fits: row 1"):
        asked(bad, bad_rows="skip")


def test_many_rows_left_out_are_told_of_by_the_first_three() -> None:
    bad = replace(MARY, corrupt="When")
    (note,) = asked(MARY, *[bad] * 5, bad_rows="skip").notes
    assert note.startswith("5 of 6 rows are left out: row 2")
    assert note.endswith("; and 2 more")


def test_every_row_is_read_alone_however_many_are_encoded_at_once() -> None:
    draw = random.Random(0)
    rows = [draw.choice([MARY, ANNA]) for _ in range(2300)]
    together = asked(*rows)
    alone = {row.clean: asked(row) for row in (MARY, ANNA)}
    for i, row in enumerate(rows):
        (tokens,), (right,) = alone[row.clean].tokens, alone[row.clean].right
        assert (together.tokens[i], together.right[i], together.marks["IO"][i]) == (tokens, right, 2)


def test_marks_that_count_other_tokens_are_left_out_with_a_note() -> None:
    row = replace(MARY, marks={"IO": 1, "name": (5, 9)})
    assert asked(row, counted=8).marks["IO"] == (2,)
    questions = asked(row, counted=9)
    assert set(questions.marks) == {"name", "final"}
    assert questions.notes == (
        "its marks are left out: they count the tokens of another tokenizer, 9 in a prompt where this one has 8",
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean": ""}, "column 'clean': the prompt is empty"),
        (
            {"corrupt": "When Mary"},
            "column 'corrupt': the prompt is 8 tokens and its counterfactual 2; they must be of one",
        ),
        ({"corrupt": None}, "column 'corrupt': some rows have a counterfactual and some have none"),
        ({"right": ()}, "column 'right': there is no answer"),
        ({"wrong": ()}, "column 'wrong': there is no answer"),
        (
            {"right": (" Mary-Ann",)},
            "column 'right': ' Mary-Ann' is 3 tokens here (' Mary', '-', 'Ann') and must be one; --first-token (",
        ),
        ({"right": (" Zoe",)}, "column 'right': this tokenizer does not know ' Zoe'; try other words"),
        ({"right": ("gether",)}, "column 'right': 'gether' changes the tokens of the prompt before it"),
        ({"right": ("",)}, "column 'right': '' changes the tokens"),
        (
            {"right": (" Mary", " John")},
            "column 'wrong': ' John' is right and wrong at once; an answer can be only one",
        ),
        ({"right": (99_999,)}, "column 'right': this tokenizer has no token 99999; the ids are another tokenizer's"),
        ({"right": (-1,)}, "this tokenizer has no token -1"),
        ({"right": (Token(4, " Mary"),)}, "column 'right': token 4 is ' met' here and ' Mary' begins with ' Mary' ("),
        ({"right": (2**40,)}, "this tokenizer has no token 1099511627776"),
        ({"right": (Listed(" Zoe"),)}, "column 'right': none of its answers is one token here (' Zoe', ...)"),
        ({"marks": {"IO": 8}}, "column 'marks': mark 'IO' is token 8, and the prompt has 8, from 0 to 7"),
        ({"marks": {"IO": (5, 99)}}, "column 'marks': mark 'IO' is characters 5 to 99, and the prompt has 33"),
        ({"marks": {"IO": (7, 9)}}, "column 'marks': mark 'IO' is 'ry', which begins inside the token ' Mary'"),
        ({"marks": {"IO": (5, 5)}}, "mark 'IO' is characters 5 to 5"),
        ({"marks": {"S": (5, 9)}}, "column 'marks': its marks are 'S', and those of the first row 'IO'"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_column(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as caught:
        asked(ANNA, replace(MARY, **changed))
    assert str(caught.value).startswith("task 'small': row 2 (")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "IO]", "all", "elsewhere"])
def test_a_mark_that_no_pin_could_name_is_refused(name: str) -> None:
    with pytest.raises(TaskError, match=re.escape(f"the mark {name!r} is no name that will do")):
        asked(replace(MARY, marks={name: 1}))


def test_a_prompt_longer_than_the_context_is_named() -> None:
    assert len(task().questions(TOKENIZER, 11)) == 2
    with pytest.raises(
        TaskError, match=r"row 2 \(Anna\), column 'clean': the prompt is 11 tokens and the model takes 10"
    ):
        task().questions(TOKENIZER, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pairs("small", ()), "task 'small' has no rows"),
        (lambda: Pairs("../up", (MARY,)), "will not do for a folder"),
        (lambda: task(answer_tokens="last"), "answer_tokens is 'last'; it must be whole or first_token"),
        (lambda: task(bad_rows="keep"), "bad_rows is 'keep'; it must be refuse or skip"),
        (lambda: row_of(right=" Mary"), "right is ' Mary'; it must be a list of answers, such as [' Mary']"),
        (lambda: row_of(wrong=5), "wrong is 5; it must be a list of answers"),
        (lambda: row_of(wrong=(None,)), "wrong has the answer None; it must be a text or a token's id"),
        (lambda: row_of(right=(True,)), "right has the answer True"),
        (lambda: row_of(clean=5), "clean is 5; it must be a text"),
        (lambda: row_of(corrupt=5), "corrupt is 5; it must be a text"),
        (lambda: row_of(marks=["IO"]), "marks is ['IO']; it must be names with places"),
        (lambda: row_of(marks={"IO": "Mary"}), "mark 'IO' is 'Mary'; it must be a token's number, or characters"),
        (lambda: Pairs("small", ({"clean": "a"},)), "a row is {'clean': 'a'}; it must be a Pair"),  # type: ignore
        (lambda: asked(row_of(clean="a\ud800")), "'a\\ud800' holds half of a character"),
    ],
)
def test_a_task_that_cannot_be_is_told_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        make()
    assert message in str(caught.value)


def test_a_tasks_identity_is_small_and_follows_its_rows_and_settings() -> None:
    assert len(json.dumps(task(*[MARY] * 5000).identity())) < 300
    tasks = [
        task(), task(ANNA, MARY), task(MARY), task(answer_tokens="first_token"), task(bad_rows="skip"),
        task(replace(MARY, marks={}), replace(ANNA, marks={})), task(MARY, replace(ANNA, wrong=(" Mary",))),
    ]  # fmt: skip
    assert len({json.dumps(other.identity()) for other in tasks}) == len(tasks)
    assert task().identity() == task(typed="elsewhere.csv").identity()


def test_a_pair_task_says_how_many_rows_it_has_and_has_no_paraphrases() -> None:
    assert task().paraphrased == ()
    assert task().facts() == {"Rows": "2", "First prompt": MARY.clean, "Its counterfactual": MARY.corrupt}


def test_a_mean_is_over_the_counterfactual_prompts_where_all_are_of_one_length() -> None:
    questions = asked(MARY, replace(MARY, corrupt="When Mary met John, Mary spoke to"))
    mean = task(MARY).sentences(questions, TOKENIZER, 5, 0)["mean"]
    assert tuple(map(tuple, mean.tolist())) == questions.partner
    assert task().sentences(asked(), TOKENIZER, 5, 0) == {}
    alone = replace(MARY, corrupt=None)
    both = asked(alone, replace(alone, clean="When Mary met John, Mary spoke to"))
    assert tuple(map(tuple, task(MARY).sentences(both, TOKENIZER, 5, 0)["mean"].tolist())) == both.tokens
    # the mean of one prompt is itself, and replaces nothing
    assert task(MARY).sentences(asked(alone), TOKENIZER, 5, 0) == {}


def test_a_preview_shows_the_first_prompts_in_tokens() -> None:
    shown = preview(task(), TOKENIZER, None, first=1)
    assert (shown.total, shown.notes) == (2, ())
    (row,) = shown.rows
    assert (row.prompt, row.counterfactual) == (MARY.clean, MARY.corrupt)
    assert row.tokens[:3] == ("<s>", "When", " Mary")
    assert (row.marks, row.right, row.wrong) == ({"IO": 2, "final": 8}, (" Mary",), (" John",))
    assert (row.label, row.answer, row.other) == ("1: Mary", "Mary", "John")
    assert len(preview(task(), TOKENIZER, None, first=9).rows) == 2
