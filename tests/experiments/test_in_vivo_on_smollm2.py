"""The in-vivo measurements on a real model, SmolLM2-135M, against plain Hugging Face passes with hooks."""

from dataclasses import replace

import polars as pl
import pytest
import torch
from torch import Tensor

from slow import (
    Seen,
    answer_ids,
    assert_near,
    grid,
    slow_head_out,
    slow_read_out,
    slow_run,
    subject_ids,
    unembedding_of,
)
from vitro.engine import Edit, pin, resid_post
from vitro.experiments import Options, attention, head_lens, layer_lens, mlp_local, pin_heads, steer
from vitro.models import Model
from vitro.tasks import Questions, days, tokenize

TASK = replace(days(), n=2)
HEADS = ((15, 4), (23, 3), (29, 8))
OPTIONS = Options(
    heads=HEADS, steer_layer=20, steer_token=" tomorrow", alphas=(-1.0, 5.0), unembed_direction="raw", samples=2
)


@pytest.fixture(scope="module")
def prompts(smollm2: Model) -> Questions:
    return tokenize(TASK, smollm2.tokenizer, None)


@pytest.fixture(scope="module")
def seen(smollm2: Model, prompts: Questions) -> list[Seen]:
    return [slow_run(smollm2, prompt) for prompt in prompts.tokens]


def probs_of(model: Model, vectors: Tensor, tokens: list[int]) -> Tensor:
    """The probability of one token for each prompt, by the slow way's lens: [prompt, ...]."""
    probs = slow_read_out(model, vectors).softmax(-1)
    return torch.stack([part[..., token] for part, token in zip(probs, tokens, strict=True)])


def test_the_lens_on_heads(smollm2: Model, prompts: Questions, seen: list[Seen]) -> None:
    outs = torch.stack([torch.stack([slow_head_out(smollm2, run, *head) for head in HEADS]) for run in seen])
    table = head_lens(smollm2, TASK, OPTIONS).table
    for column, tokens in (("answer_prob", answer_ids(prompts)), ("wrong_prob", subject_ids(prompts))):
        expected = probs_of(smollm2, outs, tokens)
        for number, (layer, head) in enumerate(HEADS):
            assert_near(grid(table.filter(layer=layer, head=head), column, "prompt"), expected[:, number])


def test_the_lens_on_layers_and_mlps_on_the_spot(smollm2: Model, prompts: Questions, seen: list[Seen]) -> None:
    layers = (0, 14, 29)
    mid, post = (torch.stack([getattr(run, name)[layers, -1] for run in seen]) for name in ("resid_mid", "resid_post"))
    before, after = (probs_of(smollm2, vectors, answer_ids(prompts)) for vectors in (mid, post))
    chosen = pl.col("layer").is_in(layers)
    lens = layer_lens(smollm2, TASK, OPTIONS).table.filter(chosen)
    assert_near(grid(lens.filter(stage="mid"), "answer_prob", "prompt", "layer"), before)
    assert_near(grid(lens.filter(stage="post"), "answer_prob", "prompt", "layer"), after)
    local = mlp_local(smollm2, TASK, OPTIONS).table.filter(chosen)
    assert_near(grid(local, "answer_prob_before", "prompt", "layer"), before)
    assert_near(grid(local, "answer_prob_after", "prompt", "layer"), after)


def test_attention_from_the_final_stream_of_every_head(smollm2: Model, seen: list[Seen]) -> None:
    weights = grid(attention(smollm2, TASK, OPTIONS).table, "weight", "prompt", "layer", "head", "position")
    assert_near(weights, torch.stack([run.attention[:, :, -1] for run in seen]))


def test_heads_pinned_alone_and_together(smollm2: Model, prompts: Questions) -> None:
    table = pin_heads(smollm2, TASK, OPTIONS).table
    for name, heads in (("a23.h3", HEADS[1:2]), ("a15.h4+a23.h3", HEADS[:2])):
        runs = [
            slow_run(smollm2, prompt, tuple(pin(layer, head, 4) for layer, head in heads)) for prompt in prompts.tokens
        ]
        expected = torch.stack(
            [run.logits.softmax(-1)[token] for run, token in zip(runs, answer_ids(prompts), strict=True)]
        )
        assert_near(grid(table.filter(heads=name, position=4), "answer_prob", "prompt"), expected)


def test_steering_and_the_attention_under_it(smollm2: Model, prompts: Questions) -> None:
    [token] = smollm2.tokenizer.encode(" tomorrow", add_special_tokens=False)
    direction = unembedding_of(smollm2)[:, token]
    tables = steer(smollm2, TASK, OPTIONS).tables
    for alpha in OPTIONS.alphas:
        push = Edit(resid_post(20), alpha * direction, how="add", positions=(-1,))
        runs = [slow_run(smollm2, prompt, (push,)) for prompt in prompts.tokens]
        probs = torch.stack(
            [run.logits.softmax(-1)[token] for run, token in zip(runs, answer_ids(prompts), strict=True)]
        )
        assert_near(grid(tables["steering"].filter(alpha=alpha), "answer_prob", "prompt"), probs)
        rows = tables["steering_attention"].filter(alpha=alpha, layer=23, head=3)
        subjects = prompts.marks["subject"]
        weights = torch.stack([run.attention[23, 3, -1, at] for run, at in zip(runs, subjects, strict=True)])
        assert_near(grid(rows, "weight", "prompt"), weights)
