from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import DAYS_SAID, IOI_SAID
from figures.living_tables import head_lens_table
from vitro.figures import head_lens, to_spec, to_svg


def cells(layers: int = 12, heads: int = 12, prompts: int = 7) -> list[dict[str, Any]]:
    (shown,) = to_spec(head_lens(head_lens_table(layers, heads, prompts), DAYS_SAID))["datasets"].values()
    return list(shown)


def test_a_cell_holds_both_median_places_with_their_spread_and_how_often_the_answer_leads() -> None:
    selects = next(cell for cell in cells() if (cell["layer"], cell["head"]) == (9, 1))
    assert (selects["leads"], selects["answer_place"], selects["answer_worst"]) == (7, 1, 1)
    for token in ("answer", "wrong"):
        assert selects[f"{token}_best"] <= selects[f"{token}_place"] <= selects[f"{token}_worst"]


def test_a_head_that_puts_the_answer_first_is_as_dark_whatever_probability_it_leaves_it() -> None:
    faint = head_lens_table().with_columns(answer_prob=1e-9 * pl.col("answer_prob"))
    panels = [to_spec(head_lens(table, DAYS_SAID))["hconcat"][0] for table in (head_lens_table(), faint)]
    first, second = (panel["layer"][0]["encoding"]["color"] for panel in panels)
    assert first == second
    assert first["scale"]["domain"][0] == 1


def test_where_no_prompt_has_a_wrong_token_its_place_is_not_drawn() -> None:
    none = head_lens_table().with_columns(
        wrong_rank=pl.lit(None, pl.Int64), subject_rank_among_words=None, subject_last_among_words=None
    )
    assert len(to_spec(head_lens(none, IOI_SAID))["hconcat"]) == 2


def test_a_cell_counts_the_prompts_in_which_the_subject_is_first_and_in_which_it_is_last() -> None:
    table = head_lens_table(1, 2, 7).with_columns(
        pl.when(head=0).then(0).otherwise(3).alias("subject_rank_among_words"),
        ((pl.col("head") == 1) & (pl.col("prompt") < 5)).alias("subject_last_among_words"),
    )
    (shown,) = to_spec(head_lens(table, DAYS_SAID))["datasets"].values()
    assert [(cell["first"], cell["last"]) for cell in shown] == [(7, 0), (0, 5)]


def test_the_colours_of_places_reach_the_last_and_those_of_shares_all_of_them() -> None:
    panels = to_spec(head_lens(head_lens_table(), DAYS_SAID))["hconcat"]
    domains = [panel["layer"][0]["encoding"]["color"]["scale"]["domain"] for panel in panels]
    last = max(max(cell["answer_place"], cell["wrong_place"]) for cell in cells())
    assert domains == [[1, last], [1, last], [0, 1], [-1, 1]]


def test_only_the_head_that_leads_in_every_prompt_is_outlined() -> None:
    svg = to_svg(head_lens(head_lens_table(), DAYS_SAID))
    # Two groups of marks in each of the four panels; the second holds the outlines.
    outlines = [part.split("</g>")[0] for part in svg.split("layer_1_marks")[1:]]
    assert [part.count("<path") for part in outlines] == [1, 1, 1, 1]


@pytest.mark.parametrize(("layers", "heads"), [(2, 2), (12, 12), (30, 9), (32, 32)])
def test_four_panels_fit_a_page_for_every_size_of_model(layers: int, heads: int) -> None:
    svg = to_svg(head_lens(head_lens_table(layers, heads, prompts=1), DAYS_SAID))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
