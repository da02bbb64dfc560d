"""Both pictures of attention: from the final stream, and from every stream."""

from typing import Any

import pytest

from figures.living_tables import PROMPT, attention_pattern_table, attention_table
from vitro.figures import attention_patterns, final_attention, to_spec, to_svg

HEADS = [(10, 3), (9, 1), (10, 11)]


def test_heads_stand_in_the_order_of_the_model() -> None:
    (cells,) = to_spec(final_attention(attention_table(HEADS), PROMPT))["datasets"].values()
    assert list(dict.fromkeys(cell["name"] for cell in cells)) == ["a9.h1", "a10.h3", "a10.h11"]


def test_a_cell_is_the_mean_weight_with_its_spread_and_a_row_sums_to_one() -> None:
    (cells,) = to_spec(final_attention(attention_table(HEADS), PROMPT))["datasets"].values()
    assert all(cell["min"] <= cell["mean"] <= cell["max"] for cell in cells)
    assert sum(cell["mean"] for cell in cells[: len(PROMPT)]) == pytest.approx(1, abs=1e-3)


def test_a_token_that_stands_twice_keeps_a_column_for_each() -> None:
    svg = to_svg(final_attention(attention_table(HEADS), PROMPT))
    assert svg.count(">is</text>") == 2


def test_weights_are_written_where_there_is_room() -> None:
    few, many = attention_table(HEADS, positions=8), attention_table(HEADS, positions=60)
    assert len(to_spec(final_attention(few, PROMPT))["layer"]) == 2
    assert len(to_spec(final_attention(many, (PROMPT * 8)[:60]))["layer"]) == 1


def test_a_pattern_is_a_triangle_of_means() -> None:
    whole = to_spec(attention_patterns(attention_pattern_table(HEADS), PROMPT))
    rows: list[dict[str, Any]] = whole["datasets"][whole["concat"][0]["data"]["name"]]
    assert [len(row["weight"]) for row in rows] == list(range(1, 9))
    assert all(sum(row["weight"]) == pytest.approx(1, abs=1e-3) for row in rows)
    panel = to_svg(attention_patterns(attention_pattern_table(HEADS[:1]), PROMPT)).split("layer_0_marks")[1]
    assert panel.split("</g>")[0].count("<path") == 36


@pytest.mark.parametrize("positions", [3, 8, 40])
def test_both_fit_a_page_for_every_length_of_prompt(positions: int) -> None:
    tokens = (PROMPT * 5)[:positions]
    for svg in (
        to_svg(final_attention(attention_table(HEADS, positions, 2), tokens)),
        to_svg(attention_patterns(attention_pattern_table(HEADS, positions, 2), tokens)),
    ):
        assert float(svg.split('width="')[1].split('"')[0]) <= 1000
