"""Circuits of a search among those of ranked edges: they are what it measured, and the more faithful is named."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from discovery.gallery import GALLERY, TAU
from planted import SUCCESSOR
from vitro.circuits import Graph
from vitro.discovery import Nested, run_curves
from vitro.discovery.replay import on_the_way, replayed
from vitro.experiments import EXPERIMENTS, FIND, Experiment, Options, Setup, Tables, edge_case
from vitro.experiments.curve import points, records
from vitro.experiments.search_points import comparison, said
from vitro.figures import edge_curves, to_spec
from vitro.models import Model
from vitro.study import run_study
from vitro.tasks import days

CURVE = EXPERIMENTS["curve"]
SAME = Options(samples=4, metric="margin")
"""The curve and the search judge by this metric, and by the same ablation."""


@pytest.fixture(scope="module")
def setups(planted_model: Model) -> tuple[Setup, Setup]:
    """The same, with a search and without one."""
    with_search, without = (Setup(planted_model, days(), SAME) for _ in range(2))
    with_search.tables(FIND)
    return with_search, without


def test_each_circuit_of_the_search_is_replayed_and_has_the_faithfulness_that_the_search_saw(
    setups: tuple[Setup, Setup],
) -> None:
    setup, _ = setups
    graph, search = Graph.of(setup.model), setup.tables(FIND)["search"]
    masks, steps = replayed(graph, search), search.group_by("step", maintain_order=True).first()
    assert {"node", "edge"} == set(search["level"])
    every = Nested(tuple(range(len(masks))), masks)
    (curve,) = run_curves(edge_case(setup), [every], [edge_case(setup).metric])["margin"]
    assert curve.faithfulness.tolist() == pytest.approx(steps["faithfulness"].to_list(), abs=1e-5)
    # Nodes are counted with those that have no way to the logits any more, edges as they are left.
    of_edges = steps["level"] == "edge"
    assert (masks.sum(1) <= steps["left"].to_numpy())[of_edges.to_numpy()].all()


def test_the_point_of_the_search_is_its_circuit(setups: tuple[Setup, Setup]) -> None:
    setup, _ = setups
    found, row = (
        setup.tables(FIND)["find"],
        comparison(setup.tables(CURVE)["curve"]).filter(by="find", ranking="signed"),
    )
    assert row["n"].to_list() == found["edges"].to_list()
    assert row["f"].item() == pytest.approx(found["faithfulness"].item(), abs=1e-5)
    assert "a{}.h{}".format(*SUCCESSOR) in found["circuit"].item()
    assert f"With {row['n'].item()} edges" in CURVE.summary(CURVE.shown(setup))
    assert "searched for" not in CURVE.summary(CURVE.shown(setup))


def test_on_the_way_are_the_circuits_next_to_mibs_sizes_and_the_last_of_nodes_alone(
    setups: tuple[Setup, Setup],
) -> None:
    setup, _ = setups
    graph, search = Graph.of(setup.model), setup.tables(FIND)["search"]
    chosen, numbers = on_the_way(graph, search).sum(1), replayed(graph, search).sum(1)
    assert list(chosen) == sorted(set(chosen), reverse=True)
    assert set(chosen) <= set(numbers)
    assert min(numbers, key=lambda n: abs(np.log(n / 131))) in chosen
    assert numbers[min(search.filter(level="edge")["step"].to_list()) - 1] in chosen
    assert on_the_way(graph, search.clear()).shape == (0, len(graph))


def test_every_ranking_is_run_at_exactly_as_many_edges(setups: tuple[Setup, Setup]) -> None:
    table = setups[0].tables(CURVE)["curve"]
    for by, n, size in comparison(table).select("by", "n", "size").iter_rows():
        rivals = table.filter(pl.col("ranking").is_not_null(), size=size, selection="top")
        assert set(rivals["n"]) == {n}, by
        assert rivals.select("by", "ranking").unique().height == 2


def test_curves_and_areas_are_as_without_a_search(setups: tuple[Setup, Setup]) -> None:
    tables, alone = (CURVE.shown(setup) for setup in setups)
    # Circuits run beside others: equal but for rounding.
    assert_frame_equal(tables["curve_areas"], alone["curve_areas"], abs_tol=1e-5)
    assert_frame_equal(tables["curve"].head(alone["curve"].height), alone["curve"], abs_tol=1e-5)
    assert tables["curve"].height > alone["curve"].height
    for name in ("sizes", "n", "edges", "score", "ranking", "selection"):
        assert [row[name] for row in records(tables)] == [row[name] for row in records(alone)]
    assert CURVE.numbers(tables).shape == CURVE.numbers(alone).shape
    assert CURVE.summary(tables).startswith(CURVE.summary(alone))


def test_a_search_is_drawn_over_both_panels_and_nothing_is_where_there_was_none(setups: tuple[Setup, Setup]) -> None:
    with_search, alone = (CURVE.figures(CURVE.shown(setup))["curve"] for setup in setups)
    for figure, n_layers in ((with_search, 6), (alone, 3)):
        assert isinstance(figure, alt.TopLevelMixin)
        assert figure.to_dict(validate=True)
        assert [len(panel["layer"]) for panel in to_spec(figure)["hconcat"]] == [n_layers] * 2
    tables = CURVE.shown(setups[1])
    as_before = edge_curves(points(tables["curve"]), tables["curve_areas"])
    assert to_spec(as_before) == to_spec(alone)
    assert "'the search: ' + datum.n + ' edges'" in str(to_spec(with_search))
    assert "earch" not in str(to_spec(alone))


@pytest.mark.parametrize(("planted", "better"), [("told_where_to_look", [True, True]), ("no_task", [])])
def test_what_gradients_miss_the_search_has_and_of_no_task_there_is_no_circuit(
    planted: str, better: list[bool]
) -> None:
    known = GALLERY[planted](1)
    # The metrics that it takes by itself are the planted ones.
    setup = Setup(known.model, known.task, Options(samples=8, faithful=TAU))
    assert setup.tables(FIND)["find"]["metric"].item() == known.metric
    tables = CURVE.shown(setup)
    last = comparison(tables["curve"]).filter(by="find")
    # By EAP-IG an edge into a head's queries, which alone tell it where to look, comes after others.
    assert last["better"].to_list() == better
    assert ("circuit of the search" in CURVE.summary(tables)) == bool(better)


def rows(by: str, ranking: str | None, size: float, f: float, spread: float = 0.0, prompts: int = 8) -> pl.DataFrame:
    """A circuit of f on prompts of which the model's metric is 1 and the empty circuit's 0."""
    signs = np.where(np.arange(prompts) % 2, 1.0, -1.0)
    table = pl.DataFrame({"value": f + spread * signs, "model": np.ones(prompts), "empty": np.zeros(prompts)})
    named = {"by": by, "ranking": ranking, "selection": ranking and "greedy", "size": size, "n": int(1000 * size)}
    columns = [pl.lit(value, pl.String if value is None else None).alias(key) for key, value in named.items()]
    return table.select(*columns, pl.int_range(prompts).alias("prompt"), pl.all())


@cache
def constructed() -> pl.DataFrame:
    return pl.concat(
        [
            *(rows("find", None, 0.003, 0.85), rows("search", None, 0.02, 0.9), rows("search", None, 0.3, 1.4)),
            *(rows("eap", "signed", 0.003, 0.41), rows("relp", "absolute", 0.003, 2.0)),
            *(rows("eap", "signed", 0.02, 0.95, spread=3.0), rows("relp", "absolute", 0.02, 0.2)),
            *(rows("eap", "signed", 0.3, 0.7), rows("relp", "absolute", 0.3, 1.3)),
            # Of another size than any circuit of the search.
            rows("eap", "signed", 0.001, 1.0),
        ]
    )


def test_by_signed_score_the_higher_f_is_better_and_by_absolute_score_the_one_closer_to_one() -> None:
    compared = comparison(constructed())
    assert compared.select("by", "n", "ranking", "score", "better", "beyond").rows() == [
        ("search", 300, "signed", "eap", True, True),
        ("search", 300, "absolute", "relp", False, True),
        # The mean of this ranking is higher, and its prompts are far apart.
        ("search", 20, "signed", "eap", False, False),
        ("search", 20, "absolute", "relp", True, True),
        ("find", 3, "signed", "eap", True, True),
        ("find", 3, "absolute", "relp", True, True),
    ]
    assert compared["ranked_f"].to_list() == pytest.approx([0.7, 1.3, 0.95, 0.2, 0.41, 2.0])
    assert comparison(constructed().filter(~pl.col("by").is_in(["find", "search"]))).height == 0


def test_of_several_scores_the_best_is_named_and_an_equal_circuit_is_not_better() -> None:
    table = pl.concat([constructed(), rows("flow", "signed", 0.003, 0.85), rows("flow", "absolute", 0.003, 0.3)])
    signed, absolute = comparison(table).filter(by="find").rows(named=True)
    assert (signed["score"], signed["rivals"], signed["better"], signed["beyond"]) == ("flow", 2, False, False)
    assert (absolute["score"], absolute["better"], absolute["ranked_f"]) == ("flow", True, pytest.approx(0.3))


def test_the_sentence_names_both_and_another_metric_of_the_search() -> None:
    areas = pl.DataFrame({"metric": ["logit_diff"], "method": ["mean"]})
    tables = {"curve": constructed(), "curve_areas": areas, "find": pl.DataFrame({"metric": ["margin"]})}
    assert said(tables) == (
        "With 3 edges (0.3 %) the circuit of the search, searched for the margin over the other answers, has f 0.85, "
        "the highest by signed score 0.41 (eap, greedy) and the closest to 1 by absolute score 2.00 (relp, greedy). "
        "The search's circuits are higher than any by signed score at 2 of 3 sizes, and closer to 1 than any by "
        "absolute score at 2."
    )


def test_in_a_study_the_curve_comes_after_the_search_and_is_made_anew_when_there_is_one(
    planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    together, apart, names = tmp_path / "together", tmp_path / "apart", ["edges_eap", "curve", "find"]
    first = run_study(str(planted_folder), days(), together, SAME, experiments=names)
    for asked in (names[:2], names[2:]):
        last = run_study(str(planted_folder), days(), apart, SAME, experiments=asked)
        assert ("find" in last.table("curve")["by"].to_list()) == (asked == ["find"])
    assert last.table("curve").equals(first.table("curve"))
    assert last.record.experiments["curve"].compared == ["edges_eap", "find"]
    written = (together / "study.json").read_bytes()
    run_study(str(planted_folder), days(), together, SAME, experiments=names)
    assert (together / "study.json").read_bytes() == written


def test_where_a_search_goes_on_the_curve_is_made_anew_even_if_that_is_stopped(
    planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    names, runs = ["edges_eap", "curve", "find"], list[str]()

    def counted(experiment: Experiment, beside: tuple[Experiment, ...] = ()) -> Experiment:
        def run(setup: Setup) -> Tables:
            runs.append(experiment.name)
            if runs == ["find", "curve"] * 2:
                raise KeyboardInterrupt
            return experiment.run(setup)

        # As if time had been up the first time.
        finished = experiment.finished if experiment is CURVE else lambda tables: runs.count("find") > 1
        return replace(experiment, run=run, finished=finished, beside=beside)

    search = counted(FIND)
    monkeypatch.setattr("vitro.study.FIND", search)
    for experiment in (search, counted(CURVE, (EXPERIMENTS["edges_eap"], search))):
        monkeypatch.setitem(EXPERIMENTS, experiment.name, experiment)
    run_study(str(planted_folder), days(), tmp_path, SAME, experiments=names)
    with pytest.raises(KeyboardInterrupt):
        run_study(str(planted_folder), days(), tmp_path, SAME, experiments=names)
    assert runs == ["find", "curve"] * 2
    run_study(str(planted_folder), days(), tmp_path, SAME, experiments=["edges_eap"])
    assert runs == ["find", "curve"] * 2 + ["curve"]
