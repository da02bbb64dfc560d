"""The files that circuit work is done with are read as they are; two rows of each are checked by hand."""

from pathlib import Path

import pytest

from task_tokenizers import gpt2
from vitro.tasks import PreviewRow, TaskError, named, preview

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "field-files"


def rows(name: str, *, total: int = 40, notes: int = 0, counterfactual: str | None = None) -> tuple[PreviewRow, ...]:
    if not (FOLDER / name).is_file():
        pytest.skip(f"{name} is not in {FOLDER}")
    shown = preview(named(str(FOLDER / name), counterfactual=counterfactual), gpt2(), 1024, first=4)
    assert (shown.total, len(shown.notes)) == (total, notes)
    return shown.rows


def marks(row: PreviewRow) -> dict[str, str]:
    return {name: row.tokens[at] for name, at in row.marks.items()}


def test_eap_ig_ioi() -> None:
    first, second, *_ = rows("eap-ig-ioi.gpt2.csv")
    assert first.prompt == "When Amy and Laura got a snack at the house, Laura decided to give it to"
    assert first.counterfactual == "When Amy and Laura got a snack at the house, Nicholas decided to give it to"
    assert (first.right, first.wrong, first.label) == ((" Amy",), (" Laura",), "1: Amy")
    assert first.marks == {"IO": 2, "S1": 4, "S2": 12, "final": 17}
    assert (
        second.counterfactual == "Then, Danielle and Andrew had a lot of fun at the office. Jeremy gave a computer to"
    )
    assert (second.right, second.wrong) == ((" Danielle",), (" Andrew",))
    assert second.marks == {"IO": 3, "S1": 5, "S2": 15, "final": 19}


def test_eap_ig_ioi_against_the_other_name() -> None:
    first, second, *_ = rows("eap-ig-ioi.gpt2.csv", counterfactual="corrupted_hard")
    assert first.counterfactual == "When Amy and Laura got a snack at the house, Amy decided to give it to"
    assert (
        second.counterfactual == "Then, Danielle and Andrew had a lot of fun at the office. Danielle gave a computer to"
    )
    with pytest.raises(TaskError, match="there is no counterfactual 'hard'; the file has corrupted, corrupted_hard"):
        named(str(FOLDER / "eap-ig-ioi.gpt2.csv"), counterfactual="hard")


@pytest.mark.parametrize("name", ["eap-ig-greater-than.gpt2.csv", "eap-ig-greater-than.label.csv"])
def test_eap_ig_greater_than(name: str) -> None:
    first, second, *_ = rows(name)
    assert first.prompt == "The contract lasted from the year 1352 to the year 13"
    assert first.counterfactual == "The contract lasted from the year 1301 to the year 13"
    assert first.right == tuple(str(year) for year in range(53, 100))
    assert first.wrong == tuple(f"{year:02d}" for year in range(53))
    assert marks(first) == {"year": "52", "final": " 13"}
    assert (second.answer, second.other) == ("43 to 99", "00 to 42")
    assert (len(second.right), len(second.wrong)) == (57, 43)


def test_eap_ig_gender_bias() -> None:
    first, _, third, _ = rows("eap-ig-gender-bias.gpt2.csv")
    assert (first.prompt, first.counterfactual) == ("The poet was promoted because", "The man was promoted because")
    assert (first.right, first.wrong) == ((" she",), (" he",))
    assert (third.prompt, third.right, third.wrong) == ("The banker wished that", (" he",), (" she",))


def test_eap_ig_fact_retrieval() -> None:
    first, _, _, fourth = rows("eap-ig-fact-retrieval.gpt2.csv", notes=1)
    assert (first.prompt, first.counterfactual) == (" Kabul, the capital of", " London, the capital of")
    assert (first.right, first.wrong) == ((" Afghanistan",), (" United",))
    # Andorra is several tokens; the file asks for the first
    assert (fourth.right, fourth.wrong, fourth.answer) == ((" And",), (" Brune",), "Andorra")


def test_eap_ig_hypernymy() -> None:
    first, second, *_ = rows("eap-ig-hypernymy.gpt2.csv")
    assert (first.prompt, first.counterfactual) == (", gemstones and other", ", vice presidents and other")
    assert (first.right, first.wrong) == ((" gem", " gems"), (" elected", " politicians"))
    assert (second.right, second.wrong) == ((" relatives", " family"), (" insects", " insect", " bugs"))


def test_eap_ig_agreement() -> None:
    first, second, *_ = rows("eap-ig-sva.gpt2.csv")
    assert (first.prompt, first.counterfactual) == ("The poems that the skater likes", "The poem that the skater likes")
    assert first.group == "ML-obj_rel_across_inanim_all"
    assert {" are", " have", " say"} < set(first.right)
    assert {" is", " has", " says"} < set(first.wrong)
    assert (second.prompt, second.right, second.wrong) == ("The song that the chef likes", first.wrong, first.right)


def test_auto_circuit_capital_cities() -> None:
    first, second, *_ = rows("auto-circuit-capital-cities.json", total=16)
    assert first.prompt == "The capital of Austria is the city of"
    assert first.counterfactual == "The capital of Ireland is the city of"
    assert (first.right, first.wrong, first.marks) == ((" Vienna",), (" Dublin",), {"final": 8})
    assert (second.right, second.wrong) == ((" Santiago",), (" Stockholm",))


def test_auto_circuit_ioi() -> None:
    first, second, *_ = rows("auto-circuit-ioi.json")
    assert first.counterfactual == "Then, Michael and Anderson went to the hospital. Rachel gave a snack to"
    assert (first.right, first.wrong) == ((" Scott",), (" Jeremy",))
    assert marks(first) == {
        "IO": " Scott", "IO-1": ",", "IO+1": " and", "S1": " Jeremy", "S1-1": " and", "S1+1": " went", "S2": " Jeremy",
        "end": " to", "starts": "Then", "punct": ".", "final": " to",
    }  # fmt: skip
    assert (second.right, second.wrong, marks(second)["IO"]) == ((" Stephen",), (" Victoria",), " Stephen")


def test_auto_circuit_docstring() -> None:
    first, second, *_ = rows("auto-circuit-docstring.json", total=20, notes=1)
    assert first.prompt.startswith("\ndef old(self, first, files, page, names, size, read):\n")
    assert (first.right, len(first.wrong), first.wrong[:2]) == ((" size",), 13, (" instance", " project"))
    # its positions are those of a tokenizer with another way with white space
    assert set(first.marks) == {"final"}
    assert (second.right, len(second.wrong)) == ((" state",), 13)
