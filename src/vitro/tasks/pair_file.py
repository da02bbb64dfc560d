"""A pair task read from a file, in any of the forms in which the field stores its prompts."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vitro.options import AnswerTokens, BadRows
from vitro.tasks.errors import RowError, TaskError
from vitro.tasks.forms import Form, counterfactual_column, recognised
from vitro.tasks.pair import Pair
from vitro.tasks.pair_questions import characters_asked
from vitro.tasks.pairs import MOST_ROWS, Pairs
from vitro.tasks.row_file import RowFile, opened_rows

LONGEST_ROW, MOST_TEXT = 10**7, 10**8
"""Characters of a row, and of all rows of a file, each prompt counted as often as it is cut into tokens."""


def from_rows(
    path: str,
    n: int | None = None,
    *,
    answer_tokens: AnswerTokens = "whole",
    bad_rows: BadRows = "refuse",
    counterfactual: str | None = None,
) -> Pairs:
    """The task whose rows a file holds: the first n of them, or all where there are no more than 10,000.

    What a row means follows from its columns (see `FORMS`); `counterfactual` names the column of the counterfactual
    prompts where a file has several.

    >>> path = tmp_path / "own.jsonl"
    >>> _ = path.write_text('{"clean": "When Mary met John, John spoke to", "right": " Mary", "wrong": " John"}')
    >>> vitro.tasks.from_rows(str(path)).rows[0].right
    (' Mary',)

    Raises `TaskError`, which begins with the path and names the row, for a file that cannot be read, columns of no
    known form or of several, more rows than that, and, unless bad rows are skipped, a row that does not fit its form.
    """
    try:
        if n is not None and not 1 <= n <= MOST_ROWS:
            raise TaskError(f"n is {n}; it must be a whole number from 1 to {MOST_ROWS}")
        with opened_rows(Path(path)) as file:
            form = recognised(file.columns)
            column = counterfactual_column(form, file.columns, counterfactual)
            left_out: list[str] = []
            rows = tuple(_pairs(path, file, form, column, n, bad_rows, left_out))
            stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(path).stem).strip("-") or "pairs"
            return Pairs(
                name=stem if n is None else f"{stem}-{n}",
                rows=rows if "marks" in form.may else _with_common_marks(rows),
                typed=path if n is None else f"{path}:{n}",
                answer_tokens=answer_tokens,
                bad_rows=bad_rows,
                counterfactual=counterfactual,
                left_out=tuple(left_out),
                columns={"corrupt": column, **form.columns},
                counted=file.counted,
            )
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from None


def _pairs(
    path: str, file: RowFile, form: Form, column: str, n: int | None, bad_rows: BadRows, left_out: list[str]
) -> Iterator[Pair]:
    """The rows of a file that fit its form; the reasons why others do not go to `left_out`."""
    characters = 0
    for number, row in enumerate(file.rows, 1):
        if n is not None and number > n:
            return
        if number > MOST_ROWS:
            raise TaskError(f"it has more than {MOST_ROWS} rows; take the first of them, such as {path}:500")
        if not form.needs <= row.keys() or form.unknown(tuple(row)):
            raise TaskError(
                f"row {number} has the columns {', '.join(row)} and the first row {', '.join(file.columns)}; "
                "all rows must be of one form"
            )
        try:
            pair = replace(form.pair(row, column), number=number)
            asked = characters_asked(pair)
            if asked > LONGEST_ROW:
                raise RowError(
                    f"its prompt with each of its answers comes to {asked:,} characters; {LONGEST_ROW:,} are the most"
                )
            if (characters := characters + asked) > MOST_TEXT:
                raise TaskError(
                    f"its first {number} rows, asked with each of their answers, come to more than {MOST_TEXT:,} "
                    f"characters; take fewer, such as {path}:{max(1, number // 2)}"
                )
            yield pair
        except RowError as error:
            if bad_rows == "refuse":
                raise RowError(f"row {number}, {error}") from None
            left_out.append(f"row {number}, {error}")


def _with_common_marks(rows: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """The rows with only the marks that all of them have: marks that were read off the prompts."""
    common = set.intersection(*(set(row.marks) for row in rows)) if rows else set()
    return tuple(replace(row, marks={name: row.marks[name] for name in row.marks if name in common}) for row in rows)
