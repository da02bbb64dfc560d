"""Steering equals plain hooks on the block's output, and the folded direction is the one that TransformerLens folds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from places import gain_of, places_of
from slow import (
    Seen,
    answer_ids,
    assert_near,
    final_norm_of,
    grid,
    slow_read_out,
    slow_run,
    subject_ids,
    unembedding_of,
)
from small_models import random_model
from vitro.engine import Edit, read_out, resid_post
from vitro.errors import VitroError
from vitro.experiments import OptionError, Options, Setup, attention, clean_run, steer
from vitro.experiments.steering import steer_layer, token_directions
from vitro.models import Model
from vitro.options import SteerPositions, UnembedDirection
from vitro.tasks import days, tokenize

ALPHAS = (-5.0, -1.0, 0.0, 0.3, 5.0, 100.0)
LAYER = 1
POSITIONS: tuple[SteerPositions, ...] = ("final", "all")
DIRECTIONS: tuple[UnembedDirection, ...] = ("folded", "raw")


def own_direction(model: Model, token: int, kind: UnembedDirection) -> Tensor:
    """A column of W_U, raw or of the whole matrix folded step by step as TransformerLens does."""
    w_u = unembedding_of(model).double()
    if kind == "raw":
        return w_u[:, token]
    norm = final_norm_of(model)
    w_u = w_u * gain_of(places_of(model), norm)[:, None]  # fold_ln
    if isinstance(norm, torch.nn.LayerNorm):
        w_u = w_u - w_u.mean(0, keepdim=True)  # fold_ln: a LayerNorm's mean takes itself away
    w_u = w_u - w_u.mean(1, keepdim=True)  # center_unembed
    column: Tensor = w_u[:, token]
    return column


def slow_steering(
    model: Model, kind: UnembedDirection, where: SteerPositions, token: int, layer: int, alphas: Sequence[float]
) -> list[list[Seen]]:
    """[alpha][prompt], one plain pass each."""
    direction = own_direction(model, token, kind).float()
    positions = (-1,) if where == "final" else None
    return [
        [
            slow_run(model, prompt, (Edit(resid_post(layer), alpha * direction, how="add", positions=positions),))
            for prompt in tokenize(days(), model.tokenizer, None).tokens
        ]
        for alpha in alphas
    ]


def assert_steered(tables: Any, seen: list[list[Seen]], alphas: Sequence[float], model: Model, heads: Any) -> None:
    prompts = tokenize(days(), model.tokenizer, None)
    logits = torch.stack([torch.stack([run.logits for run in row]) for row in seen])
    powers = (logits - logits.amax(-1, keepdim=True)).exp()
    probs = powers / powers.sum(-1, keepdim=True)
    assert list(alphas) == sorted(alphas)
    subjects = prompts.marks["subject"]
    subjects = prompts.marks["subject"]
    for column, ids in (("answer_prob", answer_ids(prompts)), ("wrong_prob", subject_ids(prompts))):
        expected = torch.stack([probs[:, prompt, token] for prompt, token in enumerate(ids)], dim=1)
        assert_near(grid(tables["steering"], column, "alpha", "prompt"), expected)
    for layer, head in heads:
        rows = tables["steering_attention"].filter(layer=layer, head=head)
        expected = torch.tensor(
            [[float(run.attention[layer, head, -1, at]) for run, at in zip(row, subjects, strict=True)] for row in seen]
        )
        assert_near(grid(rows, "weight", "alpha", "prompt"), expected)


@pytest.mark.parametrize("where", POSITIONS)
@pytest.mark.parametrize("kind", DIRECTIONS)
def test_steering_and_the_attention_under_it_equal_plain_hooks(
    with_words: Model, kind: UnembedDirection, where: SteerPositions
) -> None:
    model = with_words
    # Before, at and after the steered layer.
    heads = ((0, 1), (LAYER, 0), (2, 3), (model.shape.n_layers - 1, 2))
    options = Options(
        heads=heads,
        alphas=ALPHAS,
        unembed_direction=kind,
        steer_positions=where,
        steer_layer=LAYER,
        steer_token=" today",
    )
    [token] = model.tokenizer.encode(" today", add_special_tokens=False)
    seen = slow_steering(model, kind, where, token, LAYER, ALPHAS)
    tables = steer(model, days(), options).tables
    assert_steered(tables, seen, ALPHAS, model, heads)

    clean = attention(model, days(), options).table.filter(position=4)
    for layer, head in heads:
        before = clean.filter(layer=layer, head=head)["weight"].to_numpy()
        after = tables["steering_attention"].filter(layer=layer, head=head, alpha=100.0)["weight"].to_numpy()
        moved = np.abs(after - before).max()
        assert moved == 0 if layer <= LAYER else moved > 1e-3


@pytest.mark.parametrize("where", POSITIONS)
@pytest.mark.parametrize("name", ["mistral-window", "neox-sequential-full-rotation", "gpt2-odd"])
def test_steering_at_the_first_and_the_last_layer_equals_plain_hooks(
    name: str, where: SteerPositions, day_words: Any
) -> None:
    model = random_model(name)
    model.tokenizer = day_words
    heads, alphas = ((0, 0), (1, 1), (2, 2)), (-2.0, 3.0)
    [token] = day_words.encode(" tomorrow", add_special_tokens=False)
    for layer in (0, model.shape.n_layers - 1):
        options = Options(heads=heads, alphas=alphas, steer_positions=where, steer_layer=layer)
        seen = slow_steering(model, "folded", where, token, layer, alphas)
        assert_steered(steer(model, days(), options).tables, seen, alphas, model, heads)


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-1-tied", "neox-parallel", "neox-no-bias-tied", "qwen2"])
def test_the_folded_direction_is_a_column_of_the_folded_unembedding(name: str, day_words: Any) -> None:
    model = random_model(name)
    model.tokenizer = day_words
    for kind in DIRECTIONS:
        setup = Setup(model, days(), Options(unembed_direction=kind))
        for token in (0, 7, model.shape.d_vocab - 1):
            direction = token_directions(setup, [token])[0].double()
            torch.testing.assert_close(direction, own_direction(model, token, kind), atol=1e-6, rtol=0)
    apart = own_direction(model, 7, "folded") - own_direction(model, 7, "raw")
    assert apart.abs().max() > 1e-2


@given(st.integers(0, 2**32 - 1), st.integers(0, 59), st.sampled_from(["gpt2", "llama-gqa-3"]))
@settings(max_examples=15)
def test_the_folded_direction_is_what_the_unembedding_reads(seed: int, token: int, name: str) -> None:
    # The logit of a token above the vocabulary's mean is the normed stream along it, but for the norm's own bias.
    model = random_model(name)
    resid = torch.randn(model.shape.d_model, generator=torch.Generator().manual_seed(seed)).double()
    layer_norm = isinstance(final_norm_of(model), torch.nn.LayerNorm)
    centred = resid - resid.mean() if layer_norm else resid
    unit = centred / centred.square().mean().sqrt()
    w_u = unembedding_of(model).double()
    bias = final_norm_of(model).bias.double() if layer_norm else torch.zeros(model.shape.d_model).double()
    constant = bias @ (w_u[:, token] - w_u.mean(1))
    logits = read_out(model, resid.float()).double()
    direction = token_directions(Setup(model, days()), [token])[0].double()
    assert float(logits[token] - logits.mean()) == pytest.approx(float(unit @ direction + constant), abs=1e-3)


@pytest.mark.parametrize("where", POSITIONS)
def test_alpha_0_is_the_clean_run(planted_model: Model, where: SteerPositions) -> None:
    options = Options(heads=((1, 1), (0, 2)), alphas=(0.0,), steer_layer=0, steer_positions=where)
    tables = steer(planted_model, days(), options).tables
    clean = clean_run(planted_model, days()).table
    for column in ("answer_prob", "wrong_prob"):
        assert tables["steering"][column].to_numpy() == pytest.approx(clean[column].to_numpy(), abs=1e-6)
    look = attention(planted_model, days(), options).table.filter(position=4)
    weights = tables["steering_attention"].select("prompt", "layer", "head", "weight")
    both = weights.join(look, on=["prompt", "layer", "head"])
    assert len(both) == 14
    assert both["weight"].to_numpy() == pytest.approx(both["weight_right"].to_numpy(), abs=1e-6)


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_steering_after_the_last_layer_only_adds_to_what_is_read_out(with_words: Model, kind: UnembedDirection) -> None:
    model, last = with_words, with_words.shape.n_layers - 1
    prompts = tokenize(days(), model.tokenizer, None)
    [token] = model.tokenizer.encode(" tomorrow", add_special_tokens=False)
    direction = own_direction(model, token, kind)
    resid = torch.stack([slow_run(model, prompt).resid_post[last, -1] for prompt in prompts.tokens])
    both = [
        steer(
            model,
            days(),
            Options(heads=((last, 0),), alphas=ALPHAS, steer_layer=last, unembed_direction=kind, steer_positions=where),
        ).table
        for where in POSITIONS
    ]
    number = torch.arange(7)
    for alpha in ALPHAS:
        probs = slow_read_out(model, resid + alpha * direction).softmax(-1)
        rows = both[0].filter(alpha=alpha)
        for column, ids in (("answer_prob", answer_ids(prompts)), ("wrong_prob", subject_ids(prompts))):
            assert_near(torch.from_numpy(rows[column].to_numpy().copy()), probs[number, torch.tensor(ids)])
    # Nothing reads the other streams any more.
    assert both[0]["answer_prob"].to_numpy() == pytest.approx(both[1]["answer_prob"].to_numpy(), abs=1e-6)


def test_the_token_and_the_layer_that_steer_follow_the_task_and_the_first_key_head(planted_model: Model) -> None:
    by_rule = Setup(planted_model, days(), Options(heads=((2, 0), (0, 2))))
    assert planted_model.tokenizer.decode([by_rule.steer_token]) == " tomorrow"
    assert steer_layer(by_rule) == 1
    assert steer_layer(Setup(planted_model, days(), Options(heads=((0, 2),)))) == 0
    told = Setup(planted_model, days(), Options(heads=((2, 0),), steer_token=" house", steer_layer=2))
    assert planted_model.tokenizer.decode([told.steer_token]) == " house"
    assert steer_layer(told) == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alphas": ()}, "alphas must be one or more finite numbers"),
        ({"alphas": (1.0, float("nan"))}, "alphas must be one or more finite numbers"),
        ({"alphas": (float("inf"),)}, "alphas must be one or more finite numbers"),
        ({"unembed_direction": "centred"}, "unembed_direction must be folded or raw, not 'centred'"),
        ({"steer_positions": "subject"}, "steer_positions must be final or all, not 'subject'"),
        ({"steer_layer": -1}, "steer_layer must be 0 or more, not -1"),
        ({"heads": ()}, "heads"),
        ({"heads": ((1, 1), (1, 1))}, "heads"),
    ],
)
def test_options_out_of_range_are_refused_at_the_door(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says) as error:
        Options(**options)
    assert "\n" not in str(error.value)


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"heads": ((3, 0),)}, "there is no head a3.h0 in this model: its heads are a0.h0 to a2.h3"),
    ({"heads": ((1, 1), (0, 4))}, "there is no head a0.h4"),
    ({"heads": ((1, -1),)}, "there is no head a1.h-1"),
    ({"steer_layer": 3}, "there is no layer 3: the model has 0 to 2"),
    ({"steer_token": " tomorrow today"}, r"is 2 tokens here \(.*tomorrow., .*today.\) and must be one"),
    ({"steer_token": ""}, r"is 0 tokens here \(none\) and must be one"),
]


@pytest.mark.parametrize(("options", "says"), MISFITS)
def test_options_that_do_not_fit_the_model_are_refused_by_check(
    planted_model: Model, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(OptionError, match=says) as error:
        Setup(planted_model, days(), Options(**options)).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("options", "says"), MISFITS)
def test_options_that_do_not_fit_the_model_are_refused_by_the_call_itself(
    planted_model: Model, options: dict[str, Any], says: str
) -> None:
    # A section stands alone in Python too, where no study has checked first; head -1 is not the last head.
    measure = attention if "heads" in options else steer
    with pytest.raises(VitroError) as error:
        measure(planted_model, days(), Options(samples=4, **{"heads": ((1, 1),), **options}))
    assert "\n" not in str(error.value)


def test_a_steering_token_that_the_tokenizer_does_not_know_is_refused(planted_model: Model) -> None:
    with pytest.raises(OptionError, match="' xylophone'"):
        Setup(planted_model, days(), Options(steer_token=" xylophone")).check()


def test_every_alpha_has_its_own_rows_in_the_order_asked_for(planted_model: Model) -> None:
    tables = steer(planted_model, days(), Options(heads=((1, 1), (0, 2)), alphas=(5.0, -1.0, 0.0))).tables
    assert tables["steering"]["alpha"].to_list() == [5.0] * 7 + [-1.0] * 7 + [0.0] * 7
    assert tables["steering"]["prompt"].to_list() == list(range(7)) * 3
    looked = tables["steering_attention"].select("layer", "head").unique(maintain_order=True)
    assert looked.rows() == [(1, 1), (0, 2)]
    assert tables["steering_attention"].schema["weight"] == pl.Float32
