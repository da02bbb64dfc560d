import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures.ablation_tables import HOSTILE
from vitro.figures import readable
from vitro.figures.tokens import word


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" Tuesday", "␣Tuesday"),
        ("Tuesday", "Tuesday"),
        ("  ", "␣␣"),
        ("a b ", "a b␣"),
        ("a  b", "a␣␣b"),
        ("␣", r"\u2423"),
        (r"\n", r"\\n"),
        ("e\u0301", r"e\u0301"),
        ("\u00e9", "\u00e9"),
        ("\n\n", r"\n\n"),
        ("\t", r"\t"),
        ("\x00", r"\u0000"),
        ("\u202eabc", r"\u202eabc"),
        ("\u2028", r"\u2028"),
        ("\u00a0", r"\u00a0"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("\ufffd", "\ufffd"),
        ("<b>", "<b>"),
        ("", ""),
    ],
)
def test_a_token_is_shown_with_everything_invisible_spelled_out(token: str, shown: str) -> None:
    assert readable(token) == shown


def test_right_to_left_letters_stand_between_left_to_right_marks() -> None:
    assert readable(" שלום") == "\u200e␣שלום\u200e"


def test_a_word_loses_the_one_space_that_its_template_gives_it() -> None:
    assert [word(" Monday"), word("  Monday"), word(" ")] == ["Monday", "␣Monday", "␣"]


@given(st.lists(st.text(st.sampled_from(" ␣\\nu0x2423\n\u0301e\u00e9\u212b\u00c5\u200e\u05d0")), unique=True))
def test_no_two_tokens_are_shown_alike(tokens: list[str]) -> None:
    assert len({unicodedata.normalize("NFC", readable(token)) for token in tokens}) == len(tokens)


@given(st.one_of(st.text(st.characters(exclude_categories=[])), st.sampled_from(HOSTILE)))
def test_nothing_shown_is_a_control_character_or_a_surrogate(token: str) -> None:
    shown = readable(token).replace("\u200e", "")
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    readable(token).encode("utf-8")
