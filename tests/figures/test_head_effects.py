from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import head_ablation
from vitro.errors import VitroError
from vitro.figures import head_effects, to_spec, to_svg
from vitro.tables.quantities import CHANGES


def cells(table: pl.DataFrame, value: str = "answer_prob_change") -> list[dict[str, Any]]:
    (shown,) = to_spec(head_effects(table, value))["datasets"].values()
    return list(shown)


def width(svg: str) -> float:
    return float(svg.split('width="')[1].split('"')[0])


def test_a_cell_is_the_mean_over_prompts_with_its_spread_and_the_prompts_that_fell() -> None:
    table = head_ablation(layers=1, heads=1, prompts=3)
    zero = next(cell for cell in cells(table) if cell["method"] == "zero")
    assert {name: zero[name] for name in ("mean", "min", "max", "fell", "rose")} == {
        "mean": -0.0022,
        "min": -0.0024,
        "max": -0.002,
        "fell": 3,
        "rose": 0,
    }


def test_panels_stand_in_the_order_zero_random_mean_whatever_the_order_of_the_rows() -> None:
    spec = to_spec(head_effects(head_ablation().sample(fraction=1.0, shuffle=True, seed=0)))
    assert spec["facet"]["column"]["sort"] == ["zero", "random", "mean"]


@pytest.mark.parametrize("value", CHANGES)
def test_the_colours_of_a_change_are_centred_on_zero_and_the_legend_says_what_positive_means(value: str) -> None:
    table = head_ablation().with_columns(pl.col("answer_prob_change").alias(value))
    color = to_spec(head_effects(table, value))["spec"]["layer"][0]["encoding"]["color"]
    low, high = color["scale"]["domain"]
    assert low == -high
    assert (
        f"; positive: {'right' if 'positive: right' in CHANGES[value].sense else 'the answer'} gained"
        in color["legend"]["title"]
    )


def test_a_divergence_has_a_scale_from_zero_and_counts_no_falls() -> None:
    color = to_spec(head_effects(head_ablation(), "kl"))["spec"]["layer"][0]["encoding"]["color"]
    assert color["scale"]["domain"][0] == 0
    assert "fell" not in cells(head_ablation(), "kl")[0]


def test_a_clamped_scale_says_so_in_the_subtitle() -> None:
    huge = pl.when(pl.col("head") == 0, pl.col("layer") == 0, pl.col("method") == "zero").then(-1.0).otherwise(0.01)
    table = head_ablation(12, 12).with_columns(huge.alias("answer_prob_change"))
    subtitle = " ".join(to_spec(head_effects(table))["title"]["subtitle"])
    assert "clamped at ±0.01;" in subtitle
    assert "1 of 432 cells" in subtitle


@pytest.mark.parametrize(("layers", "heads"), [(2, 2), (12, 12), (30, 9), (32, 32), (80, 64)])
def test_three_panels_fit_a_page_of_a_thousand_pixels_for_every_size_of_model(layers: int, heads: int) -> None:
    assert width(to_svg(head_effects(head_ablation(layers, heads, prompts=1)))) <= 1000


def test_only_the_columns_that_are_drawn_enter_the_figure() -> None:
    assert set(cells(head_ablation())[0]) == {"method", "layer", "head", "mean", "min", "max", "fell", "rose"}


def test_a_column_without_a_picture_is_refused_with_the_list_of_those_that_have_one() -> None:
    with pytest.raises(
        VitroError, match=r"answer_prob_change, answer_logit_change, logit_diff_change, .*, right_first_change, kl"
    ):
        head_effects(head_ablation(), "prob")
