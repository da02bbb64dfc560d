"""MIB's curve: circuits chosen by hand on a tiny graph, areas by hand, and whole curves against plain loops."""

import numpy as np
import pytest

from vitro.circuits import Graph
from vitro.discovery import SIZES, Curve, CurveError, select
from vitro.discovery.curve import Ranking, Selection

TINY = Graph(n_layers=1, n_heads=1, parallel=False)
SCORES = {
    "input->a0.h0<q>": 0.1,
    "input->a0.h0<k>": -9.0,
    "input->a0.h0<v>": 5.0,
    "input->m0": 2.0,
    "a0.h0->m0": -3.0,
    "input->logits": 1.0,
    "a0.h0->logits": -4.0,
    "m0->logits": 3.0,
}
HALF = SIZES.index(0.5)


def names(mask: np.ndarray) -> set[str]:
    return {str(edge) for edge, kept in zip(TINY.edges, mask, strict=True) if kept}


@pytest.mark.parametrize(
    ("ranking", "selection", "taken", "left"),
    [
        (
            "signed",
            "top",
            {"input->a0.h0<v>", "m0->logits", "input->m0", "input->logits"},
            {"m0->logits", "input->m0", "input->logits"},
        ),
        (
            "absolute",
            "top",
            # Of the two edges of size 3, the first in the graph's order.
            {"input->a0.h0<k>", "input->a0.h0<v>", "a0.h0->logits", "a0.h0->m0"},
            {"input->a0.h0<k>", "input->a0.h0<v>", "a0.h0->logits"},
        ),
        (
            "signed",
            "greedy",
            # A negative edge enters because n demands it, and its source has no way in.
            {"m0->logits", "input->m0", "input->logits", "a0.h0->m0"},
            {"m0->logits", "input->m0", "input->logits"},
        ),
        (
            "absolute",
            "greedy",
            {"a0.h0->logits", "input->a0.h0<k>", "input->a0.h0<v>", "m0->logits"},
            {"a0.h0->logits", "input->a0.h0<k>", "input->a0.h0<v>"},
        ),
    ],
)
def test_four_of_eight_edges_are_taken_as_by_hand(
    ranking: Ranking, selection: Selection, taken: set[str], left: set[str]
) -> None:
    assert [str(edge) for edge in TINY.edges] == list(SCORES)
    mask = select(TINY, np.array(list(SCORES.values())), ranking, selection).masks[HALF]
    assert names(mask) == taken
    assert names(TINY.pruned(mask)) == left


def test_at_each_size_so_many_edges_are_taken_as_mib_counts_in_gpt2_small() -> None:
    graph = Graph(n_layers=12, n_heads=12, parallel=False)
    scores = np.random.default_rng(0).normal(size=len(graph))
    for selection in ("top", "greedy"):
        taken = select(graph, scores, "signed", selection).masks.sum(1)  # type: ignore[arg-type]
        assert taken.tolist() == [32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491]


def test_scores_that_rank_nothing_are_refused() -> None:
    scores = np.array(list(SCORES.values()))
    with pytest.raises(CurveError, match=r"there are 7 scores, and the model's graph has 8 edges"):
        select(TINY, scores[:7], "signed", "top")
    scores[4] = np.nan
    with pytest.raises(CurveError, match=r"the score of a0\.h0->m0 is NaN"):
        select(TINY, scores, "absolute", "greedy")


def curve(*f: float, sizes: tuple[float, ...] = SIZES) -> Curve:
    """A curve of one prompt, of which the empty circuit's metric is 2 and the model's 4."""
    count = np.zeros(len(f), dtype=int)
    return Curve(sizes, count, count, 2 + 2 * np.array(f)[:, None], np.array([4.0]), np.array([2.0]))


def test_circuits_as_good_as_the_model_have_a_cpr_of_999_thousandths_and_a_cmd_of_0() -> None:
    assert curve(*[1.0] * 10).cpr == pytest.approx(0.999, abs=1e-12)
    assert curve(*[1.0] * 10).cmd == pytest.approx(0, abs=1e-12)


def test_areas_are_as_by_hand() -> None:
    # .001 x (0 + 2) / 2 + .003 x (2 + .5) / 2 + .005 x (.5 + .5) / 2 + .09 x (.5 + 1) / 2 + .9 x (1 + 1) / 2
    shown = curve(0.0, 2.0, 0.5, 0.5, 1.0, 1.0, sizes=(0.001, 0.002, 0.005, 0.01, 0.1, 1.0))
    assert shown.cpr == pytest.approx(0.001 + 0.00375 + 0.0025 + 0.0675 + 0.9, abs=1e-12)
    # .001 x (1 + 1) / 2 + .003 x (1 + .5) / 2 + .005 x (.5 + .5) / 2 + .09 x (.5 + 0) / 2
    assert shown.cmd == pytest.approx(0.001 + 0.00225 + 0.0025 + 0.0225, abs=1e-12)


def test_faithfulness_is_a_ratio_of_means_not_a_mean_of_ratios() -> None:
    values, model, empty = np.array([[1.0, 2.0]]), np.array([1.0, 5.0]), np.array([0.0, 1.0])
    one_size = np.zeros(1, dtype=int)
    # By prompt 1 and 1/4; of the means (1.5 - .5) / (3 - .5).
    assert Curve((1.0,), one_size, one_size, values, model, empty).faithfulness == pytest.approx(0.4)


def test_where_model_and_empty_circuit_do_the_same_there_is_nothing_to_explain() -> None:
    count, values = np.zeros(1, dtype=int), np.array([[1.0, 3.0]])
    same = Curve((1.0,), count, count, values, np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    assert not same.has_span
    with pytest.raises(CurveError, match="nothing to explain: the metric is 2 in the model and in the empty circuit"):
        _ = same.cpr
