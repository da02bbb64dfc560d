"""Edges of the planted model: the four that carry the task, and no others."""

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest

from planted import COPY, SUCCESSOR
from vitro import discovery
from vitro.circuits import LOGITS, Edge, Graph, node
from vitro.discovery import Case
from vitro.experiments import SCORE_EXPERIMENTS, Options, Setup, ablate_edges, edge_scores, score_edges
from vitro.experiments.curve import CURVE
from vitro.experiments.edges import EDGE, EDGES, by_edge, edge_metric
from vitro.experiments.edges_agreement import EDGES_AGREEMENT, agreement, overlap
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.prompts import PROMPTS
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.options import MetricName, OptionError, ScoreName
from vitro.tasks import days

COPIER, SUCCEEDER = (f"a{layer}.h{head}" for layer, head in (COPY, SUCCESSOR))


@pytest.mark.parametrize("method", ["mean", "resample"])
def test_the_planted_edges_are_the_strongest_by_far(planted_model: Model, method: str) -> None:
    options = Options(samples=8, edge_ablation=method)  # type: ignore[arg-type]
    strongest = by_edge(ablate_edges(planted_model, days(), options).table, "logit_diff")
    carry = {f"{SUCCEEDER}->logits", f"input->{SUCCEEDER}<v>", f"{COPIER}->logits", f"input->{COPIER}<v>"}
    assert set(strongest["edge"][:4]) == carry
    changes = strongest["logit_diff_change"].abs()
    assert changes[3] > 10 * changes[4]


def test_zeroing_the_embedding_leaves_positions_by_which_they_attend(planted_model: Model) -> None:
    table = ablate_edges(planted_model, days(), Options(samples=8, edge_ablation="zero")).table
    by_input = table.filter(source="input", target=SUCCEEDER).group_by("input").agg(pl.col("logit_diff_change").mean())
    assert by_input.filter(pl.col("logit_diff_change").abs() > 0.1)["input"].to_list() == ["v"]


def test_the_summary_names_the_strongest_edge_unless_another_is_as_strong(planted_model: Model) -> None:
    measurement = ablate_edges(planted_model, days(), Options(samples=8))
    # What the head reads and what it writes are one path: cutting either does the same.
    assert "none stands out" in measurement.experiment.summary(measurement.tables)
    strength = pl.when((pl.col("source") == SUCCEEDER) & (pl.col("target") == "logits")).then(2.0).otherwise(1.0)
    apart = measurement.table.with_columns(pl.col("logit_diff_change") * strength)
    assert f"{SUCCEEDER}->logits changes the logit difference most" in measurement.experiment.summary(
        {**measurement.tables, "edges": apart}
    )


@pytest.mark.parametrize("name", ["eap", "eap-ig"])
def test_gradients_rank_the_planted_edges_first_too(planted_model: Model, name: ScoreName) -> None:
    strongest = score_edges(planted_model, days(), name, Options(samples=8)).numbers["edge"][:4]
    assert {f"{SUCCEEDER}->logits", f"input->{SUCCEEDER}<v>"} <= set(strongest)


@pytest.mark.parametrize("name", [name for name in SCORE_EXPERIMENTS if name != "exact"])
def test_a_table_holds_the_scores_of_its_case_edge_by_edge_and_prompt_by_prompt(
    planted_model: Model, name: ScoreName
) -> None:
    setup = Setup(planted_model, days(), Options(samples=8, sweep_prompts=3))
    (table,) = setup.tables(SCORE_EXPERIMENTS[name]).values()
    case = Case(planted_model, setup.swept.questions, METRICS["logit_diff"], setup.swept.constants("mean"))
    scores = discovery.score_edges(case, name).numpy()
    for edge, prompt in ((0, 0), (100, 1), (261, 2)):
        source, target = str(case.graph.edges[edge].source), str(case.graph.edges[edge].reader)
        row = table.row(3 * edge + prompt, named=True)
        names = (setup.swept.prompt_numbers[prompt], source, target, case.graph.edges[edge].input, "mean")
        assert (row["prompt"], row["source"], row["target"], row["input"], row["method"]) == names
        assert row["score"] == scores[edge, prompt]
    assert len(table) == scores.size
    np.testing.assert_allclose(edge_scores(setup.tables(SCORE_EXPERIMENTS[name]), name), scores.mean(1), atol=1e-7)


