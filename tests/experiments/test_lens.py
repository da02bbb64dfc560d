"""The logit lens on heads, layers and streams, and answer tables, equal plain hooks, own slices of W_O, own softmax."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from planted import COPY, SUCCESSOR
from slow import (
    Seen,
    answer_ids,
    assert_near,
    grid,
    slow_head_out,
    slow_read_out,
    slow_run,
    subject_ids,
    value_bias_of,
    w_out_of,
)
from small_models import random_model
from vitro.experiments import (
    OptionError,
    Options,
    Setup,
    answer_tables,
    head_lens,
    layer_lens,
    mlp_local,
    stream_tokens,
)
from vitro.experiments.lens import logit_lens
from vitro.models import Model
from vitro.options import ValueBias
from vitro.tables import copying_heads, selective_heads
from vitro.tasks import Questions, days, readable, tokenize

BIASES: tuple[ValueBias, ...] = ("excluded", "included")


def seen_of(model: Model) -> tuple[Questions, list[Seen]]:
    prompts = tokenize(days(), model.tokenizer, None)
    return prompts, [slow_run(model, prompt) for prompt in prompts.tokens]


def assert_answers(table: pl.DataFrame, keys: tuple[str, ...], logits: Tensor, prompts: Questions) -> None:
    """answer_prob, wrong_prob and answer_rank_among_answers, against logits [prompt, *keys, d_vocab]."""
    probs = torch.stack([_own_softmax(part) for part in logits])
    for column, ids in (("answer_prob", answer_ids(prompts)), ("wrong_prob", subject_ids(prompts))):
        expected = torch.stack([part[..., token] for part, token in zip(probs, ids, strict=True)])
        assert_near(grid(table, column, "prompt", *keys), expected)
    ranks = torch.stack(
        [
            sum((part[..., other] > part[..., right]).double() for other in prompts.among)
            for part, right in zip(logits, answer_ids(prompts), strict=True)
        ]
    )
    assert torch.equal(grid(table, "answer_rank_among_answers", "prompt", *keys), ranks)


def _own_softmax(logits: Tensor) -> Tensor:
    powers = (logits - logits.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def assert_tops(table: pl.DataFrame, keys: tuple[str, ...], logits: Tensor, model: Model) -> None:
    """Ten tokens, each as probable by the slow way as the token of that rank must be, and named once."""
    names = [readable(model.tokenizer, token) for token in range(logits.shape[-1])]
    assert len(set(names)) == len(names)
    probs = _own_softmax(logits)
    highest = probs.sort(-1, descending=True).values[..., :10]
    token = table.with_columns(pl.col("token").replace_strict(names, range(len(names))).alias("id"))
    ids = grid(token, "id", "prompt", *keys, "rank").long()
    assert ids.shape == highest.shape
    assert all(len(set(row)) == 10 for row in ids.flatten(0, -2).tolist())
    assert_near(probs.gather(-1, ids), highest)
    if "prob" in table.columns:
        assert_near(grid(table, "prob", "prompt", *keys, "rank"), highest)


def stage_by_stage(seen: Seen) -> Tensor:
    """[layer, stage, d_model] at the final stream; the stages in the alphabet's order: mid, post, pre."""
    return torch.stack([seen.resid_mid[:, -1], seen.resid_post[:, -1], seen.resid_pre[:, -1]], dim=1)


@pytest.mark.parametrize("value_bias", BIASES)
def test_head_lens_equals_plain_hooks(with_words: Model, value_bias: ValueBias) -> None:
    prompts, seen = seen_of(with_words)
    shape = with_words.shape
    outs = torch.stack(
        [
            torch.stack(
                [
                    torch.stack(
                        [slow_head_out(with_words, run, layer, head, value_bias) for head in range(shape.n_heads)]
                    )
                    for layer in range(shape.n_layers)
                ]
            )
            for run in seen
        ]
    )
    logits = slow_read_out(with_words, outs)
    tables = head_lens(with_words, days(), Options(value_bias=value_bias)).tables
    assert_answers(tables["head_lens"], ("layer", "head"), logits, prompts)
    for column, ids in (("answer_rank", answer_ids(prompts)), ("wrong_rank", subject_ids(prompts))):
        above = [(part > part[..., token, None]).double().sum(-1) for part, token in zip(logits, ids, strict=True)]
        assert torch.equal(grid(tables["head_lens"], column, "prompt", "layer", "head"), torch.stack(above))
    assert_tops(tables["head_lens_top"], ("layer", "head"), logits, with_words)


