import xml.etree.ElementTree as ET
from typing import Any

import pytest

from figures.ablation_tables import HOSTILE
from figures.living_tables import DAYS, PROMPT, layer_lens_top_table, stream_top_table
from vitro.figures import Figure, layer_top_tokens, readable, stream_top_tokens, to_spec, to_svg


def cells(figure: Figure) -> list[dict[str, Any]]:
    (shown,) = to_spec(figure)["datasets"].values()
    return list(shown)


def test_a_cell_is_the_top_token_at_the_end_of_the_layer_and_hovering_lists_five() -> None:
    shown = cells(layer_top_tokens(layer_lens_top_table(), DAYS))
    assert len(shown) == 12 * 7
    last = next(cell for cell in shown if (cell["layer"], cell["column"]) == (11, 0))
    assert last["word"] == "␣Tuesday"
    assert [last[f"top{place}"].split()[0] for place in range(1, 6)] == [
        "␣Tuesday",
        "␣Monday",
        "␣today",
        "␣that",
        "␣the",
    ]
    assert "top6" not in last


def test_of_many_prompts_twelve_are_shown_and_the_subtitle_says_so() -> None:
    figure = layer_top_tokens(
        layer_lens_top_table([f" {n}" for n in range(100)], layers=2), [f" {n}" for n in range(100)]
    )
    assert len(cells(figure)) == 2 * 12
    assert "12 of 100 prompts" in " ".join(to_spec(figure)["title"]["subtitle"])


def test_a_stream_is_shaded_where_it_still_looks_like_its_own_token() -> None:
    shown = cells(stream_top_tokens(stream_top_table(), PROMPT))
    assert {cell["layer"] for cell in shown if cell["column"] == 0 and cell["own"]} == {0, 1, 2, 3}
    assert all(f"top{place}" in cell for cell in shown for place in range(1, 11))


def test_hostile_tokens_are_drawn_as_readable_text_in_well_formed_svg() -> None:
    drawing = ET.fromstring(to_svg(stream_top_tokens(stream_top_table(HOSTILE, layers=2), HOSTILE)))
    texts = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")}
    # Long tokens end in an ellipsis; the others are there whole.
    assert {readable(token) for token in HOSTILE if len(readable(token)) < 12} <= texts


@pytest.mark.parametrize("columns", [2, 7, 12, 60])
def test_the_grid_fits_a_page(columns: int) -> None:
    words = [f" word{number}" for number in range(columns)]
    for figure in (
        layer_top_tokens(layer_lens_top_table(words, layers=3), words),
        stream_top_tokens(stream_top_table(words, layers=3), words),
    ):
        assert float(to_svg(figure).split('width="')[1].split('"')[0]) <= 1000
