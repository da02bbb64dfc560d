"""What all in-vivo tables share: their columns, the prompts in the task's own order, and the key heads in theirs."""

from collections.abc import Callable

import polars as pl
import pytest

from planted import COPY, SUCCESSOR
from vitro.experiments import (
    Measurement,
    Options,
    Setup,
    answer_tables,
    attention,
    head_lens,
    key_heads,
    layer_lens,
    mlp_local,
    pin_heads,
    steer,
    stream_tokens,
)
from vitro.experiments.setup import Head
from vitro.models import Model
from vitro.tasks import Task, days

COLUMNS = {
    "head_lens": "layer, head, answer_prob, subject_prob, answer_rank_among_answers",
    "head_lens_top": "layer, head, rank, token, prob",
    "answer_table": "component, answer, logit, normalized",
    "attention": "layer, head, position, weight",
    "attention_pattern": "layer, head, query, key, weight",
    "attention_pin": "heads, position, answer_prob",
    "layer_lens": "layer, stage, answer_prob, subject_prob, answer_rank_among_answers",
    "layer_lens_top": "layer, stage, rank, token, prob",
    "stream_top": "layer, position, rank, token",
    "steering": "alpha, answer_prob, subject_prob",
    "steering_attention": "alpha, layer, head, weight",
    "mlp_local": "layer, answer_prob_before, answer_prob_after",
}
"""method.md, section 5, word by word; `attention_pattern` is Vitro's own."""

HEADS: tuple[Head, ...] = ((2, 0), (1, 1), (0, 2))
MEASURES: dict[str, Callable[[Model, Task, Options], Measurement]] = {
    "head_lens": head_lens,
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
    found = {}
    for measure in MEASURES.values():
        measurement = measure(model, task, options)
        found.update({name: measurement.tables[name] for name in measurement.experiment.tables})
    return found


def test_the_tables_have_the_columns_of_the_method(planted_model: Model) -> None:
    tables = measured(planted_model, days(), Options(heads=HEADS))
    assert {name: table.columns for name, table in tables.items()} == {
        name: ["prompt", *columns.split(", ")] for name, columns in COLUMNS.items()
    }
    for name, table in tables.items():
        holes = {column: count for column, count in table.null_count().row(0, named=True).items() if count}
        # In the pins, null is the clean run: of each prompt, for each head and for two together.
        assert holes == ({"position": 7 * 4} if name == "attention_pin" else {})
        assert table["prompt"].unique().sort().to_list() == list(range(7))


@pytest.mark.parametrize("shift", [1, 5])
def test_tables_follow_the_prompts_in_the_order_of_the_task(with_words: Model, shift: int) -> None:
    # The same prompts and answers, counted from another day: every row is there again, under another number.
    task = days()
    turned = Task(task.name, task.template, task.words[shift:] + task.words[:shift], cyclic=True, content=task.content)
    options = Options(heads=HEADS)
    ours, theirs = measured(with_words, task, options), measured(with_words, turned, options)
    for name, table in ours.items():
        other = theirs[name].with_columns(((pl.col("prompt") + shift) % 7).alias("prompt"))
        values = [column for column, dtype in table.schema.items() if dtype.is_float() and column != "alpha"]
        keys = [column for column in table.columns if column not in (*values, "token", "answer_rank_among_answers")]
        both = table.join(other, on=keys, suffix="_turned", nulls_equal=True)
        assert len(both) == len(table) == len(other), name
        for value in values:
            apart = both.select((pl.col(value) - pl.col(f"{value}_turned")).abs().max()).item()
            assert apart <= 1e-4, f"{name}.{value}: {apart:.1e}"
        # Unturned, the rows are others: the test can fail.
        unturned = table.join(theirs[name], on=keys, suffix="_turned", nulls_equal=True)
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
    found = key_heads(setup)
    assert found[0] == SUCCESSOR
    assert COPY in found
    assert len(found) == len(set(found)) <= 8
    pinned = pin_heads(planted_model, days(), Options(samples=16)).table["heads"].unique(maintain_order=True)
    assert pinned[-1] == "a1.h1+a0.h2"


def test_one_head_alone_is_pinned_alone(planted_model: Model) -> None:
    assert pin_heads(planted_model, days(), Options(heads=(SUCCESSOR,))).table["heads"].unique().to_list() == ["a1.h1"]
