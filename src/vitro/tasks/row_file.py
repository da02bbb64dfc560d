"""A file's rows, in order, with the file's own column names."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from vitro.files import FileError, json_of, opened, text_of
from vitro.tasks.errors import TaskError
from vitro.tasks.file import toml_table
from vitro.tasks.forms import Row, recognised
from vitro.tasks.pairs import MOST_ROWS
from vitro.tasks.parquet_file import parquet_rows

# A single document must be read whole; this much text is far more than a study can ask.
_LARGEST_DOCUMENT = 64 * 2**20
_LONGEST_LINE = 8 * 2**20
_DELIMITERS = (",", ";", "\t")


@dataclass
class RowFile:
    """The first row's columns, the rows, and how many tokens a prompt has where the file counts them."""

    columns: tuple[str, ...]
    rows: Iterator[Row]
    counted: int | None = None


@contextmanager
def opened_rows(path: Path) -> Iterator[RowFile]:
    """The rows of a CSV, JSON lines, JSON, Parquet or TOML file, read row by row where the format allows it.

    Raises `TaskError` for a file that cannot be read or is not what its name says, with the line if known.
    """
    try:
        kind = _KINDS.get(path.suffix.lower())
        if kind is None:
            raise TaskError(f"the file's name must end in one of {' '.join(_KINDS)}")
        with opened(path) as file:
            yield kind(path, file)
    except FileError as error:
        raise TaskError(str(error)) from None


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines as text, without the byte order mark that editors on Windows write."""
    for i, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b"")):
        if len(line) > _LONGEST_LINE:
            raise TaskError(f"line {i + 1} has more than {_LONGEST_LINE >> 20} MB; a row of prompts has less")
        try:
            yield line.decode("utf-8" if i else "utf-8-sig")
        except UnicodeDecodeError:
            raise TaskError(f"line {i + 1} is not UTF-8 text; save the file as UTF-8") from None


def _csv(path: Path, file: BinaryIO) -> RowFile:
    lines = _lines(file)
    header = next((line for line in lines if line.strip()), "")
    if not header:
        raise TaskError("the file is empty")
    try:
        headers = {mark: tuple(next(csv.reader([header], delimiter=mark))) for mark in _DELIMITERS}
    except csv.Error as error:
        why = "its lines end as those of old Macs do; save it as UTF-8 CSV" if "\r" in header.strip() else str(error)
        raise TaskError(f"line 1 is not CSV: {why}") from None
    delimiter = max(_DELIMITERS, key=lambda mark: (_has_form(headers[mark]), len(headers[mark])))
    columns = headers[delimiter]
    if twice := [name for name, count in Counter(columns).items() if name and count > 1]:
        raise TaskError(f"column {twice[0]!r} is there twice")

    def rows() -> Iterator[Row]:
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            for number, cells in enumerate(filter(None, reader), 1):
                if len(cells) != len(columns):
                    raise TaskError(f"row {number} has {len(cells)} cells and the header {len(columns)} columns")
                yield dict(zip(columns, cells, strict=True))
        except csv.Error as error:
            # this reader has not seen the header line
            raise TaskError(f"line {reader.line_num + 1} is not CSV: {error}") from None

    return RowFile(columns, rows())


def _has_form(columns: tuple[str, ...]) -> bool:
    try:
        recognised(columns)
    except TaskError:
        return False
    return True


def _json_lines(path: Path, file: BinaryIO) -> RowFile:
    def rows() -> Iterator[Row]:
        for number, line in enumerate(_lines(file), 1):
            if line.strip():
                try:
                    yield _checked(json_of(line), f"line {number}")
                except FileError as error:
                    raise TaskError(f"line {number}: {error}") from None

    return _from_rows(rows())


def _json(path: Path, file: BinaryIO) -> RowFile:
    content = file.read(_LARGEST_DOCUMENT + 1)
    if len(content) > _LARGEST_DOCUMENT:
        raise TaskError(
            f"the file is one document of more than {_LARGEST_DOCUMENT >> 20} MB; save its rows as JSON lines "
            "(.jsonl), of which the first can be taken"
        )
    document = json_of(text_of(content))
    if isinstance(document, list):
        return _from_rows(_checked(value, f"row {number}") for number, value in enumerate(document, 1))
    if not isinstance(document, dict) or not isinstance(document.get("prompts"), list):
        raise TaskError(
            "a JSON file must hold a list of rows, or AutoCircuit's 'prompts'; save lines of JSON as .jsonl"
        )
    if unknown := sorted(document.keys() - {"prompts", "word_idxs", "seq_labels"}):
        raise TaskError(f"key {unknown[0]!r} is unknown; AutoCircuit's are prompts, word_idxs and seq_labels")
    marks, labels = document.get("word_idxs") or {}, document.get("seq_labels")
    if not isinstance(marks, dict):
        raise TaskError(f"word_idxs is {marks!r}; it must be names with positions")
    rows = ({**_checked(row, f"row {i}"), "marks": marks} for i, row in enumerate(document["prompts"], 1))
    file_rows = _from_rows(rows)
    if isinstance(labels, list):
        file_rows.counted = len(labels)
    elif isinstance(marks.get("end"), int):
        file_rows.counted = marks["end"] + 1
    return file_rows


def _toml(path: Path, file: BinaryIO) -> RowFile:
    table = toml_table(path)
    rows = table.get("rows")
    if unknown := sorted(table.keys() - {"rows"}):
        raise TaskError(f"key {unknown[0]!r} is unknown beside rows; a file holds rows or a template")
    if not isinstance(rows, list):
        raise TaskError("rows must be a list of tables, each under [[rows]]")
    return _from_rows(_checked(value, f"row {number}") for number, value in enumerate(rows, 1))


def _parquet(path: Path, file: BinaryIO) -> RowFile:
    return _from_rows(parquet_rows(path, MOST_ROWS + 1))


def _from_rows(rows: Iterator[Row]) -> RowFile:
    first = next(rows, None)
    if first is None:
        raise TaskError("the file is empty")
    return RowFile(tuple(first), chain([first], rows))


def _checked(value: Any, where: str) -> Row:
    if not isinstance(value, Mapping):
        raise TaskError(f'{where} is no row: it must be names with values, such as {{"clean": ...}}')
    return value


_KINDS = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
    ".toml": _toml,
}
SUFFIXES = tuple(_KINDS)
"""The suffixes of files that can be read as rows."""
