"""What the verdict of a search comes to: the mark of each condition, and whether a circuit was found."""

from collections.abc import Mapping
from typing import Literal

import polars as pl

Mark = Literal["holds", "fails", "not measured", "reported"]
"""Of a condition. Reported: nothing was wanted of it."""
Outcome = Literal["found", "not settled", "not found"]
"""Of a search. Not settled: nothing that was measured speaks against the circuit, but there was no time for all."""


def marks(verdict: pl.DataFrame) -> list[Mark]:
    """The mark of each row of table `verdict`.

    >>> marks(pl.DataFrame({"holds": [True, False, False, None], "value": [1.0, 0.1, None, None]}))
    ['holds', 'fails', 'not measured', 'reported']
    """
    return [_mark(holds, value) for holds, value in verdict.select("holds", "value").iter_rows()]


def outcome(tables: Mapping[str, pl.DataFrame]) -> Outcome:
    """What the tables `find` and `verdict` come to: one rule for the page, the terminal and the study's findings."""
    search = tables["find"].row(0, named=True)
    if search["found"]:
        return "found"
    open_still = search["nodes"] > 0 and not search["finished"] and "fails" not in marks(tables["verdict"])
    return "not settled" if open_still else "not found"


def _mark(holds: bool | None, value: float | None) -> Mark:
    if holds is None:
        return "reported"
    if holds:
        return "holds"
    return "not measured" if value is None else "fails"
