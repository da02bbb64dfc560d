"""The day task by counterfactual ablation alone: the partner is another day, and all runs through the same code."""

from itertools import product
from typing import Any

import pytest

import vitro
from circuits.slow_edges import slow_cut
from slow_metrics import assert_rows, slow_changes
from slow_task import Slow
from small_models import random_model
from vitro.circuits import Edge, node
from vitro.circuits.nodes import head, mlp
from vitro.options import Options, read
from vitro.tasks import days

OPTIONS = read(Options, {"ablations": "counterfactual", "samples": "4"})


@pytest.fixture(params=["gpt2", "neox-parallel", "llama-gqa-2-biases-wide-heads"])
def here(request: pytest.FixtureRequest, day_words: Any) -> Slow:
    model = random_model(request.param)
    model.tokenizer = day_words
    return Slow(model, days().questions(day_words, model.shape.n_ctx))


def test_each_day_has_another_as_its_counterfactual_and_each_is_one_once(here: Slow) -> None:
    tokens, partners = here.questions.tokens, here.questions.partner
    assert partners is not None
    assert sorted(partners) == sorted(tokens)
    assert all(partner != prompt for partner, prompt in zip(partners, tokens, strict=True))


def test_heads_mlps_and_the_keep_curve(here: Slow) -> None:
    heads = {
        (row, "counterfactual", *at): here.changes(row, here.ablated(head(*at), "counterfactual", row))
        for row, at in product(here.rows, here.heads)
    }
    table = vitro.ablate_heads(here.model, days(), OPTIONS).table
    assert_rows(table, ["prompt", "method", "layer", "head"], heads)
    assert table["margin_change"].abs().max() > 0.05  # type: ignore[operator]

    mlps = {
        (row, "counterfactual", layer): here.changes(row, here.ablated(mlp(layer), "counterfactual", row))
        for row, layer in product(here.rows, here.layers)
    }
    assert_rows(vitro.ablate_mlps(here.model, days(), OPTIONS).table, ["prompt", "method", "layer"], mlps)

    kept = vitro.keep_heads(here.model, days(), OPTIONS).table.filter(k=0)
    none = {}
    for row in here.rows:
        edits = [here.ablated(head(*at), "counterfactual", row) for at in here.heads]
        none[row,] = here.levels(row, here.run(row, *edits))
    assert_rows(kept, ["prompt"], none)


def test_an_edge(here: Slow) -> None:
    edge = Edge(node("m0"), node("a2.h1"), "k")
    table = vitro.ablate_edges(here.model, days(), OPTIONS).table.filter(source="m0", target="a2.h1", input="k")
    expected = {}
    for row, tokens in enumerate(here.questions.tokens):
        logits = slow_cut(here.model, tokens, row, edge, here.counterfactual, since=0)
        expected[row, "counterfactual"] = slow_changes(here.questions, row, logits, here.clean(row))
    assert_rows(table, ["prompt", "method"], expected)
