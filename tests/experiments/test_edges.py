"""Edges of the planted model: the four that carry the task, and no others."""

import polars as pl
import pytest

from planted import COPY, SUCCESSOR
from vitro.experiments import EXPERIMENTS, Options, Setup, ablate_edges, approximate_edges
from vitro.experiments.edges import by_edge
from vitro.experiments.edges_approx import EDGES_APPROX
from vitro.experiments.head_lens import HEAD_LENS
from vitro.models import Model
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


def test_gradients_rank_the_planted_edges_first_too(planted_model: Model) -> None:
    table = approximate_edges(planted_model, days(), Options(samples=8)).table
    for approximation in ("EAP", "EAP-IG"):
        strongest = by_edge(table.filter(approximation=approximation), "logit_diff")["edge"][:4]
        assert {f"{SUCCEEDER}->logits", f"input->{SUCCEEDER}<v>"} <= set(strongest)


def test_gradients_can_be_taken_after_what_takes_none(planted_model: Model) -> None:
    options = Options(samples=8)
    setup = Setup(planted_model, days(), options)
    setup.tables(HEAD_LENS)  # Reads the answers in inference mode, first.
    assert setup.tables(EDGES_APPROX)["edges_approx"].equals(approximate_edges(planted_model, days(), options).table)


def test_endpoints_are_an_option_of_eap_ig_and_eap_is_the_same_under_both(planted_model: Model) -> None:
    mib, paper = (
        approximate_edges(planted_model, days(), Options(samples=8, ig_endpoints=endpoints)).table
        for endpoints in ("mib", "paper")
    )
    assert approximate_edges(planted_model, days(), Options(samples=8)).table.equals(mib)
    assert mib.filter(approximation="EAP").equals(paper.filter(approximation="EAP"))
    differences = (mib["logit_diff_change"] - paper["logit_diff_change"]).abs()
    assert differences.max() > 1e-3  # type: ignore[operator]


def test_agreement_pairs_every_edge_with_its_own_estimate(planted_model: Model) -> None:
    table = EXPERIMENTS["edges_agreement"].measure(planted_model, days(), Options(samples=8)).table
    exact = by_edge(ablate_edges(planted_model, days(), Options(samples=8)).table, "logit_diff")
    assert table.group_by("approximation").len()["len"].to_list() == [len(exact)] * 2
    into_logits = table.filter(approximation="EAP", target="logits", source=SUCCEEDER)
    assert into_logits["exact"][0] == exact.filter(edge=f"{SUCCEEDER}->logits")["logit_diff_change"][0]
