"""A task is found by its name or read from a file; a slip is met with the closest name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitro.tasks import TaskError, days, from_rows, from_toml, months, named, numbers

LETTERS = """
name = "letters"
template = "After the letter {letter} comes"
words = ["A", "B", "C"]
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "letters.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_builtin_tasks_have_names() -> None:
    assert named("days") == days()
    assert named("months") == months()
    assert named("numbers") == numbers(10)
    assert named("numbers:100") == numbers(100)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weeks", "there is no task 'weeks'. There are days, months, numbers, ioi, ioi-abc, greater-than,"),
        ("monts", "there is no task 'monts'; did you mean months?"),
        ("number:10", "there is no task 'number:10'; did you mean numbers?"),
        ("Days", "did you mean days?"),
        ("", "there is no task ''"),
        ("numbers:", "'numbers:': '' is not a count; write numbers:N with N from 1 to 10000"),
        ("numbers:ten", "'ten' is not a count"),
        ("numbers:-1", "'-1' is not a count"),
        ("numbers:1e3", "'1e3' is not a count"),
        ("numbers:" + "9" * 5000, "is not a count"),
        ("numbers:0", "n is 0; it must be a whole number from 1 to 10000"),
        ("numbers:10001", "n is 10001"),
        ("days:3", "days takes no count; write days, days:all, or numbers:100"),
    ],
)
def test_an_unknown_name_is_met_with_those_there_are(name: str, message: str) -> None:
    with pytest.raises(TaskError) as caught:
        named(name)
    assert message in str(caught.value)


def test_a_toml_file_is_a_task(tmp_path: Path) -> None:
    path = written(tmp_path, LETTERS)
    task = from_toml(path)
    assert task == named(str(path))
    assert task.answers == ("B", "C")
    assert task.content == ("After", "the", "letter", "comes")


def test_a_toml_file_sets_every_field(tmp_path: Path) -> None:
    task = from_toml(written(tmp_path, LETTERS + 'cyclic = true\nn = 2\ncontent = ["comes"]'))
    assert (task.cyclic, task.n, task.content) == (True, 2, ("comes",))
    assert task.answer_list == ("A", "B", "C")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert from_toml(written(tmp_path, b"\xef\xbb\xbf" + LETTERS.encode())).name == "letters"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LETTERS + 'tempalte = "x"', "unknown key 'tempalte'; did you mean 'template'? A task's keys are name,"),
        (LETTERS + "colour = 3", "unknown key 'colour'. A task's keys are name, template, words, cyclic, n, content"),
        (LETTERS.replace("words", "#words"), "the key 'words' is missing; a task needs name, template, words"),
        ("", "the key 'name' is missing"),
        (LETTERS.replace('["A"', "[1"), 'words holds 1, which is not a text; write it in quotes, "1"'),
        (LETTERS + "n = '2'", "n is '2'; it must be a whole number"),
        (LETTERS + "cyclic = 1", "cyclic is 1; it must be true or false"),
        (LETTERS + "content = 1", "content must be a list of texts"),
        (LETTERS + "name = 'again'", "it is not valid TOML: "),
        ("name = ", "it is not valid TOML: "),
        (b"name = '\xff'", "it is not UTF-8 text (byte 8); save it as UTF-8"),
    ],
)
def test_a_faulty_file_is_told_by_its_path(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TaskError) as caught:
        from_toml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.toml: there is no such file"):
        named(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(TaskError, match=r"folder\.toml: it is a folder"):
        named(str(tmp_path / "folder.toml"))


def test_a_file_that_cannot_be_read_gives_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "circle.toml"
    path.symlink_to(path)
    with pytest.raises(TaskError, match=r"circle\.toml: it cannot be read \("):
        from_toml(path)


@settings(max_examples=50)
@given(content=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
def test_no_file_raises_anything_else(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(TaskError):
        from_toml(written(tmp_path, content))


def test_this_room_needs_neither_torch_nor_transformers() -> None:
    code = "import vitro.tasks, sys; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_task_is_named_again_by_what_it_says_it_is_typed_as(tmp_path: Path) -> None:
    path = written(tmp_path, LETTERS)
    for text in (
        "days",
        "months:all",
        "numbers:7",
        "numbers:7:all",
        "ioi",
        "greater-than:12",
        str(path),
        f"{path}:all",
    ):
        task = named(text, seed=3)
        assert named(task.typed, seed=3) == task
        assert named(text).name == task.name


def test_all_partners_are_every_ordered_pair_of_prompts() -> None:
    task = named("days:all")
    assert (task.name, task.identity()["partners"]) == ("days-all", "all")
    assert named("days:all").identity() != named("days").identity()
    assert named("days").identity()["partners"] == "cycle"


def test_the_seed_is_the_tasks_own_unless_its_file_says_another(tmp_path: Path) -> None:
    path = written(tmp_path, LETTERS + "seed = 5")
    assert named("days", seed=3).identity()["seed"] == 3
    assert (named(str(path)).identity()["seed"], named(str(path), seed=3).identity()["seed"]) == (5, 3)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("ioi:", {}, "'ioi:': '' is not a count; write ioi:N with N from 1 to 10000"),
        ("ioi:all", {}, "'ioi:all': 'all' is not a count"),
        ("ioi:0", {}, "task 'ioi': n is 0; it must be a whole number from 1 to 10000"),
        ("io", {}, "there is no task 'io'; did you mean ioi?"),
        ("letters.toml:3", {}, "'letters.toml:3': a file of one template takes no count; write n = 3 in it"),
        (
            "rows.txt",
            {},
            "there is no task 'rows.txt'. There are days, months, numbers, ioi, ioi-abc, greater-than",
        ),
        ("rows.txt", {}, "any task in a file, by its path (.csv .tsv .jsonl .json .parquet .toml)"),
        (
            "days",
            {"answer_tokens": "first_token"},
            "'days': --first-token (answer_tokens) is for tasks that are files of rows",
        ),
        ("ioi", {"bad_rows": "skip"}, "'ioi': --skip-bad-rows (bad_rows) is for tasks that are files of rows"),
        (
            "ioi",
            {"counterfactual": "abc"},
            "'ioi': --counterfactual (counterfactual) is for tasks that are files of rows",
        ),
    ],
)
def test_a_name_or_an_option_that_will_not_do_is_told(text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as caught:
        named(text, **options)
    assert message in str(caught.value)


def test_rows_are_read_from_files_of_known_kinds_alone() -> None:
    with pytest.raises(TaskError, match=r"rows\.txt: the file's name must end in one of \.csv \.tsv"):
        from_rows("rows.txt")
