"""Circuits within the model in the measurements of circuits, on the planted model, whose circuit is known."""

import numpy as np
import polars as pl
import pytest

from planted import COPY, N_HEADS, N_LAYERS, SUCCESSOR, planted
from vitro.circuits import INPUT, Circuit, Graph, node
from vitro.experiments import Options, in_vitro, judge
from vitro.figures import to_spec
from vitro.models import Model
from vitro.tasks import days

OPTIONS = Options(samples=8)
HEADS = [node(f"a{layer}.h{number}") for layer, number in (COPY, SUCCESSOR)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def both(model: Model) -> Circuit:
    """The planted heads, with all edges among them."""
    graph = Graph.of(model)
    return Circuit.of(graph, graph.among([INPUT, *HEADS]), "counterfactual")


def test_the_planted_circuit_solves_the_task_within_the_model_and_none_does_not(model: Model, both: Circuit) -> None:
    graph = Graph.of(model)
    whole = Circuit.of(graph, graph.among(graph.nodes), "counterfactual")
    circuits = {
        "both": both,
        "whole": whole,
        "none": Circuit(frozenset(), absent="counterfactual"),
        "in vitro": Circuit.wire(str(both).partition("\n")[2]),
    }
    measured = in_vitro(model, days(), circuits, OPTIONS)
    right = measured.table.group_by("circuit").agg((pl.col("answer_rank") == 0).sum())
    assert dict(right.iter_rows()) == {"both": 7, "whole": 7, "none": 0, "in vitro": 7}
    clean = measured.tables["clean"]["answer_prob"].to_numpy()
    np.testing.assert_allclose(measured.table.filter(circuit="whole")["answer_prob"].to_numpy(), clean, atol=1e-5)
    assert measured.tables["circuit_attention"]["circuit"].unique().to_list() == ["in vitro"]


def test_a_circuit_within_the_model_is_not_called_in_vitro(model: Model, both: Circuit) -> None:
    alone = Circuit.wire(f"input -> {HEADS[1]}; {HEADS[1]} -> logits")
    titles = [
        in_vitro(model, days(), circuits, OPTIONS).experiment.title
        for circuits in ({"a": both}, {"a": alone}, {"a": both, "b": alone})
    ]
    assert [title.partition(":")[0] for title in titles] == [
        "Within the model",
        "In vitro",
        "In vitro and within the model",
    ]
    drawings = in_vitro(model, days(), {"a": both}, OPTIONS).figures
    subtitle = to_spec(drawings["circuit_drawing_1"])["title"]["subtitle"]
    assert "Within the model: what is not drawn carries its source's ablated output (counterfactual)." in subtitle


def test_a_circuit_of_many_components_has_no_drawing_and_its_wiring_is_cut(model: Model, both: Circuit) -> None:
    measured = in_vitro(model, days(), {"a": both}, OPTIONS)
    large = Graph(12, 12, parallel=False)
    text = str(Circuit.of(large, large.among(large.nodes), "mean"))
    wiring = measured.tables["circuit_wiring"].with_columns(text=pl.lit(text))
    tables = {**measured.tables, "circuit_wiring": wiring}
    assert "circuit_drawing_1" not in measured.experiment.figures(tables)
    shown = measured.experiment.numbers(tables)["wiring"].item()
    assert shown.startswith("absent: mean; input -> a0.h0, ")
    assert shown.endswith(" …")
    assert len(shown) < 1100


def test_a_circuit_within_the_model_is_judged(model: Model, both: Circuit) -> None:
    judged = judge(model, days(), both, OPTIONS)
    assert judged.experiment.title == "Within the model: how good the circuit is"
    tables = judged.tables
    assert tables["judged_circuit"]["text"].item() == str(both)
    # Faithful in the task's own words, the only ones that the planted heads were made for; asked in others too.
    assert tables["faithfulness"]["template"].n_unique() > 1
    assert tables["faithfulness"].filter(template=days().template)["among_answers"].to_numpy().min() > 0.7
    # Minimal: without the head that knows the successor nothing is left of it.
    by_part = dict(tables["minimality"].group_by("left_out").agg(pl.col("among_answers").mean()).iter_rows())
    assert set(by_part) == {None, *map(str, HEADS)}
    assert by_part[str(HEADS[1])] < 0.3 < by_part[None]
    # Complete: the model without the circuit's nodes, ablated as absent edges are, does not do it either.
    whole = tables["completeness"].filter("whole")
    assert whole["model_among_answers"].to_numpy().mean() < 0.3
    # A head of the same layer in the place of each: one in four has the head that knows the successor, no other does it.
    random = tables["random_circuits"].group_by("number").agg(pl.col("among_answers").mean())
    means = random.filter(pl.col("number") > 0)["among_answers"].to_numpy()
    assert len(means) == 200
    assert 0.1 < (means > 0.7).mean() < 0.4
    assert means[means <= 0.7].max() < 0.1
    told = to_spec(judged.figures["random_circuits"])["title"]["subtitle"]
    assert any("their heads drawn at random from the same layers" in line for line in told)
    assert told[-1].startswith("The circuit: absent: counterfactual; input -> ")


def test_the_model_without_the_circuit_is_a_circuit_within_it_too(model: Model, both: Circuit) -> None:
    graph = Graph.of(model)
    rest = Circuit.of(graph, graph.among([at for at in graph.nodes if at not in HEADS]), "counterfactual")
    without = judge(model, days(), both, OPTIONS).tables["completeness"].filter("whole")
    within = in_vitro(model, days(), {"rest": rest}, OPTIONS).table
    np.testing.assert_allclose(
        without["model_answer_prob"].to_numpy(), within["answer_prob"].to_numpy(), atol=1e-5, rtol=1e-4
    )
    assert len(graph.nodes) == 2 + N_LAYERS * (N_HEADS + 1)
