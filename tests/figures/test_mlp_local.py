import math
from typing import Any

import polars as pl
import pytest

from figures.living_tables import mlp_local_table
from vitro.figures import mlp_local, to_spec, to_svg


def rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    (shown,) = to_spec(mlp_local(table))["datasets"].values()
    return list(shown)


def test_a_bar_goes_from_the_mean_before_to_the_mean_after_at_their_log_odds() -> None:
    table = pl.DataFrame(
        {"prompt": [0, 1], "layer": [0, 0], "answer_prob_before": [1e-9, 3e-9], "answer_prob_after": [0.4, 0.6]}
    )
    (bar,) = (row for row in rows(table) if "prompt" not in row)
    assert (bar["before"], bar["after"], bar["min"], bar["max"]) == (2e-9, 0.5, 0.4, 0.6)
    assert (bar["at_before"], bar["at_after"]) == (pytest.approx(math.log(2e-9), rel=1e-3), 0)


def test_prompts_that_have_room_are_lines_and_others_a_range() -> None:
    assert len(rows(mlp_local_table(layers=3, prompts=7))) == 3 * (1 + 7)
    assert len(rows(mlp_local_table(layers=3, prompts=30))) == 3
    assert len(rows(mlp_local_table(layers=80, prompts=7))) == 80


@pytest.mark.parametrize("layers", [2, 12, 80])
def test_the_figure_fits_a_page_for_every_depth(layers: int) -> None:
    svg = to_svg(mlp_local(mlp_local_table(layers, prompts=2)))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
