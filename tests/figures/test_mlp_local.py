from typing import Any

import polars as pl
import pytest

from figures.living_tables import mlp_local_table
from vitro.figures import mlp_local, to_spec, to_svg
from vitro.figures.spread import DOTS


def rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    (shown,) = to_spec(mlp_local(table))["datasets"].values()
    return list(shown)


def test_a_bar_is_the_mean_of_after_minus_before() -> None:
    table = pl.DataFrame(
        {"prompt": [0, 1], "layer": [0, 0], "answer_prob_before": [0.1, 0.2], "answer_prob_after": [0.4, 0.3]}
    )
    (bar,) = (row for row in rows(table) if "mean" in row)
    assert (bar["mean"], bar["min"], bar["max"]) == (0.2, 0.1, 0.3)


def test_few_prompts_are_dots_and_many_a_range() -> None:
    assert len(rows(mlp_local_table(layers=3, prompts=7))) == 3 * (1 + 7)
    assert len(rows(mlp_local_table(layers=3, prompts=DOTS + 1))) == 3


@pytest.mark.parametrize("layers", [2, 12, 80])
def test_the_figure_fits_a_page_for_every_depth(layers: int) -> None:
    svg = to_svg(mlp_local(mlp_local_table(layers, prompts=2)))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