def test_layer_lens_and_mlp_local_equal_plain_hooks(with_words: Model) -> None:
    prompts, seen = seen_of(with_words)
    logits = slow_read_out(with_words, torch.stack([stage_by_stage(run) for run in seen]))
    tables = layer_lens(with_words, days()).tables
    assert_answers(tables["layer_lens"], ("layer", "stage"), logits, prompts)
    assert_tops(tables["layer_lens_top"], ("layer", "stage"), logits, with_words)

    probs = _own_softmax(logits)
    right = torch.stack([part[..., token] for part, token in zip(probs, answer_ids(prompts), strict=True)])
    local = mlp_local(with_words, days()).table
    assert_near(grid(local, "answer_prob_before", "prompt", "layer"), right[..., 0])
    assert_near(grid(local, "answer_prob_after", "prompt", "layer"), right[..., 1])


def test_the_lens_after_the_last_layer_is_the_model(with_words: Model) -> None:
    _, seen = seen_of(with_words)
    last = with_words.shape.n_layers - 1
    for run in seen:
        assert_near(slow_read_out(with_words, run.resid_post[last, -1]), run.logits)


def test_stream_top_equals_plain_hooks(with_words: Model) -> None:
    _, seen = seen_of(with_words)
    logits = slow_read_out(with_words, torch.stack([run.resid_pre for run in seen]))
    table = stream_tokens(with_words, days()).table
    assert_tops(table, ("layer", "position"), logits, with_words)


def components(model: Model) -> dict[str, Callable[[Seen], Tensor]]:
    """A name of every kind, and what it means in plain hooks."""
    shape = model.shape
    last, head = shape.n_layers - 1, shape.n_heads - 1
    return {
        "a0.h1": lambda seen: slow_head_out(model, seen, 0, 1),
        f"{last}.{head}": lambda seen: slow_head_out(model, seen, last, head),
        "m0": lambda seen: seen.mlp_out[0, -1],
        f"m{last}": lambda seen: seen.mlp_out[last, -1],
        "resid_pre0": lambda seen: seen.resid_pre[0, -1],
        "resid_pre1": lambda seen: seen.resid_pre[1, -1],
        "resid_mid1": lambda seen: seen.resid_mid[1, -1],
        f"resid_mid{last}": lambda seen: seen.resid_mid[last, -1],
        "resid_post0": lambda seen: seen.resid_post[0, -1],
        f"resid_post{last}": lambda seen: seen.resid_post[last, -1],
    }


def test_answer_tables_of_every_kind_of_component_equal_plain_hooks(with_words: Model) -> None:
    prompts, seen = seen_of(with_words)
    kinds = components(with_words)
    expected = {
        name: torch.stack([slow_read_out(with_words, read(run)) for run in seen]) for name, read in kinds.items()
    }
    expected["logits"] = torch.stack([run.logits for run in seen])
    table = answer_tables(with_words, days(), list(expected)).table
    assert table["component"].unique(maintain_order=True).to_list() == list(expected)
    for name, logits in expected.items():
        listed = logits[:, list(prompts.among)]
        spread = (listed - listed.mean()).square().mean().sqrt()
        rows = table.filter(component=name)
        # Prompt by prompt, the answers in the task's order.
        assert rows["prompt"].to_list() == np.repeat(np.arange(7), 7).tolist()
        assert rows["answer"].to_list() == list(days().answer_list) * 7
        for column, want in (("logit", listed), ("normalized", (listed - listed.mean()) / spread)):
            assert_near(torch.from_numpy(rows[column].to_numpy().copy()).reshape(7, 7), want)