def test_an_exact_score_is_what_the_metric_loses_by_the_cut(planted_model: Model) -> None:
    measured = score_edges(planted_model, days(), "exact", Options(samples=8))
    scores = edge_scores(measured.tables, "exact")
    edge = Graph.of(planted_model).number[Edge(node(SUCCEEDER), LOGITS)]
    rows = measured.table.filter(source=SUCCEEDER, target="logits")
    assert scores[edge] == pytest.approx(-rows["logit_diff_change"].to_numpy().mean(), rel=1e-6)
    assert scores[edge] > 0.5


def test_gradients_can_be_taken_after_what_takes_none(planted_model: Model) -> None:
    options = Options(samples=8)
    setup = Setup(planted_model, days(), options)
    setup.tables(HEAD_LENS)  # Reads the answers in inference mode, first.
    after = setup.tables(SCORE_EXPERIMENTS["eap"])["edges_eap"]
    assert after.equals(score_edges(planted_model, days(), "eap", options).table)


def test_endpoints_are_an_option_of_eap_ig_and_eap_is_the_same_under_both(planted_model: Model) -> None:
    options = [Options(samples=8, ig_endpoints="mib"), Options(samples=8, ig_endpoints="paper")]
    mib, paper = (score_edges(planted_model, days(), "eap-ig", chosen).table["score"] for chosen in options)
    assert score_edges(planted_model, days(), "eap-ig", Options(samples=8)).table["score"].equals(mib)
    assert (mib - paper).abs().max() > 1e-3  # type: ignore[operator]
    first, second = (score_edges(planted_model, days(), "eap", chosen).table for chosen in options)
    assert first.equals(second)


@pytest.mark.parametrize(
    ("metric", "wrong", "by"),
    [("margin", "", "margin"), ("answer_prob", "Monday", "logit_diff"), ("answer_prob", "", "answer_logit")],
)
def test_edges_are_ranked_by_a_logit(planted_model: Model, metric: MetricName, wrong: str, by: str) -> None:
    tables = Setup(planted_model, days(), Options(metric=metric)).tables(PROMPTS)
    assert edge_metric({**tables, "questions": tables["questions"].with_columns(wrong=pl.lit(wrong))}) == by


def test_a_node_is_worth_what_the_edges_out_of_it_are(planted_model: Model) -> None:
    measured = score_edges(planted_model, days(), "eap-ig", Options(samples=8))
    scores, graph = edge_scores(measured.tables, "eap-ig"), Graph.of(planted_model)
    for name, together in measured.numbers.select("node", "sum of its edges").drop_nulls().iter_rows():
        assert together == pytest.approx(sum(scores[graph.source_of == graph.nodes.index(node(name))]), abs=1e-6)


def test_a_score_that_there_is_not_is_named_with_those_there_are(planted_model: Model) -> None:
    with pytest.raises(OptionError, match="there is no score 'eapig'; there are exact, eap, eap-ig"):
        score_edges(planted_model, days(), "eapig")  # type: ignore[arg-type]


def test_agreement_compares_what_is_measured_edge_by_edge(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(samples=8))
    for name in ("eap", "random"):
        setup.tables(SCORE_EXPERIMENTS[name])
    tables = EDGES_AGREEMENT.shown(setup)
    table = tables["edges_agreement"]
    assert table["by"].unique(maintain_order=True).to_list() == ["eap", "random"]
    for (name,), edges in table.group_by("by"):
        np.testing.assert_allclose(edges["exact"], edge_scores(tables, "exact"), rtol=1e-6)
        np.testing.assert_allclose(edges["score"], edge_scores(tables, name), rtol=1e-6)
    numbers = EDGES_AGREEMENT.numbers(tables)
    assert numbers["by"].to_list() == ["exact", "eap", "random"]
    assert numbers["seconds"].to_list() == [setup.seconds[name] for name in ("edges", "edges_eap", "edges_random")]


