"""Files that are no tasks, or tasks of a size that nobody means: each is told in one line, at once."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from command import Vitro, refusal
from forked import forked, wrong
from planted import plant
from vitro.experiments import Setup
from vitro.models import Model, load
from vitro.tasks import Pair, Pairs, Successors, TaskError, days, from_rows
from vitro.tasks.checks import LONGEST_TEMPLATE
from vitro.tasks.sentences import space_tokens

TEMPLATE = 'name = "t"\ntemplate = "If today is {day}, tomorrow is"\nwords = ["Monday", "Tuesday", "Wednesday"]\n'
ROW = '{"clean": "If today is Monday, tomorrow is", "right": " Tuesday", "wrong": " Monday"}'
FILES: dict[str, str | bytes] = {
    "lists_5000_deep.toml": "a=" + "[" * 5000,
    "tables_5000_deep.toml": "a=" + "{a=" * 5000,
    "key_of_100000_parts.toml": "a." * 100_000 + "a=1",
    "key_of_quoted_parts.toml": '"a".' * 100_000 + "a=1",
    "one_word_of_ten_megabytes.toml": "x" * 10**7,
    "text_of_a_megabyte.toml": TEMPLATE.replace("If", "Monday " * 150_000),
    "text_of_20000_words.toml": TEMPLATE.replace("If", " ".join(f"w{i}" for i in range(20_000))),
    "paraphrase_of_20000_words.toml": TEMPLATE + 'paraphrases = ["' + "w " * 20_000 + '{day} is"]',
    "twenty_thousand_words.toml": TEMPLATE.replace('"Monday"', ",".join(f'"w{i}"' for i in range(20_000))),
    "word_of_three_megabytes.toml": TEMPLATE.replace('"Monday"', '"' + "B" * 1_900_000 + '"'),
    "number_of_80000_bits.toml": TEMPLATE + "n = 0x" + "f" * 20_000,
    "number_of_5000_digits.toml": TEMPLATE + "n = " + "9" * 5000,
    "n_is_nan.toml": TEMPLATE + "n = nan",
    "n_is_a_date.toml": TEMPLATE + "n = 2020-01-01",
    "name_is_a_number.toml": TEMPLATE.replace('"t"', "1"),
    "name_with_escapes.toml": TEMPLATE.replace('"t"', '"\\u001b[31m"'),
    "words_are_numbers.toml": TEMPLATE.replace('"Monday"', "1"),
    "content_is_nested.toml": TEMPLATE + "content = [[1]]",
    "key_of_ten_thousand_characters.toml": "x" * 10_000 + " = 1",
    "ten_thousand_slots.toml": TEMPLATE.replace("{day}", "{a}" * 3000),
    "ten_thousand_braces.toml": TEMPLATE.replace("{day}", "{" * 9000),
    "rows_are_numbers.toml": "rows = [1]",
    "utf16.toml": TEMPLATE.encode("utf-16"),
    "empty.toml": "",
    "a_million_columns.csv": ",".join(f"c{i}" for i in range(10**6)),
    "a_million_columns_alike.csv": ",".join(["clean"] * 10**6),
    "line_of_ten_megabytes.csv": "x" * 10**7,
    "row_of_ten_megabytes.csv": "clean,right,wrong\n" + "x" * 10**7,
    "quote_that_never_ends.csv": 'clean,right,wrong\n"' + "a\n" * 10**5,
    "characters_zero.csv": "clean,right,wrong\n\0\0,,",
    "answers_5000_deep.csv": 'clean,right,wrong\na b,"' + "[" * 5000 + "]" * 5000 + '",',
    "marks_3000_deep.csv": "clean,right,wrong,marks\na b, c, d," + "[" * 3000,
    "marks_without_end.csv": 'clean,right,wrong,marks\na b, c, d,"{""a"": 1e999}"',
    "ids_in_other_digits.csv": "clean,right_id,wrong_id\nIf,\u0663,1",
    "escapes_in_columns.csv": "clean,right,\x1b[31m\na,b,c",
    "half_is_missing.csv": "clean,right,wrong\na b, c",
    "utf16.csv": "clean,right,wrong\na,b,c".encode("utf-16"),
    "empty.csv": "",
    "lists_5000_deep.jsonl": "[" * 5000,
    "objects_5000_deep.jsonl": '{"clean": ' * 5000,
    "half_of_a_character.jsonl": ROW.replace("If", "\\ud800"),
    "line_of_ten_megabytes.jsonl": ROW.replace("If", "x" * 10**7),
    "numbers_for_texts.jsonl": '{"clean": 1e400, "right": NaN, "wrong": true}',
    "a_hundred_thousand_columns.jsonl": json.dumps({f"k{i}": 1 for i in range(100_000)}),
    "twenty_thousand_rows.jsonl": (ROW + "\n") * 20_000,
    "answers_times_prompt.jsonl": json.dumps(
        {"clean": "a " * 5000, "right": [" x"], "wrong": [f" y{i}" for i in range(2000)]}
    ),
    "empty.jsonl": "",
    "lists_5000_deep.json": "[" * 5000,
    "prompts_are_missing.json": '{"word_idxs": 5}',
    "marks_are_a_number.json": '{"prompts": [], "word_idxs": 5}',
    "utf16.json": f"[{ROW}]".encode("utf-16"),
    "empty.json": "",
    "empty.parquet": "",
    "marks_of_parquet_alone.parquet": "PAR1" * 100,
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_task_is_told_in_one_line(vitro: Vitro, tmp_path: Path, name: str) -> None:
    content = FILES[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(vitro("tasks", str(tmp_path / name))).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("suffix", ["toml", "csv", "tsv", "jsonl", "json", "parquet"])
def test_what_is_no_file_is_told_and_not_waited_for(vitro: Vitro, tmp_path: Path, suffix: str) -> None:
    pipe, folder, device, circle, unreadable = (tmp_path / f"{name}.{suffix}" for name in "abcde")
    os.mkfifo(pipe)
    folder.mkdir()
    device.symlink_to("/dev/zero")
    circle.symlink_to(circle)
    unreadable.symlink_to("/proc/self/mem")
    assert "it is a pipe or device, not a file" in refusal(vitro("tasks", str(pipe)))
    assert "it is a folder, not a file" in refusal(vitro("tasks", str(folder)))
    assert "it is a pipe or device, not a file" in refusal(vitro("tasks", str(device)))
    assert "it cannot be read (Too many levels of symbolic links)" in refusal(vitro("tasks", str(circle)))
    assert str(unreadable) in refusal(vitro("tasks", str(unreadable)))


def test_a_byte_order_mark_is_no_part_of_a_file(vitro: Vitro, tmp_path: Path) -> None:
    for name, content in (("t.toml", TEMPLATE), ("t.jsonl", ROW), ("t.json", f"[{ROW}]")):
        (tmp_path / name).write_text("\ufeff" + content, "utf-8")
        assert vitro("tasks", str(tmp_path / name)).code == 0


def test_a_parquet_file_that_is_cut_short_or_changed_is_told_in_one_line(vitro: Vitro, tmp_path: Path) -> None:
    """Some of these make polars panic, abort, or wait for ever: they are read by another process."""
    path = tmp_path / "rows.parquet"
    pl.DataFrame([json.loads(ROW)] * 50).write_parquet(path)
    sound = path.read_bytes()
    assert len(from_rows(str(path)).rows) == 50
    for content in (sound[:-100], sound[:200], sound[: len(sound) // 2] + b"\xff" * 20 + sound[len(sound) // 2 + 20 :]):
        path.write_bytes(content)
        assert str(path) in refusal(vitro("tasks", str(path)))


def test_a_template_as_long_as_may_be_is_cut_in_seconds(
    planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "long.toml"
    words = " ".join(f"w{i}" for i in range(1700))
    assert LONGEST_TEMPLATE * 0.8 < len(words) + 30 < LONGEST_TEMPLATE
    path.write_text(TEMPLATE.replace("If", words), "utf-8")
    done = forked("tasks", str(path), "--model", str(planted_folder))
    assert wrong(done) == ""
    assert "tokens and the model takes 10" in done.err


def test_tokens_that_the_tokenizer_has_and_the_model_has_not_are_told(tmp_path: Path) -> None:
    """As where tokens were added to a tokenizer and the embedding stayed as it was."""
    plant(tmp_path)
    model = load(str(tmp_path))
    known = len(model.tokenizer)
    model.tokenizer.add_tokens([" Someday", " Noday"])
    assert max(model.tokenizer(" Someday").input_ids) >= model.shape.d_vocab == known
    row = Pair("If today is Monday, tomorrow is", (" Someday",), (" Monday",))
    with pytest.raises(TaskError, match=rf"' Someday' is token {known} of the tokenizer, and the model has {known}"):
        _ = Setup(model, Pairs("some", (row,))).questions
    asked = Pair("If today is Noday, tomorrow is", (" Tuesday",), (" Monday",))
    with pytest.raises(TaskError, match="what works: other words"):
        _ = Setup(model, Pairs("some", (asked,))).questions


def test_random_words_are_tokens_that_the_model_has(planted_model: Model) -> None:
    words = space_tokens(planted_model.tokenizer)
    fewer = space_tokens(planted_model.tokenizer, int(words[3]))
    assert fewer.tolist() == words[:3].tolist()
    task = days()
    questions = task.questions(planted_model.tokenizer, None)
    drawn = task.sentences(questions, planted_model.tokenizer, 50, 0, int(words[3]))["mean"]
    assert set(drawn[:, questions.marks["subject"][0]].tolist()) <= set(fewer.tolist())


def test_a_task_made_in_python_has_the_same_limits() -> None:
    with pytest.raises(TaskError, match="are the most"):
        Successors("t", "w " * 20_000 + "{day} is", ("A", "B"))