def test_answer_tables_of_heads_follow_the_value_bias(with_words: Model) -> None:
    prompts, seen = seen_of(with_words)
    table = answer_tables(with_words, days(), ["a1.h1"], Options(value_bias="included")).table
    outs = torch.stack([slow_head_out(with_words, run, 1, 1, "included") for run in seen])
    assert_near(
        torch.from_numpy(table["logit"].to_numpy().copy()).reshape(7, 7),
        slow_read_out(with_words, outs)[:, list(prompts.among)],
    )


@given(st.sampled_from(["a{}.h{}", "m{}", "resid_pre{}", "resid_mid{}", "resid_post{}", "logits"]), st.data())
@settings(max_examples=25)
def test_a_normalized_answer_table_has_mean_0_and_deviation_1(planted_model: Model, kind: str, data: Any) -> None:
    shape = planted_model.shape
    layer, head = data.draw(st.integers(0, shape.n_layers - 1)), data.draw(st.integers(0, shape.n_heads - 1))
    table = answer_tables(planted_model, days(), [kind.format(layer, head)]).table
    normalized, logit = table["normalized"].to_numpy(), table["logit"].to_numpy()
    assume(logit.std() > 1e-6)  # The planted stream says nothing of the answers before layer 0.
    assert abs(normalized.mean()) < 1e-5
    # Float32 columns: a table's deviation may be many times smaller than its logits.
    assert math.isclose(normalized.std(), 1.0, abs_tol=1e-3)
    assert np.corrcoef(normalized, logit)[0, 1] > 0.999


def test_a_component_that_the_model_lacks_is_refused_by_its_name(planted_model: Model) -> None:
    for name in ("a3.h0", "a0.h4", "m3", "resid_pre3", "resid_mid-1", "input", "a0", "h1", "", "logits1", "a0.h1 "):
        with pytest.raises(OptionError, match="there is no component") as error:
            answer_tables(planted_model, days(), [name])
        assert repr(name) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["gpt2", "qwen2", "neox-parallel", "llama-gqa-2-biases-wide-heads"])
def test_value_bias_conventions_differ_by_exactly_the_bias_term(name: str, day_words: Any) -> None:
    model = random_model(name)
    model.tokenizer = day_words
    prompts = tokenize(days(), day_words, None)
    excluded, included = (Setup(model, days(), Options(value_bias=choice)) for choice in BIASES)
    lens = {choice: head_lens(model, days(), Options(value_bias=choice)).table for choice in BIASES}
    for layer in range(model.shape.n_layers):
        outs = excluded.head_out(layer), included.head_out(layer)
        terms = torch.stack(
            [value_bias_of(model, layer, head) @ w_out_of(model, layer, head) for head in range(model.shape.n_heads)]
        )
        assert terms.abs().amax(-1).min() > 0.01
        torch.testing.assert_close(outs[0].double() + terms, outs[1].double(), atol=1e-5, rtol=0)

        # The lens of the one is the lens of the other's output plus that term.
        logits = slow_read_out(model, outs[0].double() + terms)
        rows = lens["included"].filter(layer=layer)
        assert_answers(rows, ("head",), logits, prompts)
    changed = (lens["excluded"]["answer_prob"] - lens["included"]["answer_prob"]).abs().max()
    assert changed > 1e-3  # type: ignore[operator]


def test_without_value_biases_the_two_conventions_are_one(day_words: Any) -> None:
    model = random_model("llama-gqa-3")
    model.tokenizer = day_words
    excluded, included = (head_lens(model, days(), Options(value_bias=choice)).tables for choice in BIASES)
    assert all(excluded[name].equals(included[name]) for name in ("head_lens", "head_lens_top"))


