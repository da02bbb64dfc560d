from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import DAYS_SAID
from figures.living_tables import head_lens_table
from vitro.figures import head_lens, to_spec, to_svg


def cells(layers: int = 12, heads: int = 12, prompts: int = 7) -> list[dict[str, Any]]:
    (shown,) = to_spec(head_lens(head_lens_table(layers, heads, prompts), DAYS_SAID))["datasets"].values()
    return list(shown)


def test_a_cell_holds_both_probabilities_with_their_spread_and_how_often_the_answer_leads() -> None:
    selects = next(cell for cell in cells() if (cell["layer"], cell["head"]) == (9, 1))
    assert selects["leads"] == 7
    for token in ("answer", "wrong"):
        assert selects[f"{token}_min"] <= selects[f"{token}_mean"] <= selects[f"{token}_max"]


def test_a_cell_counts_the_prompts_in_which_the_subject_is_first_and_in_which_it_is_last() -> None:
    table = head_lens_table(1, 2, 7).with_columns(
        pl.when(head=0).then(0).otherwise(3).alias("subject_rank_among_words"),
        ((pl.col("head") == 1) & (pl.col("prompt") < 5)).alias("subject_last_among_words"),
    )
    (shown,) = to_spec(head_lens(table, DAYS_SAID))["datasets"].values()
    assert [(cell["first"], cell["last"]) for cell in shown] == [(7, 0), (0, 5)]


def test_the_colours_begin_at_zero_and_no_head_lies_beyond_them() -> None:
    panels = to_spec(head_lens(head_lens_table(), DAYS_SAID))["hconcat"]
    domains = [panel["layer"][0]["encoding"]["color"]["scale"]["domain"] for panel in panels]
    largest = [max(cell[name] for cell in cells()) for name in ("answer_mean", "wrong_mean")]
    assert [low for low, _ in domains] == [0, 0, 0, -1]
    assert [high >= cell for (_, high), cell in zip(domains, [*largest, 1, 1], strict=True)] == [True] * 4


def test_only_the_head_that_leads_in_every_prompt_is_outlined() -> None:
    svg = to_svg(head_lens(head_lens_table(), DAYS_SAID))
    # Two groups of marks in each of the four panels; the second holds the outlines.
    outlines = [part.split("</g>")[0] for part in svg.split("layer_1_marks")[1:]]
    assert [part.count("<path") for part in outlines] == [1, 1, 1, 1]


@pytest.mark.parametrize(("layers", "heads"), [(2, 2), (12, 12), (30, 9), (32, 32)])
def test_four_panels_fit_a_page_for_every_size_of_model(layers: int, heads: int) -> None:
    svg = to_svg(head_lens(head_lens_table(layers, heads, prompts=1), DAYS_SAID))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
