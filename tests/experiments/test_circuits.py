"""Circuits in a study, on the planted model, whose circuit is known."""

import numpy as np
import polars as pl
import pytest

from planted import COPY, N_HEADS, N_LAYERS, SUCCESSOR, planted
from vitro.circuits import Circuit
from vitro.experiments import EXPERIMENTS, Options, Setup, ablate_heads, cast, in_vitro, judge, keep_heads
from vitro.experiments.statistics import chance, interval
from vitro.models import Model
from vitro.tasks import days

OPTIONS = Options(samples=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted(tmp_path_factory.mktemp("planted"))


def head(at: tuple[int, int]) -> str:
    return f"a{at[0]}.h{at[1]}"


def test_the_planted_heads_are_given_their_parts(model: Model) -> None:
    parts = cast(Setup(model, days(), OPTIONS))
    assert (parts.successor, parts.copier) == (SUCCESSOR, COPY)
    assert parts.first_mlp != parts.last_mlp


def test_the_planted_circuit_solves_the_task_and_any_without_the_successor_does_not(model: Model) -> None:
    both = Circuit.wire(
        f"input -> {head(COPY)}[subject], {head(SUCCESSOR)}[subject]; {head(COPY)}, {head(SUCCESSOR)} -> logits"
    )
    others = {
        f"a{layer}.h{number}": Circuit.wire(
            f"input -> {head(COPY)}[subject], a{layer}.h{number}[subject]; {head(COPY)}, a{layer}.h{number} -> logits"
        )
        for layer in range(N_LAYERS)
        for number in range(N_HEADS)
        if (layer, number) not in (COPY, SUCCESSOR)
    }
    ranks = in_vitro(model, days(), {"both": both, **others}, OPTIONS).table
    assert ranks.filter(circuit="both")["answer_rank"].to_list() == [0] * 7
    assert (ranks.filter(pl.col("circuit") != "both")["answer_rank"] > 0).all()


def test_the_living_model_is_what_all_heads_kept_give(model: Model) -> None:
    curve = keep_heads(model, days(), OPTIONS).table
    assert curve["k"].unique().sort().to_list() == list(range(N_LAYERS * N_HEADS + 1))
    assert curve.filter(k=N_LAYERS * N_HEADS)["kl"].to_numpy().max() < 1e-5
    assert curve.filter(k=0)["kl"].to_numpy().min() > 0.1


def test_one_head_knocked_out_is_the_row_of_its_mean_ablation(model: Model) -> None:
    wired = Circuit.wire(f"input -> {head(SUCCESSOR)}, {head(COPY)}; {head(SUCCESSOR)}, {head(COPY)} -> logits")
    judged = judge(model, days(), wired, OPTIONS)
    without = judged.tables["completeness"].filter(knocked_out=head(SUCCESSOR))
    clean = judged.tables["faithfulness"].filter(template=days().template)
    changed = ablate_heads(model, days(), OPTIONS).table.filter(method="mean", layer=SUCCESSOR[0], head=SUCCESSOR[1])
    change = without["model_answer_prob"].to_numpy() - clean["model_answer_prob"].to_numpy()
    np.testing.assert_allclose(change, changed["answer_prob_change"].to_numpy(), atol=1e-5)


def test_a_component_is_missed_by_what_it_does(model: Model) -> None:
    wired = Circuit.wire(f"input -> {head(SUCCESSOR)}, {head(COPY)}; {head(SUCCESSOR)}, {head(COPY)} -> logits")
    left = (
        judge(model, days(), wired, OPTIONS).tables["minimality"].group_by("left_out").agg(pl.col("answer_prob").mean())
    )
    by_name = dict(left.iter_rows())
    assert by_name[head(SUCCESSOR)] < 0.1 < by_name[None] < by_name[head(COPY)]


def test_the_planted_circuit_is_better_than_chance(model: Model) -> None:
    wired = Circuit.wire(f"input -> {head(SUCCESSOR)}[subject]; {head(SUCCESSOR)} -> logits")
    table = judge(model, days(), wired, OPTIONS).tables["random_circuits"]
    assert table["number"].n_unique() == 201
    means = table.group_by("number").agg(pl.col("answer_prob").mean())
    # A random head is the successor itself one time in twelve.
    better = means.filter(pl.col("answer_prob") > means.filter(number=0)["answer_prob"].item() + 1e-6)
    assert better.is_empty()
    assert chance(table, "answer_prob")[0] < 0.2


def test_paraphrases_are_asked_where_the_tokenizer_knows_them(model: Model) -> None:
    table = EXPERIMENTS["circuit_quality"].measure(model, days(), OPTIONS).tables["faithfulness"]
    assert days().template in table["template"].to_list()
    assert 1 <= table["template"].n_unique() <= 1 + len(days().paraphrases)


def test_the_interval_holds_the_mean_and_widens_with_the_templates_spread() -> None:
    alike = [np.array([0.4, 0.5, 0.6])] * 5
    apart = [np.array([0.4, 0.5, 0.6]) + shift for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)]
    for values in (alike, apart):
        mean, low, high = interval(values, np.random.default_rng(0))
        assert low < mean < high
        assert mean == pytest.approx(0.5)
    _, low, high = interval(alike, np.random.default_rng(0))
    _, lower, higher = interval(apart, np.random.default_rng(0))
    assert higher - lower > 2 * (high - low)


@pytest.mark.parametrize(("others", "p", "rank"), [([0.1, 0.2, 0.3], 0.25, 1), ([0.9, 0.5, 0.1], 0.75, 3)])
def test_chance_counts_the_circuit_among_those_that_do_as_well(others: list[float], p: float, rank: int) -> None:
    table = pl.DataFrame({"number": range(4), "answer_prob": [0.5, *others]})
    assert chance(table, "answer_prob") == (p, rank)
