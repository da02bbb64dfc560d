from typing import Any

import pytest

from figures.ablation_tables import DAYS_SAID
from figures.living_tables import ALPHAS, steering_attention_table, steering_table, steering_vector_table
from vitro.figures import steering, to_spec, to_svg
from vitro.figures.spread import DOTS

VECTOR = steering_vector_table()


def datasets(prompts: int = 7) -> list[list[dict[str, Any]]]:
    spec = to_spec(steering(steering_table(prompts), steering_attention_table(prompts=prompts), VECTOR, DAYS_SAID))
    return [spec["datasets"][panel["data"]["name"]] for panel in spec["hconcat"]]


def test_each_panel_has_a_mean_for_every_alpha_and_line_and_a_dot_for_every_prompt() -> None:
    for rows, lines in zip(datasets(), (2, 3), strict=True):
        assert sum("mean" in row for row in rows) == lines * len(ALPHAS)
        assert sum("value" in row for row in rows) == lines * len(ALPHAS) * 7


def test_many_prompts_are_a_band() -> None:
    assert all("mean" in row for rows in datasets(DOTS + 1) for row in rows)


def test_alphas_stand_in_order_at_equal_distances() -> None:
    svg = to_svg(steering(steering_table(), steering_attention_table(), VECTOR, DAYS_SAID))
    places = [svg.index(f">{label}</text>") for label in ("−5", "−1", "0", "1", "5", "100")]
    assert places == sorted(places)


@pytest.mark.parametrize("heads", [1, 8, 12])
def test_the_panels_fit_a_page_and_every_head_has_its_line(heads: int) -> None:
    chosen = [(9, head) for head in range(heads)]
    svg = to_svg(steering(steering_table(), steering_attention_table(chosen), VECTOR, DAYS_SAID))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1000
    assert all(f">a9.h{head}</text>" in svg for head in range(heads))


def test_the_title_says_what_was_added_and_where() -> None:
    svg = to_svg(
        steering(steering_table(), steering_attention_table(), steering_vector_table("</b>", "all"), DAYS_SAID)
    )
    assert "the stream after layer 8 pushed along '&lt;/b&gt;'" in svg
    assert "folded unembedding vector is added at every stream" in svg
