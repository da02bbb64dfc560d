import json
import math
from itertools import pairwise

import polars as pl
import pytest

from vitro.figures.odds import OddsAxis, at_log_odds


def axis_of(*probabilities: float, pixels: float = 260) -> OddsAxis:
    return OddsAxis.over(at_log_odds(pl.DataFrame({"mean": probabilities}), "mean"), pixels)


def labels(axis: OddsAxis) -> list[str]:
    names: list[str] = json.loads(axis.axis().to_dict()["labelExpr"].partition("[indexof")[0])
    return names


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-9, 0.5, ["1e-9", "1e-8", "1e-7", "1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "0.5"]),
        (1e-9, 1e-5, ["1e-9", "1e-8", "1e-7", "1e-6", "1e-5"]),
        (0.02, 0.06, ["0.01", "0.02", "0.05", "0.1"]),
        (0.001, 0.999, ["0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999"]),
        (0.0, 1.0, ["≤1e-12", "1e-10", "1e-8", "1e-6", "0.0001", "0.01", "0.5", "0.99", "0.9999", "≥0.999999"]),
    ],
)
def test_an_axis_is_labelled_with_probabilities_wherever_they_live(
    low: float, high: float, expected: list[str]
) -> None:
    assert labels(axis_of(low, high)) == expected


@pytest.mark.parametrize("pixels", [70, 260, 560])
@pytest.mark.parametrize("low", [0.0, 1e-9, 0.1, 0.4])
@pytest.mark.parametrize("high", [0.5, 0.97, 1.0])
def test_labels_keep_their_distance(low: float, high: float, pixels: float) -> None:
    axis = axis_of(low, high, pixels=pixels)
    places = axis.axis().to_dict()["values"]
    step = pixels / (axis.high - axis.low)
    assert len(places) >= 1
    assert all((after - before) * step >= 20 for before, after in pairwise(places)) or pixels < 100


def test_what_is_all_alike_does_not_fill_the_axis() -> None:
    axis = axis_of(0.3, 0.3001)
    assert axis.high - axis.low >= 3


def test_missing_values_stay_missing_and_nothing_and_all_are_finite() -> None:
    rows = at_log_odds(pl.DataFrame({"mean": [None, 0.0, 0.5, 1.0]}), "mean")["at_mean"].to_list()
    assert rows == [None, pytest.approx(math.log(1e-12)), 0, pytest.approx(math.log(1e6), rel=1e-4)]
