from typing import Any

import altair as alt
import polars as pl
import pytest

from vitro.figures.scales import amount_color, change_color, reach


def scale_of(color: alt.Color) -> dict[str, Any]:
    encoded: Any = color.to_dict()
    return dict(encoded["scale"])


def test_a_scale_reaches_the_largest_cell_when_none_dwarfs_the_rest() -> None:
    span = reach(pl.Series([0.01, -0.02, 0.03]))
    assert (span.limit, span.beyond, span.cells) == (0.03, 0, 3)


def test_one_huge_cell_is_clamped_instead_of_washing_out_the_rest() -> None:
    span = reach(pl.Series([0.01] * 99 + [-5.0]))
    assert (span.limit, span.beyond, span.cells) == (0.01, 1, 100)


@pytest.mark.parametrize("cells", [[], [0.0, 0.0], [None], [float("nan"), float("inf")]])
def test_a_scale_of_nothing_is_still_a_scale(cells: list[float | None]) -> None:
    assert reach(pl.Series(cells, dtype=pl.Float64)).limit == 1.0


def test_the_limit_is_rounded_up_so_that_no_cell_leaves_the_scale_by_rounding() -> None:
    span = reach(pl.Series([0.01234]))
    assert (span.limit, span.beyond) == (0.013, 0)


def test_colours_of_changes_are_symmetric_about_zero() -> None:
    scale = scale_of(change_color(0.25, ""))
    assert (scale["domain"], scale["domainMid"], scale["clamp"]) == ([-0.25, 0.25], 0, True)
    assert len(scale["range"]) % 2 == 1


def test_colours_of_amounts_begin_at_zero() -> None:
    assert scale_of(amount_color(0.25, ""))["domain"] == [0, 0.25]
