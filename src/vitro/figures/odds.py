"""Probabilities drawn at their log-odds: a billionth and its tenfold are told apart as well as 0.5 and 0.9."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import altair as alt
import polars as pl

LEAST, MOST = 1e-12, 1 - 1e-6
"""Probabilities beyond these are drawn at them: to a reader they are nothing and all, and float32 rounds near 1."""
_NARROWEST = 3.0
"""Nats that an axis spans at least, so that what is all alike does not look as if it were not."""
NOTE = "Probabilities stand at their log-odds: equal steps multiply the odds by the same factor."


def at_log_odds(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The rows with the log-odds of each of the columns of probabilities, in nats, as `at_...`.

    >>> at_log_odds(pl.DataFrame({"mean": [0.5]}), "mean")["at_mean"].to_list()
    [0.0]
    """
    held = {f"at_{name}": pl.col(name).cast(pl.Float64).clip(LEAST, MOST) for name in columns}
    return rows.with_columns((prob / (1 - prob)).log().alias(name) for name, prob in held.items())


@dataclass(frozen=True)
class OddsAxis:
    """An axis of log-odds from `low` to `high` nats, labelled with probabilities.

    pixels: its length. room: what a label needs of it.
    """

    low: float
    high: float
    pixels: float
    room: float

    @classmethod
    def over(cls, rows: pl.DataFrame, pixels: float, room: float = 20.0) -> "OddsAxis":
        """The axis for rows of `at_log_odds`."""
        drawn = rows.select(pl.selectors.starts_with("at_")).unpivot()["value"].drop_nulls().to_list()
        low, high = (min(drawn), max(drawn)) if drawn else (0.0, 0.0)
        margin = max(0.03 * (high - low), (_NARROWEST - (high - low)) / 2)
        return cls(low - margin, high + margin, pixels, room)

    @property
    def scale(self) -> alt.Scale:
        """The scale of x or y."""
        return alt.Scale(domain=[self.low, self.high], nice=False, zero=False)

    def axis(self, title: str = "probability") -> alt.Axis:
        """The axis of x or y."""
        probabilities = self._labelled()
        places = [_log_odds(p) for p in probabilities]
        names = json.dumps([self._name(p) for p in probabilities])
        return alt.Axis(
            title=title,
            values=places,
            labelExpr=f"{names}[indexof({json.dumps(places)}, datum.value)]",
            labelOverlap=False,
            domain=False,
            ticks=False,
        )

    def _name(self, p: float) -> str:
        """`0.001`, `1e-5`; with a sign where what lies beyond it is drawn at it."""
        number = f"{p:.6f}".rstrip("0") if p >= 1e-4 else f"{p:.0e}".replace("e-0", "e-")
        return f"\u2264{number}" if p == LEAST else f"\u2265{number}" if p == MOST else number

    def _labelled(self) -> list[float]:
        """The probabilities that are labelled: the most that have room."""
        room = self.room * (self.high - self.low) / self.pixels
        choices = [[p for p in choice if self.low <= _log_odds(p) <= self.high] for choice in _choices()]
        fit = (choice for choice in choices if all(_log_odds(b) - _log_odds(a) >= room for a, b in pairwise(choice)))
        return next(fit, choices[-1])


def _choices() -> Iterator[list[float]]:
    """Probabilities to label, fewer and fewer of them, always with the least and the most."""
    for digits, step in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6)):
        small = [float(f"{digit}e-{power}") for power in range(12, 0, -step) for digit in digits]
        large = [float(f"{1 - p:.6f}") for p in reversed(small) if 1e-6 <= p < 0.5]
        yield [*(p for p in small if p < 0.5), 0.5, *large]


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))
