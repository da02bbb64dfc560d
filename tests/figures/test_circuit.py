"""A circuit's drawing."""

from typing import Any

import polars as pl

from vitro.figures import circuit_drawing, to_json, to_spec, to_svg
from vitro.figures.look import GRAY


def tables(*arrows: tuple[str, str, str], fixed: str = "", pinned: str = "") -> tuple[pl.DataFrame, pl.DataFrame]:
    names = list(dict.fromkeys(name for source, reader, _ in arrows for name in (source, reader)))
    kinds = {"i": "input", "a": "head", "m": "mlp", "b": "bias", "r": "stream", "l": "logits"}
    boxes = pl.DataFrame(
        {
            "name": names,
            "kind": [kinds[name[0]] for name in names],
            "note": ["looks at subject" if name == pinned else "what it is" for name in names],
            "fixed": ["at mean" if name == fixed else "" for name in names],
            "constant": [name == fixed for name in names],
        }
    )
    return boxes, pl.DataFrame(arrows, schema=["source", "reader", "input"], orient="row")


def rows(*wanted: str, **options: Any) -> list[dict[str, Any]]:
    """The rows of the drawing of a small circuit that have these columns."""
    arrows = [("input", "m0", ""), ("m0", "a9.h1", "q, k"), ("input", "a9.h1", "v"), ("a9.h1", "logits", "")]
    spec = to_spec(circuit_drawing(*tables(*arrows, **options), "A circuit"))
    return [row for data in spec["datasets"].values() for row in data if set(wanted) <= set(row)]


def test_every_box_is_named_and_hovering_tells_what_it_reads() -> None:
    assert {row["name"]: row["reads"] for row in rows("reads")} == {
        "input": "nothing", "m0": "input", "a9.h1": "m0, input", "logits": "a9.h1"
    }  # fmt: skip
    assert {row["text"] for row in rows("text")} >= {"input", "m0", "a9.h1", "logits"}


def test_a_pin_is_written_in_its_box() -> None:
    assert "looks at subject" in {row["text"] for row in rows("text", pinned="a9.h1")}


def test_the_points_at_which_a_head_reads_different_sums_are_named() -> None:
    assert {"q, k", "v"} <= {row["text"] for row in rows("text")}


def test_what_is_at_a_constant_is_grey_and_the_subtitle_says_so() -> None:
    texts = {row["text"]: row["color"] for row in rows("text", fixed="m0")}
    assert texts["m0"] == texts["at mean"] == GRAY
    assert texts["a9.h1"] != GRAY
    arrows = [("input", "m0", ""), ("m0", "logits", "")]
    with_grey, without = (
        to_spec(circuit_drawing(*tables(*arrows, fixed=fixed), "A circuit"))["title"]["subtitle"][-1]
        for fixed in ("m0", "")
    )
    assert "Grey" in with_grey
    assert "Grey" not in without


def test_a_long_circuit_is_scaled_to_the_page() -> None:
    chain = [("input", "m0", "")] + [(f"m{layer}", f"m{layer + 1}", "") for layer in range(30)]
    svg = to_svg(circuit_drawing(*tables(*chain, ("m30", "logits", "")), "A long circuit"))
    assert float(svg.split('width="')[1].split('"')[0]) <= 1020


def test_a_name_is_text_and_never_markup() -> None:
    boxes, arrows = tables(("input", "logits", ""))
    figure = circuit_drawing(boxes, arrows, "</script><b>")
    assert "<b>" not in to_svg(figure)
    assert "input" in to_json(figure)
