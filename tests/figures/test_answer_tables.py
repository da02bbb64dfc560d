from typing import Any

import polars as pl
import pytest

from figures.living_tables import DAYS, answer_table, next_of
from vitro.figures import answer_tables, to_spec, to_svg


def spec(words: list[str] = DAYS, table: pl.DataFrame | None = None) -> dict[str, Any]:
    return to_spec(answer_tables(answer_table(words) if table is None else table, words, next_of(words)))


def rows(panel: dict[str, Any], whole: dict[str, Any]) -> list[dict[str, Any]]:
    return list(whole["datasets"][panel["data"]["name"]])


def test_a_panel_says_how_many_prompts_its_component_gets_right() -> None:
    titles = [panel["title"]["text"] for panel in spec()["concat"]]
    assert titles == ["a9.h1: 7 of 7 right", "m9: 0 of 7 right"]


def test_the_right_answer_and_the_highest_one_are_known_to_each_row() -> None:
    whole = spec()
    answer, subject = (rows(panel, whole) for panel in whole["concat"])
    assert [row["right"] for row in answer] == [row["top"] for row in answer] == [1, 2, 3, 4, 5, 6, 0]
    assert [row["top"] for row in subject] == [0, 1, 2, 3, 4, 5, 6]


def test_cells_stand_under_their_answer_whatever_the_order_of_the_rows() -> None:
    shuffled = answer_table().sample(fraction=1.0, shuffle=True, seed=0)
    # The columns follow the table's first rows, as a task lists its answers.
    ordered = pl.concat([answer_table().head(7), shuffled]).unique(
        ["prompt", "component", "answer"], maintain_order=True
    )
    plain, mixed = spec(), spec(table=ordered)
    assert sorted(plain["datasets"]) == sorted(mixed["datasets"])


def test_all_panels_share_one_scale_centred_on_zero() -> None:
    scales = [panel["layer"][0]["encoding"]["color"]["scale"] for panel in spec()["concat"]]
    low, high = scales[0]["domain"]
    assert low == -high
    assert all(scale == scales[0] for scale in scales)


@pytest.mark.parametrize("count", [2, 7, 12, 100])
def test_every_size_of_task_fits_a_page(count: int) -> None:
    words = [f" {number}" for number in range(count)]
    svg = to_svg(answer_tables(answer_table(words, ["a9.h1", "m9", "logits"]), words, next_of(words)))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000


def test_seven_days_stand_four_abreast_within_a_page() -> None:
    components = [f"m{layer}" for layer in range(5)]
    figure = answer_tables(answer_table(DAYS, components), DAYS, next_of(DAYS))
    assert to_spec(figure)["columns"] == 4
    assert float(to_svg(figure).split('width="')[1].split('"')[0]) <= 1000


def test_a_clamped_scale_says_so_in_the_subtitle() -> None:
    words = [f" {number}" for number in range(100)]
    assert "clamped at ±" in " ".join(spec(words)["title"]["subtitle"])
    assert "clamped" not in " ".join(spec()["title"]["subtitle"])
