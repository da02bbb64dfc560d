from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import mlp_ablation
from vitro.figures import mlp_effects, to_spec, to_svg
from vitro.figures.spread import DOTS
from vitro.tables.quantities import CHANGES


def rows(prompts: int) -> list[dict[str, Any]]:
    (shown,) = to_spec(mlp_effects(mlp_ablation(prompts=prompts)))["datasets"].values()
    return list(shown)


def test_with_seven_prompts_all_seven_are_drawn_in_their_own_panel() -> None:
    figure = mlp_effects(mlp_ablation(layers=3, prompts=7))
    panels = to_svg(figure).split("child_layer_1_marks")[1:]
    assert [panel.split("</g>")[0].count("<path") for panel in panels] == [21, 21, 21]


def test_with_many_prompts_their_range_is_drawn_instead() -> None:
    assert len(rows(DOTS + 1)) == 9
    assert all({"mean", "min", "max"} <= set(row) for row in rows(DOTS + 1))


def test_a_bar_is_the_mean_over_prompts() -> None:
    bar = next(row for row in rows(3) if "mean" in row and row["layer"] == 2)
    assert (bar["mean"], bar["min"], bar["max"]) == (0.11, 0.1, 0.12)


@pytest.mark.parametrize("value", CHANGES)
def test_the_axis_carries_the_unit(value: str) -> None:
    table = mlp_ablation().with_columns(pl.col("answer_prob_change").alias(value))
    assert f"change ({CHANGES[value].unit})" in to_svg(mlp_effects(table, value))


@pytest.mark.parametrize("layers", [2, 12, 80])
def test_the_figure_fits_a_page_of_a_thousand_pixels_for_every_depth(layers: int) -> None:
    svg = to_svg(mlp_effects(mlp_ablation(layers=layers)))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
