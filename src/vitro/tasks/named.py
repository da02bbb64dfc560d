"""A task by the name that a person types."""

import difflib
import re
from dataclasses import replace
from pathlib import Path

from vitro.options import AnswerTokens, BadRows, TaskOptions, options_of
from vitro.tasks.builtin import BUILTIN, LARGEST_N, numbers
from vitro.tasks.errors import TaskError
from vitro.tasks.file import from_toml, toml_table
from vitro.tasks.generated import KINDS, Generated
from vitro.tasks.pair_file import from_rows
from vitro.tasks.pairs import MOST_ROWS
from vitro.tasks.row_file import SUFFIXES
from vitro.tasks.successors import Successors
from vitro.tasks.task import Task


def named(
    text: str | Path,
    *,
    seed: int = 0,
    answer_tokens: AnswerTokens = "whole",
    bad_rows: BadRows = "refuse",
    counterfactual: str | None = None,
) -> Task:
    """The task called `text`: `days`, `numbers:100`, `ioi:50`, or the path of a file.

    - `days`, `months`, `numbers[:n]` and a `.toml` file with a template: successor tasks; `days:all` has every other
      prompt of the task as a counterfactual in turn.
    - `ioi[:n]`, `ioi-abc[:n]`, `greater-than[:n]`, `agreement[:n]`, `capitals[:n]`: n generated rows.
    - `path[:n]`, of a .csv, .tsv, .jsonl, .json, .parquet or .toml file of rows: its first n rows, or all.
      `answer_tokens`, `bad_rows` and `counterfactual` are for these (see `from_rows`).

    >>> vitro.tasks.named("days:all").typed
    'days:all'
    >>> vitro.tasks.named("ioi", seed=1).name
    'ioi-50'

    The seed is for everything that a task draws. `named(task.typed)` with the same options gives the same task.

    Raises `TaskError`, with the list of tasks and the closest name, if there is no such task, and for an option that
    the task does not use.
    """
    text = str(text)
    path, n = _counted(text)
    if Path(path).suffix.lower() in SUFFIXES and not _is_successors(path):
        return from_rows(path, n, answer_tokens=answer_tokens, bad_rows=bad_rows, counterfactual=counterfactual)
    given = TaskOptions(answer_tokens, bad_rows, counterfactual)
    for option in options_of(TaskOptions):
        if getattr(given, option.name) != option.default:
            raise TaskError(
                f"{text!r}: {option.typed} ({option.name}) is for tasks that are files of rows, and this is none"
            )
    if path != text and path.lower().endswith(".toml"):
        raise TaskError(f"{text!r}: a file of one template takes no count; write n = {n} in it")
    if path in KINDS:
        if n is None and path != text:
            raise _no_count(text, path, MOST_ROWS)
        return Generated(KINDS[path], KINDS[path].n if n is None else n, seed)
    return _successors(text, seed)


def _counted(text: str) -> tuple[str, int | None]:
    """`ioi:50` in its two parts; n is None where there is no number of at most nine digits."""
    name, _, count = text.rpartition(":")
    # Python refuses to read very long numbers
    if name and re.fullmatch(r"[0-9]{1,9}", count):
        return name, int(count)
    kind = text.partition(":")[0]
    return (kind, None) if kind in KINDS else (text, None)


def _is_successors(path: str) -> bool:
    """Whether this is a TOML file of a template, or a TOML path that cannot be read in either form."""
    if not path.lower().endswith(".toml"):
        return False
    try:
        return "rows" not in toml_table(Path(path))
    except TaskError:
        return True


def _successors(text: str, seed: int) -> Successors:
    name = text.removesuffix(":all")
    task = from_toml(name) if name.endswith(".toml") else _builtin(name)
    # a file may have its own seed
    task = replace(task, seed=seed or task.seed)
    return task if name == text else replace(task, name=f"{task.name}-all", partners="all", typed=text)


def _builtin(text: str) -> Successors:
    if text in BUILTIN:
        return BUILTIN[text]()
    kind, colon, count = text.partition(":")
    if kind == "numbers":
        if not re.fullmatch(r"[0-9]{1,9}", count):
            raise _no_count(text, kind, LARGEST_N)
        return numbers(int(count))
    if kind in BUILTIN and colon:
        raise TaskError(f"{text!r}: {kind} takes no count; write {kind}, {kind}:all, or numbers:100")
    close = difflib.get_close_matches(kind, [*BUILTIN, *KINDS], n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    raise TaskError(
        f"there is no task {text!r}{meant} There are {', '.join(BUILTIN)}, {', '.join(KINDS)}, numbers:N, ioi:N, "
        f"and any task in a file, by its path ({' '.join(SUFFIXES)})"
    )


def _no_count(text: str, kind: str, most: int) -> TaskError:
    count = text.partition(":")[2]
    return TaskError(f"{text!r}: {count!r} is not a count; write {kind}:N with N from 1 to {most}")


def as_task(task: Task | str | Path, seed: int) -> Task:
    """A task as it is, or the one of this name or file (see `named`). TaskError for what is neither.

    >>> as_task("days", seed=0).typed, as_task(task, seed=0) is task
    ('days', True)
    """
    if isinstance(task, str | Path):
        return named(task, seed=seed)
    if not hasattr(task, "identity"):
        raise TaskError(f"a {type(task).__name__} is no task; what works: a name, a file, or vitro.tasks.named('days')")
    return task
