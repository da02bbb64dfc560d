"""What the value columns of the ablation tables mean, in words and units."""

from collections.abc import Iterable, Mapping

from vitro.errors import VitroError
from vitro.tables.quantities import CHANGES, QUANTITIES, Quantity

METHODS = ("zero", "random", "mean", "resample", "counterfactual")
"""The ways of ablating, in the order of the method page."""
DIVERGENCES = {"kl": QUANTITIES["kl"]}
"""Columns that are never negative."""


def quantity(column: str, known: Mapping[str, Quantity]) -> Quantity:
    """The quantity in a column, or an error that lists the columns that can be drawn."""
    if column not in known:
        raise VitroError(f"there is no picture of {column!r}; there is one of {', '.join(known)}")
    return known[column]


def of_change(column: str) -> Quantity:
    """The quantity of whose change a column is."""
    return quantity(column, CHANGES)


def in_order(methods: Iterable[str]) -> list[str]:
    """The methods in the order of the method page, any others after them by name."""
    present = set(methods)
    return [method for method in METHODS if method in present] + sorted(present.difference(METHODS))
