"""The pictures of attention: from the final stream, in circuits, and from every stream."""

import re
from typing import Any

import polars as pl
import pytest

from figures.ablation_tables import HOSTILE
from figures.living_tables import PROMPT, attention_pattern_table, attention_table, circuit_attention_table
from vitro.figures import (
    Figure,
    attention_patterns,
    circuit_attention,
    final_attention,
    readable,
    to_json,
    to_spec,
    to_svg,
)

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


def test_circuits_stand_in_the_tables_order_each_with_its_own_heads_in_the_models() -> None:
    named = ("the post's last", "a circuit with a name longer than any page is wide, " * 5)
    svg = to_svg(circuit_attention(circuit_attention_table(named), PROMPT))
    texts = re.findall(r">(a\d+\.h\d+|the post's last|a circuit with[^<]*)</text>", svg)
    cut = texts.pop(4)
    assert cut.startswith("a circuit with a name longer")
    assert texts == ["the post's last", "a8.h11", "a9.h1", "a10.h3", "a9.h1", "a10.h3"]
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000


@pytest.mark.parametrize("positions", [3, 8, 40])
def test_all_fit_a_page_for_every_length_of_prompt(positions: int) -> None:
    tokens = (PROMPT * 5)[:positions]
    for svg in (
        to_svg(final_attention(attention_table(HEADS, positions, 2), tokens)),
        to_svg(circuit_attention(circuit_attention_table(positions=positions), tokens)),
        to_svg(attention_patterns(attention_pattern_table(HEADS, positions, 2), tokens)),
    ):
        assert float(svg.split('width="')[1].split('"')[0]) <= 1000


EACH = [[*PROMPT[:4], f" {word}", *PROMPT[5:]] for word in ("Monday", "Tuesday", "Wednesday")]


def in_prompt(figure: Figure, number: int) -> str:
    """The figure as a reader sees it who has chosen a prompt."""
    spec = to_spec(figure)
    [choice] = spec["params"]
    assert choice["value"] == -1
    assert number in choice["bind"]["options"]
    choice["value"] = number
    return to_svg(spec)


def test_a_prompt_can_be_chosen_instead_of_the_mean_and_brings_its_own_tokens() -> None:
    table, pattern = attention_table(HEADS, prompts=3), attention_pattern_table(HEADS, prompts=3)
    figures: list[Figure] = [final_attention(table, PROMPT, EACH), attention_patterns(pattern, PROMPT, EACH)]
    for figure in figures:
        assert "{subject}</text>" in to_svg(figure)
        assert "Tuesday</text>" not in to_svg(figure)
        chosen = in_prompt(figure, 1)
        assert "Tuesday</text>" in chosen
        assert "{subject}</text>" not in chosen
        assert "Monday</text>" not in chosen


def written(svg: str) -> list[str]:
    """The weights in the cells, head by head."""
    return re.findall(r">([01]\.\d\d)</text>", svg)


def test_the_chosen_prompt_is_drawn_with_its_own_weights() -> None:
    table = attention_table(HEADS, prompts=3)
    mean = table.group_by("layer", "head", "position").agg(pl.col("weight").mean()).sort("layer", "head", "position")
    chosen = table.filter(prompt=2).sort("layer", "head", "position")
    figure = final_attention(table, PROMPT, EACH)
    assert written(to_svg(figure)) == [f"{weight:.2f}" for weight in mean["weight"]]
    assert written(in_prompt(figure, 2)) == [f"{weight:.2f}" for weight in chosen["weight"]] != written(to_svg(figure))


def test_of_many_prompts_twelve_can_be_chosen() -> None:
    tokens = [PROMPT] * 100
    spec = to_spec(final_attention(attention_table(HEADS, prompts=100), PROMPT, tokens))
    assert spec["params"][0]["bind"]["options"] == [-1, *(100 * number // 12 for number in range(12))]
    assert len(to_json(final_attention(attention_table(HEADS, prompts=100), PROMPT, tokens))) < 100_000


def test_hostile_tokens_can_be_chosen_and_are_shown_whole() -> None:
    tokens = [[*HOSTILE[:1], *PROMPT[1:]]] * 3
    figure = attention_patterns(attention_pattern_table(HEADS[:1], prompts=3), PROMPT, tokens)
    assert readable(HOSTILE[0]) in to_spec(figure)["params"][0]["bind"]["labels"][1]
    assert "<script" not in in_prompt(figure, 1)