def test_agreement_without_a_score_says_how_long_exact_took_and_draws_nothing(planted_model: Model) -> None:
    alone = EDGES_AGREEMENT.measure(planted_model, days(), Options(samples=8))
    assert (alone.table.height, alone.numbers["by"].to_list(), alone.figures) == (0, ["exact"], {})
    assert EDGES_AGREEMENT.summary(alone.tables) == ""


def test_agreement_of_four_edges_by_hand() -> None:
    edges = pl.DataFrame({"source": ["input", "m0", "m1", "a0.h0"], "target": "logits", "input": None})
    exact, score = [4.0, -3.0, 2.0, 1.0], [5.0, 3.0, -1.0, 2.0]
    table = pl.concat(
        edges.select(pl.lit(name).alias("by"), *EDGE, pl.Series("exact", exact), pl.Series("score", score))
        for name in ("eap", "flow")
    )
    eap, flow = agreement(table).to_dicts()
    # Ranks 4 1 3 2 against 4 3 1 2: 1 - 6 (0 + 4 + 4 + 0) / 60; by size 4 3 2 1 against 4 3 1 2: 1 - 6 (1 + 1) / 60.
    assert eap["rank correlation"] == pytest.approx(0.2)
    assert eap["by size"] == flow["by size"] == pytest.approx(0.8)
    assert eap["worst misses"] == ["m0->logits", "m1->logits", "input->logits"]
    assert (flow["rank correlation"], flow["worst misses"]) == (None, None)
    assert (eap["in top 10"], overlap(np.array(exact), np.array(score), 3)) == (None, 2 / 3)


def test_some_edges_are_cut_to_the_same_effects_and_are_those_that_eap_ig_finds_strongest(planted_model: Model) -> None:
    whole, options = ablate_edges(planted_model, days(), Options(samples=8)), Options(samples=8, top_edges=20)
    setup = Setup(planted_model, days(), options)
    part = setup.tables(EDGES)["edges"]
    of_all = whole.table.join(part.select(EDGE).unique(), on=EDGE, how="semi", nulls_equal=True)
    assert part.drop(cs.float()).equals(of_all.drop(cs.float()))
    for column in part.select(cs.float()).columns:
        np.testing.assert_allclose(part[column], of_all[column], atol=1e-5)
    scores = score_edges(planted_model, days(), "eap-ig", options)
    edges = by_edge(part, "logit_diff")["edge"]
    assert len(edges) == 20
    assert set(scores.numbers["edge"][:15]) <= set(edges)
    for name in ("eap", "random"):
        setup.tables(SCORE_EXPERIMENTS[name])
    beside = setup.tables(EDGES_AGREEMENT)["edges_agreement"]
    eap = setup.tables(SCORE_EXPERIMENTS["eap"])["edges_eap"].group_by(EDGE).agg(pl.col("score").mean().alias("own"))
    assert beside.group_by("by").len().sort("by").rows() == [("eap", 20), ("random", 20)]
    joined = beside.filter(by="eap").join(eap, on=EDGE, nulls_equal=True)
    np.testing.assert_allclose(joined["score"], joined["own"], rtol=1e-5)
    assert len(joined) == 20


def test_edges_of_which_only_some_were_cut_rank_no_curve(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(samples=8, top_edges=20))
    setup.tables(EDGES)
    setup.tables(SCORE_EXPERIMENTS["eap"])
    assert setup.tables(CURVE)["curve"]["by"].unique().to_list() == ["eap"]


def test_agreement_of_edges_that_are_all_alike_is_none() -> None:
    edges = pl.DataFrame({"source": ["input", "m0"], "target": "logits", "input": None, "exact": 0.0, "score": 0.0})
    table = edges.select(pl.lit("eap").alias("by"), *EDGE, "exact", "score")
    assert agreement(table).select("rank correlation", "by size").row(0) == (None, None)
    assert "none, for all are alike" in EDGES_AGREEMENT.summary({"edges_agreement": table})