@pytest.mark.parametrize("value_bias", BIASES)
def test_the_planted_successor_is_the_only_selective_head_and_the_planted_copier_copies_most(
    planted_model: Model, value_bias: ValueBias
) -> None:
    table = head_lens(planted_model, days(), Options(value_bias=value_bias)).table
    assert selective_heads(table) == [SUCCESSOR]
    assert copying_heads(table)[0] == COPY
    mean = table.group_by("layer", "head").agg(pl.col("answer_prob", "wrong_prob").mean())
    others = mean.filter((pl.col("layer") != COPY[0]) | (pl.col("head") != COPY[1]))
    copied = mean.filter(layer=COPY[0], head=COPY[1])["wrong_prob"].item()
    assert copied > 0.5
    assert copied > 3 * others["wrong_prob"].max()  # type: ignore[operator]
    assert mean.filter(layer=SUCCESSOR[0], head=SUCCESSOR[1])["answer_prob"].item() > 0.5


def test_selective_allows_as_many_misses_as_it_is_told() -> None:
    missed = {(0, 0): 0, (0, 1): 2, (1, 0): 1, (1, 1): 7}
    rows = [
        {"prompt": prompt, "layer": layer, "head": head, "answer_prob": 0.1, "answer_rank_among_answers": rank}
        for (layer, head), misses in missed.items()
        for prompt, rank in enumerate([1] * misses + [0] * (7 - misses))
    ]
    table = pl.DataFrame(rows)
    for misses in range(8):
        assert selective_heads(table, misses) == [
            head for head in sorted(missed, key=missed.__getitem__) if missed[head] <= misses and missed[head] < 7
        ]


def test_the_planted_answer_appears_where_it_was_planted(planted_model: Model) -> None:
    after = layer_lens(planted_model, days()).table
    leads = after.filter(answer_rank_among_answers=0).group_by("layer", "stage").len()
    assert set(leads.filter(len=7).select("layer", "stage").iter_rows()) == {
        (SUCCESSOR[0], "mid"),
        (SUCCESSOR[0], "post"),
        (2, "pre"),
        (2, "mid"),
        (2, "post"),
    }
    copied = after.filter(pl.col("wrong_prob") > 2 * pl.col("answer_prob")).group_by("layer", "stage").len()
    assert set(copied.filter(len=7).select("layer", "stage").iter_rows()) == {
        (COPY[0], "mid"),
        (COPY[0], "post"),
        (1, "pre"),
    }


def test_the_lens_of_many_vectors_is_the_lens_of_each(with_words: Model) -> None:
    # More than are read at once.
    setup = Setup(with_words, days())
    vectors = torch.randn(600, with_words.shape.d_model, generator=torch.Generator().manual_seed(1))
    prompt = torch.arange(600) % 7
    together = logit_lens(setup, vectors, prompt)
    probs = _own_softmax(slow_read_out(with_words, vectors))
    assert_near(together.answer_prob, probs[torch.arange(600), torch.tensor(answer_ids(setup.questions))[prompt]])
    assert_near(together.top_prob, probs.sort(-1, descending=True).values[:, :10])


def test_tokens_without_a_name_are_shown_too(planted_model: Model) -> None:
    # Pythia's unembedding has 50,304 rows and its tokenizer 50,277 tokens: the rest are padding.
    model = random_model("neox-parallel")
    model.tokenizer = planted_model.tokenizer
    assert model.shape.d_vocab > len(model.tokenizer)
    top = head_lens(model, days()).tables["head_lens_top"]
    assert top["token"].null_count() == 0
    assert top["token"].str.len_chars().min() > 0  # type: ignore[operator]


def pruned(tokenizer: Any) -> Model:
    """A model whose a1.h0 writes nothing: an RMSNorm keeps zero at zero, so all its lens logits are alike."""
    model = random_model("llama-gqa-3")
    model.tokenizer = tokenizer
    model.hf.model.layers[1].self_attn.o_proj.weight[:, : model.shape.d_head] = 0.0
    return model


def test_a_head_that_writes_nothing_is_not_selective(day_words: Any) -> None:
    # Selective: the answer ABOVE every other answer. A tie is not above.
    table = head_lens(pruned(day_words), days()).table
    assert (1, 0) not in selective_heads(table, misses=6)


def test_a_head_that_writes_nothing_has_an_answer_table_without_holes(day_words: Any) -> None:
    table = answer_tables(pruned(day_words), days(), ["a1.h0"]).table
    assert table["logit"].to_list() == [0.0] * 49
    assert not table["normalized"].is_nan().any()
