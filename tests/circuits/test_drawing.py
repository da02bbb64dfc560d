"""The tables behind a circuit's drawing."""

import polars as pl
import pytest

from small_models import random_model
from vitro.circuits import Circuit, boxes_and_arrows


def notes(text: str) -> dict[str, list[object]]:
    """Of every box: note, fixed, constant."""
    boxes, _ = boxes_and_arrows(Circuit.wire(text))
    return {name: rest for name, *rest in boxes.select("name", "note", "fixed", "constant").iter_rows()}


def arrows(text: str) -> list[tuple[str, str, str]]:
    return boxes_and_arrows(Circuit.wire(text))[1].rows()


def test_every_node_is_a_box_in_the_models_order_and_every_edge_an_arrow() -> None:
    circuit = Circuit.wire("input -> m0; input, m0 -> a9.h1, a10.h3; a9.h1, a10.h3 -> m9; a9.h1, m9 -> logits")
    boxes, drawn = boxes_and_arrows(circuit)
    assert boxes["name"].to_list() == ["input", "m0", "a9.h1", "m9", "a10.h3", "logits"]
    assert boxes["kind"].to_list() == ["input", "mlp", "head", "mlp", "head", "logits"]
    assert set(drawn.rows()) == {(str(edge.source), str(edge.reader), "") for edge in circuit.edges}


def test_a_pinned_head_says_where_it_looks() -> None:
    notes_by_box = notes("input -> a1.h1[subject], a2.h0[3], a2.h1; a1.h1, a2.h0, a2.h1 -> logits")
    assert [notes_by_box[name][0] for name in ("a1.h1", "a2.h0", "a2.h1")] == [
        "looks at subject",
        "looks at stream 3",
        "head",
    ]


def test_inputs_that_share_a_sum_share_an_arrow() -> None:
    assert arrows("input -> m0; m0 -> a1.h1<q>, a1.h1<k>; input, m0 -> a1.h1<v>; a1.h1 -> logits")[1:] == [
        *(("m0", "a1.h1", "q, k"), ("input", "a1.h1", "v"), ("m0", "a1.h1", "v")),
        ("a1.h1", "logits", ""),
    ]
    assert arrows("input -> a1.h1<v>[2]; a1.h1 -> logits")[0] == ("input", "a1.h1", "v")


def test_a_component_at_a_constant_says_at_which() -> None:
    notes_by_box = notes("zero: a0.h1; resample: m2; input, a0.h1 -> a1.h3; a1.h3, m2 -> logits")
    assert notes_by_box["a0.h1"] == ["head", "at zero", True]
    assert notes_by_box["m2"] == ["MLP", "resampled", True]
    assert notes_by_box["a1.h3"] == ["head", "", False]


@pytest.mark.parametrize(
    ("keep", "options", "note", "fixed"),
    [
        (["0.1", "2.3"], {}, "live: a0.h1, a2.h3, all MLPs", "10 heads at mean"),
        ([], {"until": 1}, "live: all MLPs", "all 8 heads at mean"),
        (["0.1"], {"mlps": "ablated"}, "live: a0.h1", "11 heads at mean\nall 3 MLPs at mean"),
        (["m0"], {"mlps": "ablated"}, "live: m0", "all 12 heads at mean\n2 MLPs at mean"),
        ([], {"mlps": "ablated"}, None, "all 12 heads at mean\nall 3 MLPs at mean"),
        ([(0, 1)], {"heads_of": [0], "until": 0}, "live: a0.h1, all MLPs", "3 heads at mean"),
        ([(0, 0)], {"heads_of": [0]}, "live: 9 of 12 heads, all MLPs", "3 heads at mean"),
        ([], {"heads_of": []}, None, ""),
    ],
)
def test_a_stream_says_what_of_it_is_live_and_what_is_fixed(
    keep: list[str | tuple[int, int]], options: dict[str, object], note: str | None, fixed: str
) -> None:
    circuit = Circuit.within(random_model("gpt2"), keep, "mean", **options)  # type: ignore[arg-type]
    boxes, _ = boxes_and_arrows(circuit, n_heads=4)
    (row,) = boxes.filter(pl.col("kind") == "stream").to_dicts()
    until = options.get("until", 2)
    assert row["note"] == f"the model up to layer {until}" + ("" if note is None else f"\n{note}")
    assert row["fixed"] == fixed


def test_without_the_models_width_a_stream_counts_what_is_fixed_alone() -> None:
    notes_by_box = notes("mean: a0.h0-3; resid_post0 -> logits")
    assert notes_by_box["resid_post0"] == ["the model up to layer 0", "4 heads at mean", False]
