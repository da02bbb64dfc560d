"""Searches replayed on a graph that can be written down."""

import polars as pl
import pytest

from vitro.circuits import Graph
from vitro.discovery.replay import on_the_way, replayed

GRAPH = Graph(n_layers=1, n_heads=2, parallel=False)
HEAD = {f"input->a0.h1<{letter}>" for letter in "qkv"}
STEPS = [
    ("node", "dropped", ["a0.h0", "m0"], {*HEAD, "a0.h1->logits", "input->logits"}),
    (
        *("node", "added", ["m0"]),
        {*HEAD, "a0.h1->logits", "input->logits", "input->m0", "a0.h1->m0", "m0->logits"},
    ),
    (
        # Without a way to the logits the head's other edges are no part of the circuit.
        *("edge", "dropped", ["a0.h1->logits", "a0.h1->m0"]),
        {"input->logits", "input->m0", "m0->logits"},
    ),
    (
        *("edge", "added", ["a0.h1->m0"]),
        {*HEAD, "a0.h1->m0", "input->logits", "input->m0", "m0->logits"},
    ),
    ("edge", "dropped", ["input->m0"], {*HEAD, "a0.h1->m0", "input->logits", "m0->logits"}),
    # A node that goes late takes the edges that it has left, and no edge comes back.
    ("node", "dropped", ["m0"], {"input->logits"}),
]


def search(steps: list[tuple[str, str, list[str], set[str]]]) -> pl.DataFrame:
    rows = [(number, *step[:2], name) for number, step in enumerate(steps) for name in step[2]]
    return pl.DataFrame(rows, schema=["step", "level", "action", "component"], orient="row")


def test_after_each_step_the_circuit_is_what_was_not_dropped_or_was_taken_back() -> None:
    circuits = [
        {str(edge) for edge, kept in zip(GRAPH.edges, mask, strict=True) if kept}
        for mask in replayed(GRAPH, search(STEPS))
    ]
    assert circuits == [expected for *_, expected in STEPS]


@pytest.mark.parametrize(
    ("steps", "numbers"),
    [
        # The nearest to a half and to less of 13 edges, and the last of nodes alone.
        (STEPS, [8, 7, 3, 1]),
        (STEPS[:2], [8, 5]),
        ([], []),
    ],
)
def test_the_nearest_to_mibs_sizes_are_chosen_and_the_last_of_nodes_alone(
    steps: list[tuple[str, str, list[str], set[str]]], numbers: list[int]
) -> None:
    empty = pl.DataFrame(schema={"step": pl.Int64, "level": pl.String, "action": pl.String, "component": pl.String})
    assert on_the_way(GRAPH, search(steps) if steps else empty).sum(1).tolist() == numbers
