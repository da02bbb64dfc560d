"""A task read from a TOML file."""

import difflib
import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from vitro.files import FileError, read_bytes, text_of, toml_of
from vitro.tasks.errors import TaskError
from vitro.tasks.successors import Successors

MOST = 2 * 2**20
"""Bytes of a TOML file, which is read by Python alone: some thousands of rows. A template needs a thousandth of it."""
_KEYS = tuple(key.name for key in fields(Successors) if key.name != "typed")
_REQUIRED = tuple(key.name for key in fields(Successors) if key.default is MISSING)


def from_toml(path: str | os.PathLike[str]) -> Successors:
    """The task written in a TOML file whose keys are the fields of `Successors`.

    ```toml
    name = "letters"
    template = "After the letter {letter} comes the letter"
    words = ["A", "B", "C", "D"]
    cyclic = false       # may be left out, as may n and content
    content = ["After", "letter", "comes"]
    ```

    >>> path = tmp_path / "letters.toml"
    >>> _ = path.write_text('name = "letters"\\ntemplate = "After {letter} comes"\\nwords = ["A", "B", "C"]')
    >>> from_toml(path).answers
    ('B', 'C')

    Raises `TaskError`, which begins with the path, for a file that cannot be read, is not TOML, lacks a key or has an
    unknown key, and for all that `Successors` itself refuses.
    """
    try:
        table = toml_table(Path(path))
        for key in table:
            if key not in _KEYS:
                raise TaskError(_unknown_key(key))
        for key in _REQUIRED:
            if key not in table:
                raise TaskError(f"the key {key!r} is missing; a task needs {', '.join(_REQUIRED)}")
        return Successors(**table, typed=str(path))
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from None


def toml_table(path: Path) -> dict[str, Any]:
    """The contents of a TOML file. Raises `TaskError` for one that cannot be read or is not TOML."""
    try:
        return toml_of(text_of(read_bytes(path, MOST)))
    except FileError as error:
        raise TaskError(str(error)) from None


def _unknown_key(key: str) -> str:
    close = difflib.get_close_matches(key, _KEYS, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown key {key!r}{meant} A task's keys are {', '.join(_KEYS)}"
