"""Attention equals transformers' eager attention, pins equal plain hooks, and both know what was planted."""

from typing import Any

import polars as pl
import pytest
import torch

from planted import COPY, SUBJECT, SUCCESSOR
from slow import answer_ids, assert_near, grid, slow_logits, slow_run
from small_models import MAKERS, random_model
from vitro.engine import Budget, Variant, pin
from vitro.experiments import Options, attention, clean_run, pin_heads, steer
from vitro.heads import Head
from vitro.models import Model
from vitro.tasks import days, tokenize


def some_heads(model: Model) -> tuple[Head, ...]:
    """One in every layer, not in the layers' order, the last layer's among them, another group's keys each time."""
    shape = model.shape
    layers = [shape.n_layers - 1, *range(shape.n_layers - 1)]
    return tuple(Head(layer, (shape.n_heads - 1 - 2 * number) % shape.n_heads) for number, layer in enumerate(layers))


@pytest.mark.parametrize("name", MAKERS)
def test_attention_equals_eager_attention_in_every_family_and_window(name: str, day_words: Any) -> None:
    model = random_model(name)
    model.tokenizer = day_words
    heads = some_heads(model)
    seen = torch.stack([slow_run(model, prompt).attention for prompt in tokenize(days(), day_words, None).tokens])
    tables = attention(model, days(), Options(heads=heads)).tables
    final = grid(tables["attention"], "weight", "prompt", "layer", "head", "position")
    assert_near(final, seen[:, :, :, -1])
    assert_near(final.sum(-1), torch.ones(final.shape[:-1]))

    pattern = tables["attention_pattern"]
    assert pattern.select("layer", "head").unique(maintain_order=True).rows() == list(heads)
    for layer, head in heads:
        rows = pattern.filter(layer=layer, head=head)
        assert len(rows) == 7 * 36  # 8 positions, each sees itself and those before
        whole = torch.zeros(7, 8, 8, dtype=torch.float64)
        whole[tuple(rows.select("prompt", "query", "key").to_numpy().T)] = torch.from_numpy(
            rows["weight"].to_numpy().astype("float64")
        )
        assert_near(whole, seen[:, layer, head])
        assert_near(whole.sum(-1), torch.ones(7, 8))


def test_a_window_hides_what_lies_before_it(day_words: Any) -> None:
    model = random_model("mistral-window")
    model.tokenizer = day_words
    weights = grid(attention(model, days()).table, "weight", "prompt", "layer", "head", "position")
    assert weights[..., :5].abs().max() == 0
    assert weights[..., 5:].min() > 0


def test_the_planted_heads_attend_to_the_subject(planted_model: Model) -> None:
    heads = (COPY, SUCCESSOR)
    tables = attention(planted_model, days(), Options(heads=heads)).tables
    weights = grid(tables["attention"], "weight", "prompt", "layer", "head", "position")
    for layer, head in heads:
        assert weights[:, layer, head, SUBJECT].min() > 0.99
    noise = torch.ones(weights.shape[1:3], dtype=torch.bool)
    for layer, head in heads:
        noise[layer, head] = False
    assert weights[:, noise].max() < 0.2  # 1/8 each, but for the noise


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-2-biases-wide-heads", "neox-parallel", "mistral-window", "qwen2"])
def test_pins_one_by_one_and_together_equal_plain_hooks(name: str, day_words: Any) -> None:
    model = random_model(name)
    model.tokenizer = day_words
    prompts = tokenize(days(), day_words, None)
    heads = some_heads(model)[:2]
    table = pin_heads(model, days(), Options(heads=heads)).table
    groups = [*((head,) for head in heads), heads]
    names = ["+".join(f"a{layer}.h{head}" for layer, head in group) for group in groups]
    assert table["heads"].unique(maintain_order=True).to_list() == names
    for group, group_name in zip(groups, names, strict=True):
        variants: list[Variant] = [(), *(tuple(pin(*head, to) for head in group) for to in range(8))]
        logits = slow_logits(model, prompts.tokens, variants).double()
        powers = (logits - logits.amax(-1, keepdim=True)).exp()
        probs = powers / powers.sum(-1, keepdim=True)
        answer = torch.tensor(answer_ids(prompts)).expand(9, -1)[..., None]
        expected = probs.gather(-1, answer)[..., 0]
        rows = table.filter(heads=group_name)
        values = grid(rows.with_columns(pl.col("position").fill_null(-1)), "answer_prob", "position", "prompt")
        assert_near(values, expected)
        assert (expected[1:] - expected[0]).abs().max() > 1e-3, f"{group_name}: pins change nothing"


def test_the_pins_null_position_is_the_clean_run(with_words: Model) -> None:
    clean = clean_run(with_words, days()).table["answer_prob"].to_numpy()
    table = pin_heads(with_words, days(), Options(heads=((1, 1), (0, 0)))).table
    unpinned = table.filter(pl.col("position").is_null())
    assert len(unpinned) == 7 * 3
    for rows in unpinned.partition_by("heads"):
        assert rows["prompt"].to_list() == list(range(7))
        assert rows["answer_prob"].to_numpy() == pytest.approx(clean, abs=1e-6)


def test_pinning_the_planted_heads_does_what_algebra_says(planted_model: Model) -> None:
    table = pin_heads(planted_model, days(), Options(heads=(SUCCESSOR, COPY))).table
    probs = {
        name: grid(
            table.filter(pl.col("heads") == name).with_columns(pl.col("position").fill_null(-1)),
            "answer_prob",
            "position",
            "prompt",
        )
        for name in ("a1.h1", "a0.h2", "a1.h1+a0.h2")
    }
    elsewhere = [1 + position for position in range(8) if position != SUBJECT]
    successor, copier, together = probs["a1.h1"], probs["a0.h2"], probs["a1.h1+a0.h2"]
    clean = successor[0]
    # The successor looks at the subject anyway; what stands anywhere else has no next day.
    assert ((successor[1 + SUBJECT] - clean).abs() < 0.01).all()
    assert (successor[elsewhere] < 0.01).all()
    # The copier, too, and without the subject in the way the answer is surer.
    assert ((copier[1 + SUBJECT] - clean).abs() < 0.01).all()
    assert (copier[elsewhere] > clean + 0.05).all()
    # With neither, the model knows nothing of days: chance among twenty tokens, but for the noise.
    assert ((together[1 + SUBJECT] - clean).abs() < 0.01).all()
    assert ((together[elsewhere] - 1 / planted_model.shape.d_vocab).abs() < 0.04).all()


def test_a_small_memory_budget_changes_neither_attention_nor_pins_nor_steering(day_words: Any) -> None:
    model = random_model("neox-parallel")
    model.tokenizer = day_words
    heads = some_heads(model)
    memory = Budget.of(model).need(nodes=8, prompts=1) + 1
    prompts = tokenize(days(), day_words, None).tokens
    assert len(list(Budget.of(model, memory).parts(prompts))) == 7
    plenty, little = Options(heads=heads), Options(heads=heads, memory=memory)
    for measure in (attention, pin_heads, steer):
        whole, parts = measure(model, days(), plenty).tables, measure(model, days(), little).tables
        for name in [name for name in whole if name not in ("prompts", "steering_vector")]:
            table = whole[name]
            keys = [column for column, kind in table.schema.items() if kind != pl.Float32]
            assert table.select(keys).equals(parts[name].select(keys))
            for value in set(table.columns).difference(keys):
                apart = (table[value] - parts[name][value]).abs().max()
                assert apart <= 1e-5  # type: ignore[operator]
