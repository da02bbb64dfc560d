"""MIB's curve: circuits chosen by hand on a tiny graph, areas by hand, and whole curves against plain loops."""

from functools import partial

import numpy as np
import pytest
from torch import Tensor

from discovery.slow_curve import slow_curve, slow_greedy, slow_top
from small_models import random_model
from vitro.circuits import Graph, counterfactual, resampled
from vitro.discovery import SELECTIONS, SIZES, Case, Curve, CurveError, Ranking, Selection, run_curves, select
from vitro.discovery.curve_files import given
from vitro.metrics import METRICS
from vitro.tasks import Questions

PROMPTS = ((0, 5, 9, 3, 7), (0, 5, 9, 4, 7), (0, 6, 2, 8, 1))
PARTNERS = ((0, 5, 10, 3, 7), (0, 5, 11, 12, 7), (0, 6, 4, 8, 1))
TOKENS = {
    "gpt2": ((28, 38, 26), (9, 58, 54)),
    "neox-parallel": ((13, 4, 55), (43, 38, 13)),
    "llama-gqa-3": ((54, 41, 28), (46, 53, 22)),
}
"""Right and wrong tokens of the prompts, such that there is something to explain: f is a share of it."""
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
    for selection in SELECTIONS:
        taken = select(graph, scores, "signed", selection).masks.sum(1)
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


def case_of(name: str, kind: str) -> Case:
    model = random_model(name)
    one = tuple(str(number) for number in range(len(PROMPTS)))
    right, wrong = (tuple((token,) for token in tokens) for tokens in TOKENS[name])
    questions = Questions(PROMPTS, one, right, wrong, one, one, marks={}, partner=PARTNERS)
    by_kind = {
        "counterfactual": partial(counterfactual, model, PROMPTS, PARTNERS),
        "resample": partial(resampled, model, PROMPTS, 0),
    }
    return Case(model, questions, METRICS["logit_diff"], by_kind[kind]())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gpt2", "counterfactual"), ("neox-parallel", "resample"), ("llama-gqa-3", "counterfactual")],
)
def test_whole_curves_of_random_scores_equal_plain_loops(name: str, kind: str) -> None:
    case, (right, wrong) = case_of(name, kind), TOKENS[name]

    def logit_diff(logits: Tensor, prompt: int) -> float:
        return float(logits[right[prompt]] - logits[wrong[prompt]])

    scores = np.random.default_rng(0).normal(size=len(case.graph)).round(1)  # With ties.
    ways: list[tuple[Ranking, Selection]] = [("signed", "top"), ("absolute", "top"), ("absolute", "greedy")]
    nested = [select(case.graph, scores, *way) for way in ways]
    for way, curve in zip(ways, run_curves(case, nested, [case.metric])["logit_diff"], strict=True):
        ranked = scores if way[0] == "signed" else np.abs(scores)
        take = slow_top if way[1] == "top" else slow_greedy
        left, f, cpr, cmd = slow_curve(case.model, PROMPTS, case.constants, logit_diff, ranked.tolist(), take)
        assert curve.edges.tolist() == left
        assert len(set(left)) >= 4
        np.testing.assert_allclose(curve.faithfulness, f, rtol=0, atol=1e-4)
        np.testing.assert_allclose([curve.cpr, curve.cmd], [cpr, cmd], rtol=0, atol=1e-4)


def test_the_whole_graph_is_as_faithful_as_the_model_and_an_empty_one_not_at_all() -> None:
    case = case_of("gpt2", "counterfactual")
    worst = select(case.graph, -np.arange(len(case.graph), dtype=float), "signed", "top")
    metrics = [METRICS[name] for name in ("logit_diff", "answer_prob", "kl")]
    for (curve,) in run_curves(case, [worst], metrics).values():
        # Edges into the first layers alone lead nowhere.
        assert (curve.edges[0], curve.edges[-1]) == (0, len(case.graph))
        assert curve.faithfulness[0] == pytest.approx(0, abs=1e-5)
        assert curve.faithfulness[-1] == pytest.approx(1, abs=1e-5)


def test_nine_given_circuits_have_the_curve_of_the_ranking_that_they_are_from() -> None:
    case = case_of("gpt2", "counterfactual")
    ranked = select(case.graph, np.random.default_rng(1).normal(size=len(case.graph)), "signed", "top")
    shuffled = [case.graph.pruned(mask) for mask in ranked.masks[[3, 1, 0, 2, 8, 7, 6, 5, 4]]]
    of_scores, of_circuits = run_curves(case, [ranked, given(case.graph, shuffled)], [case.metric])["logit_diff"]
    assert of_circuits.cpr == of_scores.cpr
    assert of_circuits.edges.tolist() == of_scores.edges.tolist()


def test_given_circuits_that_are_too_few_or_too_large_are_refused() -> None:
    graph = Graph(n_layers=3, n_heads=4, parallel=False)
    masks = select(graph, np.arange(len(graph), dtype=float), "signed", "top").masks
    none = np.zeros((1, len(graph)), dtype=bool)
    assert given(graph, [*none, *masks[:9]]).masks.sum() == masks.sum()
    assert given(graph, [*masks]).masks.sum() == masks.sum()
    with pytest.raises(CurveError, match=r"there are 8 circuits; what works: 9, of up to 0\.1, 0\.2, 0\.5, 1, 2"):
        given(graph, list(masks[:8]))
    with pytest.raises(CurveError, match=r"a circuit has 2 edges where at most 0\.5 %"):
        given(graph, [*masks[:2], masks[3], *masks[3:9]])
