"""Every form of file is read by its columns, and what is wrong with one is told by its row, its line or its column."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_tokenizers import knowing
from vitro.tasks import Listed, Pair, Pairs, TaskError, Token, named
from vitro.tasks.forms import FORMS
from vitro.tasks.pairs import MOST_ROWS

OWN: dict[str, Any] = {
    "clean": "When Mary met John, John spoke to",
    "corrupt": "When Mary met John, Anna spoke to",
    "right": " Mary",
    "wrong": " John",
}
IOI = {
    "": "826",
    "clean": OWN["clean"],
    "corrupted": OWN["corrupt"],
    "corrupted_hard": "When Mary met John, Mary spoke to",
    "correct_idx": "7",
    "incorrect_idx": "9",
}
YEARS = {
    "clean": "The war lasted from the year 1732 to the year 17",
    "corrupted": "The war lasted from the year 1701 to the year 17",
}
MIB_IOI: dict[str, Any] = {
    "prompt": OWN["clean"],
    "template": "{name_A} met {name_B}",
    "metadata": {"indirect_object": "Mary", "subject": "John", "random_c": "Anna"},
    "choices": ["John", "Mary"],
    "answerKey": 1,
    "abc_counterfactual": {"prompt": "When Anna met Tom, Paul spoke to", "choices": ["Anna", "Tom"], "answerKey": 0},
    "s2_io_flip_counterfactual": {
        "prompt": "When Mary met John, Mary spoke to", "choices": ["John", "Mary"], "answerKey": 0,
    },
}  # fmt: skip
MIB_CHOICES: dict[str, Any] = {
    "prompt": "A box is green. What colour is it? A. green B. red Answer:",
    "choices": {"label": ["A", "B"], "text": ["green", "red"]},
    "answerKey": 0,
    "symbol_counterfactual": {
        "prompt": "A box is green. What colour is it? C. green D. red Answer:",
        "choices": {"label": ["C", "D"], "text": ["green", "red"]},
        "answerKey": 0,
    },
}
MIB_SUM: dict[str, Any] = {
    "prompt": "4 + 5 = ", "label": "9", "operator": "+",
    "random_counterfactual": {"prompt": "1 + 2 = ", "label": "3"},
}  # fmt: skip


def csv_of(*rows: Mapping[str, Any], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def lines_of(*rows: Mapping[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Pairs]:
    def read(name: str, content: str | bytes, count: str = "", **options: Any) -> Pairs:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        task = named(f"{path}{count}", **options)
        assert isinstance(task, Pairs)
        return task

    return read


Read = Callable[..., Pairs]


def alike(row: Pair, **parts: Any) -> bool:
    return all(getattr(row, name) == part for name, part in parts.items())


def test_our_own_rows_are_read_from_every_kind_of_file(read: Read, tmp_path: Path) -> None:
    rows = [{**OWN, "label": "one"}, {**OWN, "label": "two"}]
    toml = "".join("[[rows]]\n" + "".join(f"{key} = {json.dumps(row[key])}\n" for key in row) for row in rows)
    frame = io.BytesIO()
    pl.DataFrame(rows).write_parquet(frame)
    kinds = {
        "a.csv": csv_of(*rows), "a.tsv": csv_of(*rows, delimiter="\t"), "a.jsonl": lines_of(*rows),
        "a.json": json.dumps(rows), "a.toml": toml, "a.parquet": frame.getvalue(), "b.CSV": csv_of(*rows),
    }  # fmt: skip
    expected = [
        Pair(OWN["clean"], (" Mary",), (" John",), OWN["corrupt"], label, number=i)
        for i, label in enumerate(("one", "two"), 1)
    ]
    for name, content in kinds.items():
        task = read(name, content)
        assert list(task.rows) == expected
        assert task.name == name.partition(".")[0]
        assert named(task.typed) == task


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_semicolons_are_read_all_the_same(read: Read, delimiter: str, mark: bytes) -> None:
    rows = [{**OWN, "label": "a, b; c"}]
    (row,) = read("a.csv", mark + csv_of(*rows, delimiter=delimiter).encode()).rows
    assert alike(row, clean=OWN["clean"], label="a, b; c")
    assert read("a.jsonl", mark + lines_of(OWN).encode()).rows[0].clean == OWN["clean"]


def test_a_prompt_may_hold_line_breaks_and_blank_lines_are_no_rows(read: Read) -> None:
    row = {**OWN, "clean": "def f(a):\n\n  return", "right": " a", "wrong": " b"}
    assert [row.clean for row in read("a.csv", csv_of(row) + "\r\n\r\n").rows] == ["def f(a):\n\n  return"]
    assert len(read("a.jsonl", "\n" + lines_of(OWN, OWN).replace("\n", "\n\n")).rows) == 2


def test_answers_are_texts_or_lists_or_ids_or_both(read: Read) -> None:
    rows = [
        {**OWN, "right": [" Mary", " Anna"]},
        {**OWN, "right": "[' Mary', ' Anna']"},
        {**OWN, "right": "[MASK]"},
        {**OWN, "right_id": 7, "wrong_id": [9]},
        {**OWN, "right": None, "right_id": "[7, 8]"},
    ]
    right = [row.right for row in read("a.jsonl", lines_of(*rows)).rows]
    assert right == [(" Mary", " Anna"), (" Mary", " Anna"), ("[MASK]",), (Token(7, " Mary"),), (7, 8)]


def test_marks_are_texts_or_characters_or_tokens(read: Read) -> None:
    marks = {"IO": "Mary", "S2": [20, 24], "first": 0}
    places = {"IO": (5, 9), "S2": (20, 24), "first": 0}
    assert read("a.jsonl", lines_of({**OWN, "marks": marks})).rows[0].marks == places
    assert read("a.csv", csv_of({**OWN, "marks": json.dumps(marks)})).rows[0].marks == places


def test_eap_ig_rows(read: Read) -> None:
    (ioi,) = read("a.csv", csv_of(IOI)).rows
    assert alike(ioi, right=(Token(7, " Mary"),), wrong=(Token(9, " John"),), corrupt=OWN["corrupt"])
    assert ioi.marks == {"IO": (5, 9), "S1": (14, 18), "S2": (20, 24)}
    assert read("a.csv", csv_of(IOI), counterfactual="corrupted_hard").rows[0].corrupt == IOI["corrupted_hard"]
    (plain,) = read("a.csv", csv_of({key: IOI[key] for key in IOI if key != "corrupted_hard"})).rows
    assert alike(plain, right=(7,), wrong=(Token(9, " John"),), marks={})
    for column in ("correct_idx", "label"):
        (later,) = read("a.csv", csv_of({**YEARS, column: "32"})).rows
        assert later.right == tuple(Listed(f"{year:02d}") for year in range(33, 100))
        assert later.wrong == tuple(Listed(f"{year:02d}") for year in range(33))
        assert later.marks == {"year": (31, 33)}
    common = {"clean": "The poet slept because", "corrupted": "The man slept because"}
    gender = {**common, "clean_answer_idx": "1", "corrupted_answer_idx": "2"}
    assert alike(read("a.csv", csv_of(gender)).rows[0], right=(1,), wrong=(2,))
    for label, words in (("0", (" she", " he")), ("1", (" he", " she"))):
        (row,) = read("a.csv", csv_of({**gender, "label": label})).rows
        assert (row.right, row.wrong) == ((Token(1, words[0]),), (Token(2, words[1]),))
    fact = {**common, "country": "Peru", "country_idx": "5", "corrupted_country": "Chad", "corrupted_country_idx": "6"}
    assert alike(read("a.csv", csv_of(fact)).rows[0], right=(Token(5, " Peru"),), wrong=(Token(6, " Chad"),))
    lists = {"answers": "['gem', 'gems']", "answers_idx": "[3, 4]", "corrupted_answers_idx": "[5]"}
    (row,) = read("a.csv", csv_of({**common, **lists})).rows
    assert (row.right, row.wrong) == ((Token(3, " gem"), Token(4, " gems")), (5,))
    (row,) = read("a.csv", csv_of({**common, "plural": "1", "group": "prep"})).rows
    assert (Listed(" are") in row.right, Listed(" is") in row.wrong, row.group) == (True, True, "prep")


def test_auto_circuits_document(read: Read) -> None:
    prompt = {
        "clean": OWN["clean"],
        "corrupt": OWN["corrupt"],
        "answers": [" Mary"],
        "wrong_answers": [" John", " Tom"],
    }
    task = read("a.json", json.dumps({"prompts": [prompt, prompt], "word_idxs": {"IO": 1, "end": 7}}))
    assert alike(task.rows[1], right=(" Mary",), wrong=(" John", " Tom"), marks={"IO": 1, "end": 7})
    assert task.counted == 8
    labelled = read("a.json", json.dumps({"prompts": [prompt], "seq_labels": ["a"] * 5, "word_idxs": {"IO": 1}}))
    assert labelled.counted == 5
    assert read("a.json", json.dumps({"prompts": [prompt]})).counted is None


@pytest.mark.parametrize("kind", ["a.jsonl", "a.parquet"])
def test_mib_rows(read: Read, kind: str) -> None:
    def content(row: dict[str, Any]) -> str | bytes:
        frame = io.BytesIO()
        pl.DataFrame([row]).write_parquet(frame)
        return lines_of(row) if kind == "a.jsonl" else frame.getvalue()

    (ioi,) = read(kind, content(MIB_IOI)).rows
    assert alike(ioi, right=(" Mary",), wrong=(" John",), corrupt="When Mary met John, Mary spoke to")
    assert (ioi.marks, ioi.group) == ({"IO": (5, 9), "S1": (14, 18), "S2": (20, 24)}, "{name_A} met {name_B}")
    (other,) = read(kind, content(MIB_IOI), counterfactual="abc_counterfactual").rows
    assert alike(other, wrong=(" John",), corrupt="When Anna met Tom, Paul spoke to")
    (choice,) = read(kind, content(MIB_CHOICES)).rows
    assert alike(choice, right=("A",), wrong=("C",), corrupt=MIB_CHOICES["symbol_counterfactual"]["prompt"])
    (letter,) = read(kind, content({**MIB_CHOICES, "answerKey": "B"})).rows
    assert letter.right == ("B",)
    (number,) = read(kind, content(MIB_SUM)).rows
    assert alike(number, right=("9",), wrong=("3",), corrupt="1 + 2 = ")


def test_only_the_first_rows_are_taken_where_that_is_asked_for(read: Read) -> None:
    rows = [{**OWN, "label": str(i)} for i in range(5)]
    task = read("my rows.csv", csv_of(*rows), ":3")
    assert ([row.label for row in task.rows], task.name) == (["0", "1", "2"], "my-rows-3")
    assert task.typed.endswith("my rows.csv:3")
    assert len(read("a.csv", csv_of(*rows), ":9").rows) == 5


def test_a_file_of_many_rows_says_how_to_take_fewer_and_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines_of({**OWN, "clean": "a long prompt " * 50}) * 100_000)
    tracemalloc.start()
    try:
        assert named(f"{path}:500").facts()["Rows"] == "500"
        with pytest.raises(
            TaskError, match=rf"more than {MOST_ROWS} rows; take the first of them, such as .*a\.jsonl:500"
        ):
            named(str(path))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < path.stat().st_size / 4


def test_bad_rows_are_left_out_in_reading_as_in_tokens(read: Read) -> None:
    tokenizer = knowing(OWN["clean"], OWN["corrupt"])
    rows = [OWN, {**OWN, "right": ""}, {**OWN, "corrupt": "When"}, {**OWN, "label": "last"}]
    questions = read("a.csv", csv_of(*[{"label": "", **row} for row in rows]), bad_rows="skip").questions(
        tokenizer, None
    )
    assert questions.labels == ("1: Mary", "last")
    (note,) = questions.notes
    assert note.startswith(
        "2 of 4 rows are left out: row 2, column 'right': there is no answer; row 3 (Mary), column 'corr"
    )


def test_errors_speak_of_the_files_own_columns(read: Read) -> None:
    task = read("a.csv", csv_of({**IOI, "correct_idx": "99999"}))
    with pytest.raises(
        TaskError, match=r"task 'a': row 1 \(Mary\), column 'correct_idx': this tokenizer has no token 99999"
    ):
        task.questions(knowing(OWN["clean"], OWN["corrupt"]), None)
    with pytest.raises(TaskError, match=r"column 'correct_idx': token 3 is .*the ids are another tokenizer's"):
        read("a.csv", csv_of({**IOI, "correct_idx": "3"})).questions(knowing("a", OWN["clean"], OWN["corrupt"]), None)


SUM_OF = {"prompt": "a", "label": "9", "operator": "+"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "clean,corrupt,right,wrong\n", "has no rows"),
        ("a.jsonl", "\n", "the file is empty"),
        ("a.json", "[]", "the file is empty"),
        ("a.json", '{"prompts": []}', "the file is empty"),
        ("a.csv", "text,answer\na,b\n", "its columns are text, answer; what would do: clean (Vitro's own form, w"),
        ("a.csv", csv_of({**OWN, "corupt": "x"}), "column 'corupt' is unknown; did you mean 'corrupt'? Its columns ar"),
        ("a.csv", csv_of({**IOI, "corrrect": "x"}), "; EAP-IG's ioi has clean, correct_idx, corrupted, incorrect_idx"),
        ("a.csv", csv_of({**IOI, "plural": "1"}), "of EAP-IG's ioi and EAP-IG's sva at once; keep those of one form"),
        ("a.csv", csv_of(OWN).replace("wrong", "right"), "column 'right' is there twice"),
        ("a.csv", csv_of(OWN) + "a,b\n", "row 2 has 2 cells and the header 4 columns"),
        ("a.csv", csv_of(OWN) + "x" * 200_000 + ",a,b,c\n", "line 3 is not CSV: field larger than field limit"),
        ("a.csv", "clean,right\r a, b\r", "line 1 is not CSV: its lines end as those of old Macs do; save it as UTF-8"),
        ("a.csv", "x" * 200_000 + "\n", "line 1 is not CSV: field larger than field limit"),
        ("a.csv", b"clean,right\n\xff,a\n", "line 2 is not UTF-8 text; save the file as UTF-8"),
        ("a.csv", csv_of(OWN).encode("utf-16"), "line 1 is not UTF-8 text"),
        ("a.jsonl", lines_of(OWN) + "{", "line 2: it is not valid JSON: "),
        ("a.jsonl", lines_of(OWN) + "3\n", "line 2 is no row: it must be names with values"),
        ("a.jsonl", lines_of({**OWN, "label": "\ud83d"}), "line 1: it holds half of a character (\\ud800 to"),
        ("a.jsonl", lines_of(OWN, {**IOI, "right": "a"}), "row 2 has the columns , clean, corrupted, corrupted_hard,"),
        ("a.jsonl", lines_of(IOI, OWN), "all rows must be of one form"),
        ("a.json", "{", "it is not valid JSON: "),
        ("a.json", '{"rows": []}', "a JSON file must hold a list of rows, or AutoCircuit's 'prompts'"),
        ("a.json", '{"prompts": [], "more": 1}', "key 'more' is unknown; AutoCircuit's are prompts, word_idxs and seq"),
        ("a.json", '{"prompts": [1]}', "row 1 is no row"),
        ("a.json", '{"prompts": [{}], "word_idxs": [1]}', "word_idxs is [1]; it must be names with positions"),
        ("a.toml", "rows = 3", "rows must be a list of tables, each under [[rows]]"),
        ("a.toml", 'template = "a {x}"\n[[rows]]\nclean = "a"', "key 'template' is unknown beside rows"),
        ("a.parquet", b"PAR1", "the file is not Parquet: "),
        ("a.csv", csv_of({**OWN, "clean": ""}), "row 1, column 'clean': it is empty; it must be a text"),
        ("a.csv", csv_of({"clean": "a", "wrong": " b"}), "row 1, column 'right': there is no answer"),
        ("a.csv", csv_of({**OWN, "right": "Mary"}), "column 'right': 'Mary' would be glued to 'ohn spoke to'; write '"),
        ("a.csv", csv_of({**OWN, "right": "[1]"}), "column 'right': it is 1; an answer is a text, its leading space i"),
        ("a.csv", csv_of({**OWN, "right_id": "x"}), "column 'right_id': it is 'x'; it must be a whole number from 0"),
        ("a.csv", csv_of({**OWN, "right_id": "[1, 2]"}), "columns 'right' and 'right_id' hold 1 texts and 2 ids; give"),
        ("a.csv", csv_of({**OWN, "marks": "{"}), "column 'marks': it is not valid JSON: "),
        ("a.csv", csv_of({**OWN, "marks": "[1]"}), "column 'marks': it is [1]; it must be names with places"),
        ("a.jsonl", lines_of({**OWN, "marks": {"S": "John"}}), "mark 'S' is 'John', which stands 2 times in the promp"),
        ("a.jsonl", lines_of({**OWN, "marks": {"S": "Tom"}}), "mark 'S' is 'Tom', which stands 0 times in the prompt"),
        ("a.jsonl", lines_of({**OWN, "marks": {"S": -1}}), "column 'marks': it is -1; it must be a whole number from"),
        ("a.csv", csv_of({**YEARS, "label": "99"}), "column 'label': the year's last two digits are 99; they must be"),
        ("a.csv", csv_of({**YEARS, "label": "33"}), "holds no year that ends in 33"),
        ("a.csv", csv_of({**YEARS, "plural": "2"}), "column 'plural': it is 2; it must be 0 (one) or 1 (many)"),
        ("a.csv", csv_of({**IOI, "correct_idx": ""}), "column 'correct_idx': it is empty; it must be a whole number"),
        ("a.jsonl", lines_of({**MIB_IOI, "s2_io_flip_counterfactual": None}), "column 's2_io_flip_counterfactual': it"),
        ("a.jsonl", lines_of({**MIB_CHOICES, "answerKey": 2}), "column 'answerKey': it is 2, of 2 choices counted fro"),
        ("a.jsonl", lines_of({**MIB_CHOICES, "choices": "A"}), "column 'choices': it is 'A'; it must be a list"),
        ("a.jsonl", lines_of({**MIB_SUM, "label": ""}), "column 'label': it is empty"),
        ("a.jsonl", lines_of({**SUM_OF, "a_counterfactual": {}}), "which counterfactual is meant is not known; the fi"),
    ],
)  # fmt: skip
def test_a_faulty_file_is_told_by_its_path_in_one_line(
    read: Read, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(TaskError) as caught:
        read(name, content)
    assert f"{name}: " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.csv: there is no such file"):
        named(str(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TaskError, match=r"folder\.csv: it is a folder"):
        named(str(tmp_path / "folder.csv"))
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    with pytest.raises(TaskError, match=r"circle\.csv: it cannot be read \("):
        named(str(tmp_path / "circle.csv"))


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (":0", {}, "n is 0; it must be a whole number from 1 to 10000"),
        (":10001", {}, "n is 10001; it must be a whole number from 1 to 10000"),
        ("", {"counterfactual": "other"}, "there is no counterfactual 'other'; the file has corrupt"),
        ("", {"answer_tokens": "last"}, "answer_tokens is 'last'; it must be whole or first_token"),
    ],
)
def test_an_option_that_a_file_cannot_answer_is_told(read: Read, count: str, options: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        read("a.csv", csv_of(OWN), count, **options)


def test_no_two_forms_have_the_same_columns() -> None:
    assert len({form.needs for form in FORMS}) == len({form.called for form in FORMS}) == len(FORMS)


CELLS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers() | st.text(max_size=3))
COLUMNS = sorted({column for form in FORMS for column in form.needs | form.may})


@settings(max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS, max_size=7), max_size=3), form=st.sampled_from(FORMS)
)
def test_no_row_raises_anything_else(read: Read, rows: Sequence[dict[str, Any]], form: Any) -> None:
    filled = [{**dict.fromkeys(form.needs, "1"), **row} for row in rows]
    tokenizer = knowing("a 1 2")
    for skipping in ("refuse", "skip"):
        message = ""
        try:
            read("a.jsonl", lines_of(*filled), bad_rows=skipping).questions(tokenizer, None)
        except TaskError as error:
            message = str(error)
        assert "\n" not in message
