"""Circuits in a study, on the planted model, whose circuit is known."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from experiments.every import every
from planted import COPY, N_HEADS, N_LAYERS, SUBJECT, SUCCESSOR, planted
from slow import slow_run
from vitro.circuits import Circuit, CircuitError
from vitro.circuits.nodes import node
from vitro.engine import Edit, z
from vitro.experiments import EXPERIMENTS, Options, Setup, ablate_heads, cast, in_vitro, judge, keep_heads
from vitro.experiments.circuits import CIRCUITS
from vitro.figures import to_spec
from vitro.models import Model
from vitro.models.families.gpt2 import GPT2
from vitro.tables import chance, interval
from vitro.tasks import Dataset, days

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


def test_a_circuit_that_says_nothing_is_right_nowhere(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its logits are the same: that is no lead, and the first of equals is not the answer."""
    monkeypatch.setitem(
        model.hf.transformer.ln_f._parameters, "bias", torch.nn.Parameter(torch.zeros(model.shape.d_model))
    )
    measurement = in_vitro(model, days(), {"silent": Circuit.wire("zero: m0; m0 -> logits")}, OPTIONS)
    assert measurement.table["answer_prob"].n_unique() == 1
    assert (measurement.table["answer_rank"] == model.shape.d_vocab - 1).all()
    row = measurement.numbers.row(0, named=True)
    assert (row["answer on top in"], row["answer leads the answers in"]) == (0, 0)


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


def test_what_was_judged_is_told_by_its_wiring(model: Model) -> None:
    given = Circuit.wire(f"random: a0.h0-1\nresid_post0 -> {head(SUCCESSOR)}\n{head(SUCCESSOR)} -> logits")
    judged = judge(model, days(), given, OPTIONS)
    assert judged.tables["judged_circuit"]["text"].to_list() == [str(given)]
    told = f"The circuit: random: …; resid_post0 -> {head(SUCCESSOR)}; {head(SUCCESSOR)} -> logits"
    assert to_spec(judged.figures["random_circuits"])["title"]["subtitle"][-1] == told
    assert "C7" not in judged._repr_html_()

    by_rule = judge(model, days(), options=OPTIONS)
    wiring = in_vitro(model, days(), options=OPTIONS).tables["circuit_wiring"]
    assert by_rule.tables["judged_circuit"]["text"].to_list() == wiring.filter(circuit="C7")["text"].to_list()


def test_a_long_wiring_is_cut_for_the_figure_and_whole_in_the_table(model: Model) -> None:
    pairs = [(layer, number) for layer in range(N_LAYERS) for number in range(N_HEADS)]
    long = Circuit.wire(
        "".join(f"input -> {head(pair)}; " for pair in pairs) + f"{', '.join(map(head, pairs))} -> logits"
    )
    judged = judge(model, days(), long, OPTIONS)
    assert len(str(long)) > 150
    assert judged.tables["judged_circuit"]["text"].item() == str(long)
    told = to_spec(judged.figures["random_circuits"])["title"]["subtitle"][-1]
    assert told.endswith("…")
    assert len(told) < 170


def test_a_circuit_that_names_nothing_is_judged_by_its_answers_and_chance(model: Model) -> None:
    judged = judge(model, days(), Circuit.within(model, heads_of=[]), OPTIONS)
    assert judged.tables["completeness"].is_empty()
    assert judged.tables["minimality"]["left_out"].to_list() == [None] * 7
    assert {question.split(":")[0] for question in judged.numbers["question"]} == {"faithful", "chance"}
    assert list(judged.figures) == ["random_circuits"]


def test_heads_kept_of_the_model_are_left_out_one_by_one_by_the_constant_of_the_others(model: Model) -> None:
    other = (SUCCESSOR[0], SUCCESSOR[1] - 1)
    judged = judge(model, days(), Circuit.within(model, [SUCCESSOR, other], "mean"), OPTIONS)
    table = judged.tables["minimality"]
    assert set(table["left_out"]) == {None, head(SUCCESSOR), head(other)}
    for gone, kept in ((SUCCESSOR, other), (other, SUCCESSOR)):
        alone = in_vitro(model, days(), {"alone": Circuit.within(model, [kept], "mean")}, OPTIONS).table["answer_prob"]
        without = table.filter(left_out=head(gone))["answer_prob"]
        assert without.to_list() == pytest.approx(alone.to_list(), abs=1e-6)
    assert {question.split(":")[0] for question in judged.numbers["question"]} == {
        "faithful", "complete", "minimal", "chance"
    }  # fmt: skip
    means = judged.tables["random_circuits"].group_by("number").agg(pl.col("among_answers").mean())
    # Two heads in twelve are drawn; none does better than the two with the successor.
    assert means["among_answers"].max() == pytest.approx(means.filter(number=0)["among_answers"].item(), abs=0.1)


