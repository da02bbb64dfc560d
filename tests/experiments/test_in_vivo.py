"""What all in-vivo tables share: their columns, the prompts in the task's own order, and the key heads in theirs."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

import vitro
from planted import COPY, SUCCESSOR
from vitro.experiments import (
    EXPERIMENTS,
    Experiment,
    Measurement,
    Options,
    Setup,
    answer_tables,
    attention,
    head_lens,
    head_tokens,
    key_heads,
    layer_lens,
    mlp_local,
    pin_heads,
    steer,
    stream_tokens,
)
from vitro.experiments.key_heads import KEY_HEADS
from vitro.figures import to_spec
from vitro.heads import Head
from vitro.models import Model
from vitro.tasks import Task, days

METRICS = "answer_prob, answer_logit, logit_diff, margin, prob_diff, among_answers, right_first, kl"
COLUMNS = {
    "head_lens": "layer, head, answer_prob, wrong_prob, answer_rank_among_answers, answer_rank, wrong_rank, "
    "subject_rank_among_words, subject_last_among_words",
    "head_lens_top": "layer, head, rank, token, prob",
    "answer_table": "component, answer, logit, normalized",
    "attention": "layer, head, position, weight",
    "attention_pattern": "layer, head, query, key, weight",
    "attention_pin": f"heads, position, mark, {METRICS}",
    "layer_lens": "layer, stage, answer_prob, wrong_prob, answer_rank_among_answers",
    "layer_lens_top": "layer, stage, rank, token, prob",
    "stream_top": "layer, position, rank, token",
    "steering": f"alpha, {METRICS}, wrong_prob",
    "steering_attention": "alpha, layer, head, weight",
    "mlp_local": "layer, answer_prob_before, answer_prob_after",
}
"""docs/tables.md, word by word; `attention_pattern` is Vitro's own."""
OF_THE_TASK = {"steering_vector": "token, layer, direction, positions, mark", "key_heads": "layer, head, why"}
"""Tables of the whole task, which have no column `prompt`."""

HEADS: tuple[Head, ...] = (Head(2, 0), Head(1, 1), Head(0, 2))
MEASURES: dict[str, Callable[[Model, Task, Options], Measurement]] = {
    "head_lens": head_lens,
    "head_tokens": head_tokens,
    "answer_table": lambda model, task, options: answer_tables(
        model, task, ["a1.h1", "m0", "resid_mid1", "logits"], options
    ),
    "attention": attention,
    "attention_pin": pin_heads,
    "layer_lens": layer_lens,
    "stream_top": stream_tokens,
    "steering": steer,
    "mlp_local": mlp_local,
}


def measured(model: Model, task: Task, options: Options) -> dict[str, pl.DataFrame]:
    tables = {}
    for measure in MEASURES.values():
        measurement = measure(model, task, options)
        tables.update({name: measurement.tables[name] for name in measurement.experiment.tables})
    return tables


def test_the_tables_have_the_columns_of_the_method(planted_model: Model) -> None:
    tables = measured(planted_model, days(), Options(heads=HEADS))
    assert {name: table.columns for name, table in tables.items()} == {
        **{name: ["prompt", *columns.split(", ")] for name, columns in COLUMNS.items()},
        **{name: columns.split(", ") for name, columns in OF_THE_TASK.items()},
    }
    for name in COLUMNS:
        table = tables[name]
        holes = {column: count for column, count in table.null_count().row(0, named=True).items() if count}
        # In the pins, null is the clean run: of each prompt, for each head and for two together. And of eight positions
        # two have a name.
        assert holes == ({"position": 7 * 4, "mark": 7 * 4 * 7} if name == "attention_pin" else {})
        assert table["prompt"].unique().sort().to_list() == list(range(7))


@pytest.mark.parametrize("shift", [1, 5])
def test_tables_follow_the_prompts_in_the_order_of_the_task(with_words: Model, shift: int) -> None:
    # The same prompts and answers, counted from another day: every row is there again, under another number.
    task = days()
    turned = replace(task, words=task.words[shift:] + task.words[:shift])
    options = Options(heads=HEADS)
    in_order, shifted = measured(with_words, task, options), measured(with_words, turned, options)
    for name in OF_THE_TASK:
        assert in_order[name].equals(shifted[name])
    for name in COLUMNS:
        table = in_order[name]
        moved = shifted[name].with_columns(((pl.col("prompt") + shift) % 7).alias("prompt"))
        values = [column for column, dtype in table.schema.items() if dtype.is_float() and column != "alpha"]
        keys = [
            column
            for column in table.columns
            if column not in (*values, "token", "answer_rank", "wrong_rank") and "among" not in column
        ]
        joined = table.join(moved, on=keys, suffix="_turned", nulls_equal=True)
        assert len(joined) == len(table) == len(moved), name
        for value in values:
            apart = joined.select((pl.col(value) - pl.col(f"{value}_turned")).abs().max()).item()
            assert apart <= 1e-4, f"{name}.{value}: {apart:.1e}"
        # Unturned, the rows are others: the test can fail.
        unturned = table.join(shifted[name], on=keys, suffix="_turned", nulls_equal=True)
        if values:
            last = values[-1]
            assert unturned.select((pl.col(last) - pl.col(f"{last}_turned")).abs().max()).item() > 1e-3, name


