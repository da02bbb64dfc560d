"""Sentences say what their tables carry: noise names nothing, a planted effect is named, a failed task comes first."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from vitro.experiments import EXPERIMENTS, Options, Setup, Tables
from vitro.experiments.circuits import wired
from vitro.experiments.findings import does_task, findings
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.keep_curve import KEEP_CURVE
from vitro.experiments.key_heads import reasons
from vitro.experiments.layer_lens import LAYER_LENS
from vitro.experiments.lens import _rank
from vitro.experiments.mlp_ablation import MLP_ABLATION
from vitro.experiments.mlp_local import MLP_LOCAL
from vitro.heads import Head
from vitro.models import Model
from vitro.report import Sentence
from vitro.tables import copying_heads, leader, suppressing_heads
from vitro.tasks import days

ASKED = {
    "task": pl.DataFrame(
        {
            "name": ["days"],
            "right": ["answer"],
            "wrong": ["subject"],
            "metric": ["answer_prob"],
            "unit": ["probability"],
            "words": ["the answer's probability"],
            "ablation": ["mean"],
            "n_prompts": [7],
            "n_swept": [7],
            "n_groups": [1],
            "n_answers": [7],
            "one_length": [True],
        }
    ),
    "prompts": pl.DataFrame({"role": ["subject", "final"]}),
}
"""What is asked of seven days, as far as sentences need it."""


def effects(layers: int, heads: int, prompts: int, seed: int, planted: float = 0.0) -> pl.DataFrame:
    """Noise around no effect, and what a0.h0 costs on top."""
    values = 0.01 * np.random.default_rng(seed).standard_normal((layers, heads, prompts))
    values[0, 0] -= planted
    layer, head, prompt = (index.ravel() for index in np.indices(values.shape))
    columns = {"prompt": prompt, "layer": layer, "head": head, "answer_prob_change": values.ravel()}
    return pl.DataFrame(columns).with_columns(pl.lit("mean").alias("method"))


def test_noise_is_rarely_led_by_anything_and_a_planted_effect_is() -> None:
    def named(planted: float) -> int:
        tables = (effects(30, 9, 7, seed, planted) for seed in range(100))
        leaders = [leader(table, ("layer", "head"), -pl.col("answer_prob_change")) for table in tables]
        return sum(lead.stands_out for lead in leaders)

    assert named(0.0) <= 5
    assert named(0.1) == 100


@pytest.mark.parametrize("scale", [1e-3, 1e-8])
def test_effects_below_the_floor_are_not_ranked_however_regular(scale: float) -> None:
    table = effects(3, 2, 7, 0, planted=1.0).with_columns(pl.col("answer_prob_change") * scale * 0.05)
    assert not leader(table, ("layer", "head"), -pl.col("answer_prob_change")).stands_out


def test_a_tie_has_no_leader() -> None:
    table = pl.DataFrame({"head": [0] * 5 + [1] * 5, "prompt": [*range(5)] * 2, "effect": [0.5] * 10})
    assert not leader(table, ("head",), pl.col("effect")).stands_out
    assert leader(table.head(5), ("head",), pl.col("effect")).stands_out


def test_of_few_prompts_none_is_named() -> None:
    for prompts in (1, 2, 4):
        table = effects(3, 2, prompts, 0, planted=1.0)
        assert ("1 prompt is" if prompts == 1 else f"{prompts} prompts are") + " too few" in HEAD_ABLATION.summary(
            {**ASKED, "head_ablation": table}
        )


@pytest.mark.parametrize("experiment", [HEAD_ABLATION, MLP_ABLATION])
def test_ablation_names_what_was_planted_and_nothing_in_noise(experiment) -> None:  # type: ignore[no-untyped-def]
    heads = 2 if experiment is HEAD_ABLATION else 1
    noise, planted = (effects(6, heads, 7, 1, planted) for planted in (0.0, 0.2))
    assert "none stands out" in experiment.summary({**ASKED, experiment.tables[0]: noise})
    sentence = experiment.summary({**ASKED, experiment.tables[0]: planted})
    assert ("a0.h0" if heads == 2 else "m0") in sentence
    assert "7 prompts" in sentence


def local(gains: Mapping[int, float]) -> Tables:
    rows = [(prompt, layer, 0.2, 0.2 + gain) for layer, gain in gains.items() for prompt in range(7)]
    names = ["prompt", "layer", "answer_prob_before", "answer_prob_after"]
    return {"mlp_local": pl.DataFrame(rows, schema=names, orient="row")}


def test_an_mlp_that_lowers_by_a_millionth_is_not_named() -> None:
    sentence = MLP_LOCAL.summary(local({0: 0.1, 1: 0.0, 2: -1e-6}))
    assert "m0 raises" in sentence
    assert "m2" not in sentence
    assert "m2 lowers" in MLP_LOCAL.summary(local({0: 0.1, 1: 0.0, 2: -0.1}))


def test_no_layer_leads_where_the_answer_has_no_probability() -> None:
    rows = [
        (prompt, layer, "post", prob * (1 + 0.01 * prompt), prob / 10, 0)
        for layer, prob in enumerate([1e-10, 1e-3, 0.3])
        for prompt in range(7)
    ]
    names = ["prompt", "layer", "stage", "answer_prob", "wrong_prob", "answer_rank_among_answers"]
    sentence = LAYER_LENS.summary({**ASKED, "layer_lens": pl.DataFrame(rows, schema=names, orient="row")})
    assert "after layer 0" not in sentence
    assert "most probable after layer 2" in sentence
    assert "leads the subject first after layer 1" in sentence


def curve(values: Mapping[int, float]) -> Tables:
    rows = [(k, prompt, value + 0.001 * prompt) for k, value in values.items() for prompt in range(7)]
    return {**ASKED, "keep_curve": pl.DataFrame(rows, schema=["k", "prompt", "answer_prob"], orient="row")}


def test_the_keep_curve_speaks_of_its_order_and_says_where_it_passes_the_model() -> None:
    above, below = (KEEP_CURVE.summary(curve({0: 0.0, 2: 0.2, 5: middle, 9: 0.3})) for middle in (0.4, 0.2))
    assert "need not be the best order" in above
    assert "first 2 (of those tried; 0 do not)" in above
    assert "passes the model's own value" in above
    assert "passes" not in below


def lens(first: int, last: int, prob: float = 0.2, prompts: int = 7) -> pl.DataFrame:
    """a0.h0: in how many prompts the subject leads, and in how many it is last; a0.h1 gives it more and never leads."""
    rows = [(p, 0, 0, prob, 0 if p < first else 3, p >= prompts - last) for p in range(prompts)]
    rows += [(p, 0, 1, 2 * prob, 1, False) for p in range(prompts)]
    names = ["prompt", "layer", "head", "wrong_prob", "subject_rank_among_words", "subject_last_among_words"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.lit(0.1).alias("answer_prob"), pl.lit(1).alias("answer_rank_among_answers")
    )


def test_of_so_few_prompts_that_some_head_leads_by_chance_none_is_said_to_copy_or_suppress() -> None:
    """Of two words one leads in both of two prompts in every fourth head."""
    assert copying_heads(lens(first=2, last=0, prompts=2)) == []
    assert suppressing_heads(lens(first=0, last=2, prompts=2)) == []


def test_a_head_copies_where_this_subject_leads_and_not_where_all_its_kind_are_probable(planted_model: Model) -> None:
    assert copying_heads(lens(first=6, last=0)) == [(0, 0)]
    assert copying_heads(lens(first=5, last=0)) == []
    assert "a0.h0 copies the subject (above the task's other words in 6 of 7 prompts, mean probability 0.2)" in (
        HEAD_LENS.summary({**ASKED, "head_lens": lens(first=6, last=0)})
    )
    assert "no head copies" in HEAD_LENS.summary({**ASKED, "head_lens": lens(first=5, last=0)})
    ablation = pl.concat([effects(1, 2, 7, 0).with_columns(method=pl.lit(name)) for name in ("mean", "random")])

    def why(head_lens: pl.DataFrame) -> dict[Head, list[str]]:
        measured: dict[str, Tables] = {
            "head_lens": {"head_lens": head_lens},
            "head_ablation": {"head_ablation": ablation},
        }
        return reasons(Setup(planted_model, days(), Options(samples=2), measured))

    assert "copying" in why(lens(first=6, last=0))[Head(0, 0)]
    assert "subject" in why(lens(first=0, last=0))[Head(0, 1)]


def test_a_head_that_ranks_the_subject_last_is_called_suppressing() -> None:
    assert suppressing_heads(lens(first=0, last=7)) == [(0, 0)]
    assert "a0.h0 suppresses it (below all of them in 7 of 7" in HEAD_LENS.summary({**ASKED, "head_lens": lens(0, 7)})


def test_neither_ties_nor_nan_come_first() -> None:
    nan = float("nan")
    among = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0], [nan, 1.0, 0.0], [2.0, nan, 0.0]])
    assert _rank(among, among[:, :1]).tolist() == [1, 0, 2, 1]


def test_a_head_that_says_nothing_neither_copies_nor_suppresses(planted_model: Model) -> None:
    from vitro.experiments.lens import logit_lens

    setup = Setup(planted_model, days())
    silent = logit_lens(setup, torch.zeros(7, planted_model.shape.d_model), torch.arange(7))
    assert silent.subject_last_among_words is not None
    assert silent.subject_rank_among_words is not None
    level = silent.answer_logits.max() == silent.answer_logits.min()
    assert not level or (not silent.subject_last_among_words.any() and (silent.subject_rank_among_words > 0).all())


def clean(ranks: list[int]) -> Tables:
    columns = {"answer_rank": ranks, "answer": [str(i) for i in range(len(ranks))], "answer_prob": [0.1] * len(ranks)}
    return {**ASKED, "clean": pl.DataFrame(columns).with_columns(right_first=(pl.col("answer_rank") == 0).cast(float))}


def test_a_model_that_always_says_one_answer_does_not_do_the_task() -> None:
    assert not does_task(clean([0, 1, 1, 1, 1, 1, 1]))
    assert not does_task(clean([9, 9, 9, 9]))
    assert does_task(clean([1, 0, 1, 0, 0, 0, 0]))
    assert does_task(clean([0, 0]))


def test_of_a_task_that_the_model_does_not_do_that_is_all_that_is_said() -> None:
    tables = clean([9, 9, 9, 9])
    loud = [replace(experiment, summary=lambda tables: "It needs a0.h0 most.") for experiment in EXPERIMENTS.values()]
    sentences = [sentence.text for sentence in findings(loud, tables)]
    assert sentences[0].startswith("The model does not do this task: its top token is the answer in 0 of 4 prompts")
    assert not any("a0.h0" in sentence for sentence in sentences)
    said = findings(loud, clean([0, 0, 0, 0]))
    assert said == [Sentence("It needs a0.h0 most.", experiment.name) for experiment in loud]


def test_c1_is_read_at_the_end_where_the_model_cannot_be_read_after_the_heads(planted_model: Model) -> None:
    def read_after(at_the_heads: float) -> set[str]:
        setup = Setup(planted_model, days(), Options(samples=8))
        lens = setup.tables(LAYER_LENS)["layer_lens"]
        changed = pl.when(pl.col("layer") < 2).then(at_the_heads).otherwise(0.5).alias("answer_prob")
        setup.measured[LAYER_LENS.name] = {**setup.tables(LAYER_LENS), "layer_lens": lens.with_columns(changed)}
        circuits = wired(setup)
        return {str(circuits[name]).split(" -> logits")[0].split()[-1] for name in ("C1", "C2")}

    assert read_after(0.4) == {"resid_post1"}
    assert read_after(1e-9) == {"resid_post2"}
