"""Options are checked at the door; tables have the columns of docs/tables.md and are the same for the same seed."""

from pathlib import Path

import polars as pl
import pytest

from vitro.experiments import EXPERIMENTS, ON_REQUEST, Measurement, OptionError, Options, Setup
from vitro.models import Model
from vitro.tasks import days

VALUES = ("answer_prob", "among_answers", "logit_diff")
MEASURES = (*VALUES, "kl")
COLUMNS = {
    "prompts": ["prompt", "position", "token_id", "token", "role"],
    "clean": [
        "prompt",
        "subject",
        "answer",
        "answer_logit",
        "answer_prob",
        "answer_rank",
        "wrong_prob",
        "top_token",
        "top_prob",
    ],
    "datasets": ["dataset", "sample", "position", "token_id"],
    "head_ablation": [
        "prompt",
        "method",
        "layer",
        "head",
        "answer_logit_change",
        "answer_prob_change",
        "logit_diff_change",
        "kl",
    ],
    "head_lens": [
        *("prompt", "layer", "head", "answer_prob", "wrong_prob", "answer_rank_among_answers"),
        *("subject_rank_among_words", "subject_last_among_words"),
    ],
    "head_lens_top": ["prompt", "layer", "head", "rank", "token", "prob"],
    "layer_lens": ["prompt", "layer", "stage", "answer_prob", "wrong_prob", "answer_rank_among_answers"],
    "layer_lens_top": ["prompt", "layer", "stage", "rank", "token", "prob"],
    "mlp_local": ["prompt", "layer", "answer_prob_before", "answer_prob_after"],
    "mlp_ablation": ["prompt", "method", "layer", "answer_prob_change", "answer_logit_change"],
    "answer_table": ["prompt", "component", "answer", "logit", "normalized"],
    "attention": ["prompt", "layer", "head", "position", "weight"],
    "attention_pattern": ["prompt", "layer", "head", "query", "key", "weight"],
    "attention_pin": ["prompt", "heads", "position", "answer_prob"],
    "stream_top": ["prompt", "layer", "position", "rank", "token"],
    "steering": ["prompt", "alpha", "answer_prob", "wrong_prob"],
    "steering_attention": ["prompt", "alpha", "layer", "head", "weight"],
    "keep_curve": ["k", "prompt", *MEASURES],
    "circuits": ["circuit", "prompt", "answer_prob", "answer_rank", "wrong_prob", "top_token", "top_prob"],
    "circuit_answer_table": ["prompt", "circuit", "answer", "logit", "normalized"],
    "circuit_attention": ["circuit", "prompt", "layer", "head", "position", "weight"],
    "circuit_wiring": ["circuit", "text", "n_heads"],
    "judged_circuit": ["text"],
    "faithfulness": ["template", "prompt", *VALUES, *(f"model_{value}" for value in VALUES), "kl"],
    "minimality": ["left_out", "prompt", *MEASURES],
    "completeness": ["knocked_out", "size", "whole", "prompt", *VALUES, *(f"model_{value}" for value in VALUES)],
    "random_circuits": ["number", "prompt", *MEASURES],
    "edges_approx": [
        "prompt",
        "source",
        "target",
        "input",
        "method",
        "approximation",
        "answer_logit_change",
        "answer_prob_change",
        "logit_diff_change",
    ],
    "edges_agreement": ["source", "target", "input", "approximation", "exact", "approximate"],
    "key_heads": ["layer", "head", "why"],
    "steering_vector": ["token", "layer", "direction", "positions"],
    "edges": [
        "prompt",
        "source",
        "target",
        "input",
        "method",
        "answer_logit_change",
        "answer_prob_change",
        "logit_diff_change",
    ],
}
WITH_NULLS = ("attention_pin", "minimality", "completeness", "edges", "edges_approx", "edges_agreement")
MAY_BE_NULL = {"position", "left_out", "input", *VALUES}
"""The clean run beside the pins has no position, the whole circuit has lost nothing, and of one taken out whole nothing
is left to read; an MLP and the logits have one input, which needs no name."""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"samples": 0}, "samples must be 1 or more, not 0"),
        ({"value_bias": "maybe"}, "excluded or included, not 'maybe'"),
        ({"ig_endpoints": "both"}, "ig_endpoints must be mib or paper, not 'both'"),
        (
            {"edge_ablation": "none"},
            "edge_ablation must be zero or random or mean or resample or counterfactual, not 'none'",
        ),
        ({"memory": 0}, "positive number of bytes"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Options(**options)  # type: ignore[arg-type]


def test_every_experiment_makes_its_tables_with_their_columns(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(samples=8))
    for experiment in (EXPERIMENTS | ON_REQUEST).values():
        tables = setup.tables(experiment)
        assert set(tables) == set(experiment.tables)
        for name, table in tables.items():
            assert table.columns == COLUMNS[name]
            assert not table.is_empty()
            with_nulls = {column for column in table.columns if table[column].has_nulls()}
            assert with_nulls <= (MAY_BE_NULL if name in WITH_NULLS else set())
            if name == "attention_pin":
                assert table["position"].null_count() == 7 * table["heads"].n_unique()


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(planted_model: Model) -> None:
    once, again, other = (
        EXPERIMENTS["head_ablation"].measure(planted_model, days(), Options(samples=8, seed=seed)).table
        for seed in (3, 3, 4)
    )
    assert once.equals(again)
    assert not once.filter(method="random").equals(other.filter(method="random"))
    assert once.filter(method="zero").equals(other.filter(method="zero"))


def test_a_measurement_shows_itself_in_a_notebook(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(samples=8))
    for experiment in (EXPERIMENTS | ON_REQUEST).values():
        shown = Measurement(experiment, experiment.shown(setup))
        html = shown._repr_html_()
        assert experiment.title in html
        assert html.count("<svg") == len(shown.figures)
        assert experiment.title in repr(shown)
        assert isinstance(shown.numbers, pl.DataFrame)


def test_tables_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text()
    for name, columns in COLUMNS.items():
        assert f"`{name}`" in text
        assert all(f"`{column}`" in text for column in columns)
