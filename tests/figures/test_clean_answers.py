import xml.etree.ElementTree as ET

import pytest

from figures.ablation_tables import DAYS_SAID, HOSTILE, clean, questions
from vitro.figures import Figure, clean_answers, readable, to_spec, to_svg

DAYS = [" Monday", " Tuesday", " Wednesday"]


def figure(subjects: list[str], wrong: frozenset[int] = frozenset()) -> Figure:
    return clean_answers(clean(subjects, wrong), questions(subjects), DAYS_SAID)


def rows(spec: dict[str, dict[str, list[dict[str, object]]]]) -> list[dict[str, object]]:
    return max(spec["datasets"].values(), key=len)


def test_each_prompt_is_a_line_named_after_subject_and_answer_in_the_order_of_the_table() -> None:
    shown = rows(to_spec(clean_answers(clean(DAYS).reverse(), questions(DAYS), DAYS_SAID)))
    assert [row["label"] for row in shown] == ["Monday → Tuesday", "Tuesday → Wednesday", "Wednesday → Monday"]


def test_a_prompt_answered_wrongly_has_a_colour_of_its_own_and_names_the_token_on_top() -> None:
    shown = rows(to_spec(figure(DAYS, wrong=frozenset({1}))))
    assert shown[0]["outcome"] == shown[2]["outcome"] != shown[1]["outcome"]
    assert [row["top"] for row in shown] == ["␣Tuesday", "␣the", "␣Monday"]
    assert "top token on 2 of 3 prompts" in to_svg(figure(DAYS, wrong=frozenset({1})))


def test_prompts_with_the_same_words_keep_a_line_each() -> None:
    shown = rows(to_spec(figure([" x", " x"])))
    assert [row["label"] for row in shown] == ["x → x (prompt 0)", "x → x (prompt 1)"]


@pytest.mark.parametrize("count", [2, 12, 100])
def test_every_prompt_is_labelled_however_many_there_are(count: int) -> None:
    drawing = ET.fromstring(to_svg(figure([f" {number}" for number in range(count)])))
    assert "".join(drawing.itertext()).count(" → ") == count


def test_hostile_tokens_are_drawn_as_readable_text_in_well_formed_svg() -> None:
    drawing = ET.fromstring(to_svg(figure(HOSTILE)))
    texts = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
    # Long tokens end in an ellipsis; the others are there whole.
    assert {readable(token) for token in HOSTILE if len(token) < 15} <= texts
