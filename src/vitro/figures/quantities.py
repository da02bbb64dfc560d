"""What the value columns of the ablation tables mean, in words and units."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vitro.errors import VitroError

HeadValue = Literal["answer_prob_change", "answer_logit_change", "logit_diff_change", "kl"]
MlpValue = Literal["answer_prob_change", "answer_logit_change"]

METHODS = ("zero", "random", "mean", "resample")
"""The ways of ablating, in the order of the method page."""


@dataclass(frozen=True)
class Quantity:
    """A column in words.

    `name` finishes a title, `formula` says how it is computed, `axis` is its short name with its unit, `sense` says
    how to read a value.
    """

    name: str
    formula: str
    axis: str
    sense: str


_DIFFERENCE = "ablated minus clean"

CHANGES = {
    "answer_prob_change": Quantity(
        name="change of the answer's probability",
        formula=_DIFFERENCE,
        axis="change (probability)",
        sense="positive: the answer gained",
    ),
    "answer_logit_change": Quantity(
        name="change of the answer's logit",
        formula=_DIFFERENCE,
        axis="change (nats)",
        sense="positive: the answer gained",
    ),
    "logit_diff_change": Quantity(
        name="change of the logit difference, answer minus subject",
        formula=_DIFFERENCE,
        axis="change (nats)",
        sense="positive: the answer gained on the subject",
    ),
}
"""Columns with a sign."""

DIVERGENCES = {
    "kl": Quantity(
        name="how far the whole prediction moves",
        formula="KL(clean || ablated) over the vocabulary",
        axis="divergence (nats)",
        sense="0: the prediction stays",
    ),
}
"""Columns that are never negative."""


def quantity(column: str, known: dict[str, Quantity]) -> Quantity:
    """The quantity in a column, or an error that lists the columns that can be drawn."""
    if column not in known:
        raise VitroError(f"there is no picture of {column!r}; there is one of {', '.join(known)}")
    return known[column]


def in_order(methods: Iterable[str]) -> list[str]:
    """The methods in the order of the method page, any others after them by name."""
    present = set(methods)
    return [method for method in METHODS if method in present] + sorted(present.difference(METHODS))
