from typing import Any

import pytest

from figures.ablation_tables import DAYS_SAID
from figures.living_tables import PROMPT, attention_pin_table
from vitro.figures import pins, to_spec, to_svg
from vitro.figures.spread import DOTS


def panels(prompts: int = 7) -> dict[str, list[dict[str, Any]]]:
    spec = to_spec(pins(attention_pin_table(prompts=prompts), PROMPT, DAYS_SAID))
    return {panel["title"]["text"]: spec["datasets"][panel["data"]["name"]] for panel in spec["concat"]}


def test_each_choice_of_heads_has_a_panel_in_the_order_of_the_table() -> None:
    assert list(panels()) == ["a9.h1", "a10.h3", "a9.h1+a10.h3"]


@pytest.mark.parametrize("prompts", [7, DOTS + 1])
def test_what_falls_below_the_clean_run_is_lost_and_the_subject_is_not(prompts: int) -> None:
    for rows in panels(prompts).values():
        assert {row["place"] for row in rows if not row["lost"]} == {-2, 4}


def test_few_prompts_are_dots_and_many_a_range() -> None:
    places = len(PROMPT) + 1
    assert len(panels()["a9.h1"]) == places * (7 + 1)
    assert len(panels(DOTS + 1)["a9.h1"]) == places


def test_a_prompt_is_compared_with_its_own_clean_run() -> None:
    table = attention_pin_table(prompts=2)
    rows = pins(table, PROMPT, DAYS_SAID)
    bars = [row for data in to_spec(rows)["datasets"].values() for row in data if "value" in row]
    for row in bars:
        clean = next(r for r in bars if (r["heads"], r["prompt"], r["place"]) == (row["heads"], row["prompt"], -2))
        assert row["lost"] == (row["value"] < clean["value"])


@pytest.mark.parametrize("positions", [3, 8, 30])
def test_the_panels_fit_a_page_for_every_length_of_prompt(positions: int) -> None:
    svg = to_svg(pins(attention_pin_table(positions=positions), (PROMPT * 4)[:positions], DAYS_SAID))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
