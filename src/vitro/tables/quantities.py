"""The metrics' names, their units, and how to read them: words for tables, figures and sentences."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A metric in words (docs/method.md, section 3). `vitro.metrics` computes it.

    unit: "probability", "nats" or "share of prompts". short: its name on axes, in columns and after "the".
    words: its name in full, finishes "a change of". sense: how to read a change.
    """

    name: str
    unit: str
    short: str
    words: str
    sense: str

    @property
    def axis(self) -> str:
        """Its name on an axis."""
        return f"{self.short} ({self.unit})" if self.unit == "nats" else self.short

    def amount(self, value: float) -> str:
        """A value in words: `0.25`, `3.34 nats`."""
        return f"{value:.3g} nats" if self.unit == "nats" else f"{value:.3g}"


_GAINED, _ON_WRONG, _ON_OTHERS = (
    "positive: the answer gained", "positive: right gained on wrong", "positive: the answer gained on the others",
)  # fmt: skip
QUANTITIES: Mapping[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("answer_prob", "probability", "answer's probability", "the answer's probability", _GAINED),
        Quantity("answer_logit", "nats", "answer's logit", "the answer's logit", _GAINED),
        Quantity("logit_diff", "nats", "logit difference", "the logit difference, right minus wrong", _ON_WRONG),
        Quantity("margin", "nats", "margin over the other answers",
                 "the answer's logit minus the mean of the other answers'", _ON_OTHERS),
        Quantity("prob_diff", "probability", "probability difference",
                 "the probability of right minus that of wrong", _ON_WRONG),
        Quantity("among_answers", "probability", "answer's probability among the answers",
                 "the answer's probability among the answers", _ON_OTHERS),
        Quantity("right_first", "share of prompts", "share of prompts with right above wrong",
                 "the share of prompts with right above wrong", _ON_WRONG),
        Quantity("kl", "nats", "divergence from the clean prediction",
                 "the divergence from the clean prediction, KL(clean || variant)",
                 "0: the prediction stays"),
    )
}  # fmt: skip
"""Every metric by its name."""
CHANGES: Mapping[str, Quantity] = {f"{name}_change": q for name, q in QUANTITIES.items() if name != "kl"}
"""The columns of signed changes by a variant."""
