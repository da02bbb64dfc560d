from typing import Any

import pytest

from figures.ablation_tables import DAYS_SAID
from figures.living_tables import layer_lens_table
from vitro.figures import layer_lens, to_spec, to_svg
from vitro.figures.spread import DOTS


def datasets(layers: int = 12, prompts: int = 7) -> list[list[dict[str, Any]]]:
    spec = to_spec(layer_lens(layer_lens_table(layers, prompts), DAYS_SAID))
    return [spec["datasets"][panel["data"]["name"]] for panel in spec["vconcat"]]


def test_every_stream_is_drawn_once_in_the_order_in_which_it_is_made() -> None:
    curves, leads = datasets(layers=2)
    depths = [0, 0.5, 1, 1.5, 2]
    for over in ("subject", "all other answers"):
        assert [row["depth"] for row in leads if row["over"].endswith(over)] == depths
    assert [row["depth"] for row in curves if "mean" in row and row["token"] == "the answer"] == depths


def test_the_lower_panel_counts_the_prompts_in_which_the_answer_leads() -> None:
    table = layer_lens_table()
    after = table.filter(layer=6, stage="post")
    counts = {row["over"]: row["leads"] for row in datasets()[1] if row["depth"] == 7}
    assert counts == {
        "answer above the subject": (after["answer_prob"] > after["wrong_prob"]).sum(),
        "answer above all other answers": (after["answer_rank_among_answers"] == 0).sum(),
    }
    assert [row["leads"] for row in datasets()[1] if row["over"].endswith("answers")][-1] == 7


def test_few_prompts_are_lines_and_many_a_band() -> None:
    few, many = datasets(prompts=7)[0], datasets(prompts=DOTS + 1)[0]
    assert len({row["prompt"] for row in few if "value" in row}) == 7
    assert all("value" not in row for row in many)


@pytest.mark.parametrize("layers", [2, 12, 80])
def test_the_figure_fits_a_page_for_every_depth(layers: int) -> None:
    svg = to_svg(layer_lens(layer_lens_table(layers, prompts=2), DAYS_SAID))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