def test_options_override_the_key_heads_in_their_own_order(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(heads=HEADS))
    assert key_heads(setup) == HEADS
    assert setup.measured == {}  # No rule was asked.
    tables = measured(planted_model, days(), Options(heads=HEADS))
    for name in ("attention_pattern", "steering_attention"):
        assert tables[name].select("layer", "head").unique(maintain_order=True).rows() == list(HEADS)
    assert tables["attention_pin"]["heads"].unique(maintain_order=True).to_list() == [
        "a2.h0",
        "a1.h1",
        "a0.h2",
        "a2.h0+a1.h1",
    ]


def test_by_rule_the_planted_heads_are_key_heads_and_the_successor_is_the_first(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(samples=16))
    heads = key_heads(setup)
    assert heads[0] == SUCCESSOR
    assert COPY in heads
    assert len(heads) == len(set(heads)) <= 8
    pinned = pin_heads(planted_model, days(), Options(samples=16)).table["heads"].unique(maintain_order=True)
    assert pinned[-1] == "a1.h1+a0.h2"


def test_one_head_alone_is_pinned_alone(planted_model: Model) -> None:
    assert pin_heads(planted_model, days(), Options(heads=(SUCCESSOR,))).table["heads"].unique().to_list() == ["a1.h1"]


def test_the_section_of_the_key_heads_says_why_each_is_one_and_what_it_says(planted_model: Model) -> None:
    measurement = head_tokens(planted_model, days(), Options(samples=16))
    why = {(layer, head): words for layer, head, words in measurement.table.iter_rows()}
    assert tuple(why) == key_heads(Setup(planted_model, days(), Options(samples=16)))
    assert why[SUCCESSOR].startswith("selective")
    assert "copying" in why[COPY]
    numbers = {row["head"]: row for row in measurement.numbers.to_dicts()}
    assert numbers["a1.h1"]["answer above all other answers in"] == 7
    assert numbers["a0.h2"]["mean prob of the subject"] > 0.5
    # The planted heads say the next day and the day itself, and the figure shows it.
    rows = next(iter(to_spec(measurement.figures["head_tokens"])["datasets"].values()))
    words = {(row["layer"], row["column"]): row["word"] for row in rows}
    for place, head in enumerate(why):
        for prompt, day in enumerate(days().words):
            if head in (SUCCESSOR, COPY):
                word = days().words[(prompt + 1) % 7] if head == SUCCESSOR else day
                assert words[place, prompt].endswith(word)


def test_heads_that_are_asked_for_need_no_ablation_to_be_shown(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), Options(heads=HEADS))
    tables = KEY_HEADS.shown(setup)
    assert "head_ablation" not in setup.measured
    assert tables["key_heads"].rows() == [(*head, "asked for") for head in HEADS]


def test_what_steers_is_in_the_tables(planted_model: Model) -> None:
    options = Options(heads=HEADS, unembed_direction="raw", steer_positions="all", steer_token=" house", steer_layer=0)
    assert steer(planted_model, days(), options).tables["steering_vector"].rows() == [
        (" house", 0, "raw", "all", "subject")
    ]
    by_rule = steer(planted_model, days(), Options(heads=HEADS)).tables["steering_vector"]
    assert by_rule.rows() == [(" tomorrow", 1, "folded", "final", "subject")]


COMPARED = {
    "edges_agreement": 'm.compare_scores(["eap"])',
    "curve": 'm.curve(["eap"])',
    "curve_choices": 'vitro.EXPERIMENTS["curve_choices"].measure(model, task, options)',
}
"""Calls of what compares others, whose section shows a command instead."""
SECTIONS = [experiment for experiment in EXPERIMENTS.values() if not set(experiment.tables) & {"prompts", "datasets"}]


@pytest.mark.parametrize("experiment", SECTIONS, ids=lambda experiment: experiment.name)
def test_a_section_stands_alone_and_shows_its_figures_and_numbers_in_a_notebook(
    experiment: Experiment, planted_model: Model
) -> None:
    # The very call that the report prints under the section, where it prints one.
    names = {"vitro": vitro, "model": planted_model, "task": days(), "options": Options(samples=8)}
    names["m"] = vitro.mount(planted_model, days(), Options(samples=8))
    measurement = eval(experiment.python or COMPARED[experiment.name], names)
    html = measurement._repr_html_()
    assert html.count("<svg") == len(measurement.figures) >= 1
    assert experiment.title in html
    assert experiment.title in repr(measurement)
    assert measurement.table.height > 0
    assert measurement.numbers.height > 0
