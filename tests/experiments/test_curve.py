"""MIB's curve as a measurement: what is compared, how sure it is, and where another choice turns it."""

import numpy as np
import polars as pl
import pytest

from vitro.discovery import Curve
from vitro.experiments import EXPERIMENTS, SCORE_EXPERIMENTS, Measurement, Options, Setup
from vitro.experiments.curve import best, curves_of, interval
from vitro.models import Model
from vitro.options import ScoreName
from vitro.tasks import days

CURVE, CHOICES = EXPERIMENTS["curve"], EXPERIMENTS["curve_choices"]


def measured(model: Model, *names: ScoreName, options: Options = Options(samples=8)) -> Measurement:  # noqa: B008
    setup = Setup(model, days(), options)
    for name in names:
        setup.tables(SCORE_EXPERIMENTS[name])
    return Measurement(CURVE, CURVE.shown(setup))


def test_the_planted_edges_alone_are_as_good_as_the_model_and_random_ones_do_nothing(planted_model: Model) -> None:
    measurement = measured(planted_model, "exact", "random")
    f = {of: dict(zip(curve.sizes, curve.faithfulness, strict=True)) for of, curve in curves(measurement).items()}
    # 2 % are 5 edges; the four planted ones are on top.
    assert f["exact", "absolute", "top"][0.02] == pytest.approx(1, abs=0.05)
    assert f["random", "absolute", "top"][0.1] == pytest.approx(0, abs=0.05)
    # Without the head that says the subject, right leads wrong by more than in the model.
    assert f["exact", "signed", "top"][0.02] > 2
    assert "CMD 0.0" in CURVE.summary(measurement.tables)
    assert "(exact, by absolute score; the best of 2)" in CURVE.summary(measurement.tables)


def curves(measurement: Measurement) -> dict[tuple[str, str | None, str | None], Curve]:
    return {(of.by, of.ranking, of.selection): curve for of, curve in curves_of(measurement.table).items()}


def test_those_scores_are_compared_that_are_measured_and_eap_ig_where_none_is(planted_model: Model) -> None:
    assert measured(planted_model).table["by"].unique().to_list() == ["eap-ig"]
    several = measured(planted_model, "random", "eap")
    assert several.table["by"].unique(maintain_order=True).to_list() == ["eap", "random"]
    areas = several.tables["curve_areas"].rows_by_key(["by", "ranking", "selection"], named=True, unique=True)
    for of, curve in curves(several).items():
        assert areas[of]["cpr"] == pytest.approx(curve.cpr, abs=1e-4)
        assert areas[of]["cpr_low"] <= areas[of]["cpr"] <= areas[of]["cpr_high"]


def test_the_summary_says_of_which_metric_and_on_how_many_prompts_the_curve_is(planted_model: Model) -> None:
    own = measured(planted_model, "random")
    assert "of the logit difference, not the answer's probability, for" in CURVE.summary(own.tables)
    assert "over 7 prompts" in CURVE.summary(own.tables)
    fewer = measured(planted_model, "random", options=Options(samples=8, metric="margin", sweep_prompts=5))
    assert "over 5 of 7 prompts" in CURVE.summary(fewer.tables)
    assert ", not the " not in CURVE.summary(fewer.tables)


def curve(values: np.ndarray) -> Curve:
    """Of sizes 0 and 1, with prompts of which the model's metric is 1 and the empty circuit's 0."""
    n = np.zeros(2, dtype=int)
    return Curve((0.0, 1.0), n, n, np.stack([values, values]), np.ones(len(values)), np.zeros(len(values)))


def test_the_best_is_the_best_beyond_the_prompts_spread_or_not() -> None:
    shared = np.linspace(0, 0.5, 20)
    little, much = np.full(20, 0.05), np.where(np.arange(20) % 2, 1.0, -0.9)
    assert best({"a": curve(shared), "b": curve(shared + little)}, "cpr") == ("b", True)
    assert best({"a": curve(shared), "b": curve(shared + much)}, "cpr") == ("b", False)
    assert best({"a": curve(shared), "b": curve(shared + little)}, "cmd") == ("b", True)
    # Rounding is no lead, and of four prompts nothing is said.
    assert best({"a": curve(shared), "b": curve(shared + 1e-6)}, "cpr") == ("b", False)
    assert best({"a": curve(shared[:4]), "b": curve(shared[:4] + 0.1)}, "cpr") == ("b", False)


def test_an_interval_is_that_of_a_ratio_of_means_and_a_single_prompt_has_none() -> None:
    low, high = interval(curve(np.where(np.arange(100) % 2, 1.0, 0.0)), "cpr")
    assert low is not None
    assert high is not None
    # The mean of a hundred coins: 0.5, and two standard errors of 0.05 on each side.
    assert [low, high] == pytest.approx([0.4, 0.6], abs=0.02)
    assert interval(curve(np.ones(1)), "cpr") == (None, None)


def test_under_every_ablation_and_metric_edges_are_scored_and_judged_anew(planted_model: Model) -> None:
    options = Options(samples=8, ablations=("mean", "resample"))
    setup = Setup(planted_model, days(), options)
    setup.tables(SCORE_EXPERIMENTS["eap"])
    table = setup.tables(CHOICES)["curve_choices"]
    assert table.select("method", "metric").unique().height == 2 * 4
    own = table.filter("own")
    assert own.select("method", "metric").unique().rows() == [("resample", "logit_diff")]
    same = setup.tables(CURVE)["curve_areas"].filter(selection="top")
    assert own["cpr"].to_list() == pytest.approx(same["cpr"].to_list(), abs=1e-4)
    under_mean = measured(planted_model, "eap", options=Options(samples=8, ablations=("mean",)))
    expected = under_mean.tables["curve_areas"].filter(selection="top")["cmd"].to_list()
    assert table.filter(method="mean", metric="logit_diff")["cmd"].to_list() == pytest.approx(expected, abs=1e-4)


def test_the_summary_says_where_another_choice_turns_the_winner() -> None:
    rows = [
        (method, metric, own, by, ranking, area, 1 - area, leads)
        for method, metric, own, of in (
            ("mean", "logit_diff", True, {"eap": 0.5, "relp": 0.8}),
            ("mean", "kl", False, {"eap": 0.4, "relp": 0.7}),
            ("zero", "logit_diff", False, {"eap": 0.6, "relp": 0.5}),
            ("zero", "kl", False, {"eap": 0.9, "relp": 0.1}),
        )
        for ranking in ("signed", "absolute")
        for by, area in of.items()
        for leads in [area == max(of.values()) and (method, metric) != ("zero", "logit_diff")]
    ]
    names = ["method", "metric", "own", "by", "ranking", "cpr", "cmd", "leads"]
    said = CHOICES.summary({"curve_choices": pl.DataFrame(rows, schema=names, orient="row")})
    assert said.startswith(
        "Of 4 choices of ablation and metric: CPR by signed score is best of relp by the study's own"
    )
    assert "(mean, logit difference), of another score in 2 of the 3 others" in said
    assert "beyond the spread of the prompts eap (zero, divergence from the clean prediction);" in said
    assert said.count("the order of the scores changes in 2") == 2