def test_what_is_live_as_a_whole_cannot_be_left_out() -> None:
    with pytest.raises(CircuitError, match="live within resid_post1 as all of its kind are"):
        Circuit.wire("mean: a0.h0; resid_post1 -> logits").without(node("a1.h0"))


def test_paraphrases_are_asked_where_the_tokenizer_knows_them(model: Model) -> None:
    table = EXPERIMENTS["judged_circuit"].measure(model, days(), OPTIONS).tables["faithfulness"]
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


def test_pins_follow_the_subject_into_paraphrases_and_pins_elsewhere_keep_to_the_tasks_words(model: Model) -> None:
    def asked(pin: str) -> pl.DataFrame:
        circuit = Circuit.wire(f"input -> {head(SUCCESSOR)}[{pin}]; {head(SUCCESSOR)} -> logits")
        return judge(model, days(), circuit, OPTIONS).tables["faithfulness"]

    by_name = asked("subject")
    # In `After {day} comes` there is no position 4.
    assert by_name["template"].n_unique() > 1
    assert asked(str(SUBJECT)).equals(by_name)
    assert asked("7")["template"].unique().to_list() == [days().template]


@pytest.mark.parametrize(("n_layers", "n_heads"), [(1, 4), (2, 1), (1, 2), (1, 1)])
def test_models_with_few_components_have_an_in_vitro_section_too(n_layers: int, n_heads: int, day_words: Any) -> None:
    config = GPT2Config(n_layer=n_layers, n_head=n_heads, n_embd=16, n_positions=16, vocab_size=len(day_words))
    small = GPT2.of(GPT2LMHeadModel(config).eval().requires_grad_(False), day_words)
    for experiment, setup in every(small, days(), OPTIONS):
        tables = experiment.shown(setup)
        experiment.numbers(tables)
        experiment.figures(tables)
        if experiment is CIRCUITS:
            assert tables["circuits"]["circuit"].n_unique() == 8


def test_c1_and_c2_show_where_the_heads_that_they_keep_look(model: Model) -> None:
    setup = Setup(model, days(), OPTIONS)
    parts, table = cast(setup), setup.tables(CIRCUITS)["circuit_attention"]
    until = max(parts.successor[0], parts.copier[0])
    both = {parts.successor, parts.copier}
    kept = {"C1": {*parts.helpers, *both}, "C2": {*parts.helpers, *both, parts.early_copier}}
    datasets: list[tuple[str, Dataset]] = [("C1", "mean"), ("C2", "random")]
    for name, dataset in datasets:
        looks = table.filter(circuit=name)
        assert set(looks.select("layer", "head").iter_rows()) == {pair for pair in kept[name] if pair[0] <= until}
        instead = setup.constants(dataset).z
        ablated = tuple(
            Edit(z(layer, number), instead[layer][0, :, number])
            for layer in range(until + 1)
            for number in range(N_HEADS)
            if (layer, number) not in kept[name]
        )
        for prompt, tokens in enumerate(setup.questions.tokens):
            seen = slow_run(model, tokens, ablated).attention
            for (layer, number), rows in looks.filter(prompt=prompt).group_by("layer", "head"):
                weights = rows.sort("position")["weight"].to_numpy()
                np.testing.assert_allclose(weights, seen[layer, number, -1].numpy(), atol=1e-5, rtol=0)
    for name in ("C3", "C5", "C7"):
        assert set(table.filter(circuit=name).select("layer", "head").iter_rows()) == both


def test_every_circuit_is_drawn_and_shows_where_its_heads_look(model: Model) -> None:
    circuits = {
        "free": Circuit.wire(f"input -> {head(COPY)}; {head(COPY)} -> logits"),
        "../pinned": Circuit.wire(f"input -> {head(SUCCESSOR)}[subject]; {head(SUCCESSOR)} -> logits"),
    }
    figures = in_vitro(model, days(), circuits, OPTIONS).figures
    assert set(figures) == {
        *("circuits", "circuit_attention", "circuit_answer_table", "circuit_drawing_1", "circuit_drawing_2")
    }
    datasets = to_spec(figures["circuit_attention"])["datasets"].values()
    assert {(cell["circuit"], cell["name"]) for cells in datasets for cell in cells} == {
        ("free", head(COPY)),
        ("../pinned", head(SUCCESSOR)),
    }
