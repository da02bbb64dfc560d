"""Pair tasks on a real model with grouped heads: a few heads, layers and prompts beside plain hooks."""

from itertools import product

import polars as pl
import pytest
import torch

import vitro
from slow import slow_head_out, slow_run, unembedding_of
from slow_metrics import assert_rows
from slow_task import Slow
from vitro import Options
from vitro.circuits import Circuit
from vitro.circuits.nodes import Node, head, mlp
from vitro.engine import Edit, Variant, direct_attribution, mlp_out, pin, resid_mid, resid_post, z
from vitro.experiments import Setup
from vitro.experiments.ablation import ablation_table
from vitro.experiments.lens import logit_lens
from vitro.models import Model
from vitro.tasks import Pair, Pairs

TASK = Pairs(
    "meeting",
    (
        Pair(
            "When Mary and John met, John spoke to",
            (" Mary", " her"),
            (" John",),
            "When Mary and John met, Anna spoke to",
            marks={"IO": (5, 9), "S": (24, 28)},
        ),
        Pair(
            "Then Anna and Paul met. Anna gave a book to",
            (" Paul",),
            (" Anna", " her"),
            "Then Anna and Paul met. Mary gave a book to",
            marks={"IO": (14, 18), "S": (24, 28)},
        ),
    ),
)
HEADS = ((15, 4), (23, 3))
OPTIONS = Options(heads=HEADS, steer_layer=20, alphas=(-1.0, 5.0), unembed_direction="raw", steer_positions="all")


@pytest.fixture(scope="module")
def here(smollm2: Model) -> Slow:
    questions = TASK.questions(smollm2.tokenizer, smollm2.shape.n_ctx)
    assert len(set(questions.lengths)) == 2
    return Slow(smollm2, questions)


def test_the_clean_run(here: Slow) -> None:
    table = vitro.clean_run(here.model, TASK).table
    assert_rows(table, ["prompt"], {(row,): here.answered(row, here.clean(row)) for row in here.rows})


def test_heads_and_mlps_at_zero_and_at_their_counterfactual(here: Slow) -> None:
    setup = Setup(here.model, TASK)
    parts: list[Node] = [*(head(*at) for at in HEADS), mlp(20)]
    sites = {str(part): z(part.layer, part.head) if part.head >= 0 else mlp_out(part.layer) for part in parts}
    variants: dict[tuple[str | int, ...], Variant] = {
        (kind, name): setup.ablate(site, kind) for kind in setup.ablations for name, site in sites.items()
    }
    table = ablation_table(setup, variants, ("method", "part"), "parts ablated")
    expected = {
        (row, kind, str(part)): here.changes(row, here.ablated(part, kind, row))
        for row, kind, part in product(here.rows, ("zero", "counterfactual"), parts)
    }
    assert_rows(table, ["prompt", "method", "part"], expected)
    assert table["logit_diff_change"].abs().max() > 0.1  # type: ignore[operator]


def test_the_lens_on_heads_and_layers(here: Slow) -> None:
    setup, prompt = Setup(here.model, TASK), torch.arange(len(here.questions))
    for layer, number in HEADS:
        lens = logit_lens(setup, setup.head_out(layer)[:, number], prompt).answer_columns()
        outs = [slow_head_out(here.model, seen, layer, number) for seen in here.seen]
        heads = {(row,): here.lens(row, out) for row, out in enumerate(outs)}
        assert_rows(pl.DataFrame({"prompt": here.rows, **lens}), ["prompt"], heads)
    layers = {
        (row, layer, stage): here.lens(row, getattr(here.seen[row], f"resid_{stage}")[layer, -1])
        for row, layer, stage in product(here.rows, (0, 14, 29), ("pre", "mid", "post"))
    }
    table = vitro.layer_lens(here.model, TASK).table.filter(pl.col("layer").is_in([0, 14, 29]))
    assert_rows(table, ["prompt", "layer", "stage"], layers)


def test_attention_and_pins_to_marks(here: Slow) -> None:
    weights = vitro.attention(here.model, TASK, OPTIONS).table.filter(layer=23)
    looks = {
        (row, number, position): {"weight": float(weight)}
        for row in here.rows
        for number in range(here.model.shape.n_heads)
        for position, weight in enumerate(here.seen[row].attention[23, number, -1])
    }
    assert_rows(weights, ["prompt", "head", "position"], looks)
    pinned = {}
    for row, (mark, places) in product(here.rows, here.questions.marks.items()):
        logits = here.run(row, *(pin(layer, number, places[row]) for layer, number in HEADS))
        pinned[row, mark] = here.levels(row, logits)
    table = vitro.pin_heads(here.model, TASK, OPTIONS).table.filter(heads="a15.h4+a23.h3").drop_nulls("mark")
    assert_rows(table, ["prompt", "mark"], pinned)


def test_steering_by_right_minus_wrong(here: Slow) -> None:
    columns, expected = unembedding_of(here.model), {}
    for row, alpha in product(here.rows, OPTIONS.alphas):
        right, wrong = (
            columns[:, list(tokens[row])].mean(1) for tokens in (here.questions.right, here.questions.wrong)
        )
        push = Edit(resid_post(20), alpha * (right - wrong), how="add")
        run = slow_run(here.model, here.questions.tokens[row], (push,))
        expected[row, alpha] = here.levels(row, run.logits)
    assert_rows(vitro.steer(here.model, TASK, OPTIONS).table, ["prompt", "alpha"], expected)


def test_circuits(here: Slow) -> None:
    text = "input -> m0; input, m0 -> a15.h4, a23.h3[IO]; a15.h4, a23.h3 -> m25; a23.h3, m25 -> logits"
    below = [at for at in here.heads if at[0] < 20]
    circuits = {"free": Circuit.wire(text), "kept": Circuit.within(here.model, below, "counterfactual")}
    expected = {}
    for row, run in enumerate(here.circuits(circuits["free"])):
        expected["free", row] = here.answered(row, run.logits())
        others = [here.ablated(head(*at), "counterfactual", row) for at in here.heads if at[0] >= 20]
        expected["kept", row] = here.answered(row, here.run(row, *others))
    assert_rows(vitro.in_vitro(here.model, TASK, circuits).table, ["circuit", "prompt"], expected)


def test_the_stream_patched_at_a_mark(here: Slow) -> None:
    at, expected = here.questions.marks["S"], {}
    for row, layer in product(here.rows, (3, 16)):
        value = here.partners[row].resid_mid[layer].float()
        expected[row, layer] = here.changes(row, Edit(resid_mid(layer), value, positions=(at[row],)))
    table = vitro.patch(here.model, TASK, ["resid_mid"], ["S"]).table.filter(pl.col("layer").is_in([3, 16]))
    assert_rows(table, ["prompt", "layer"], expected)


def test_direct_attribution_sums_to_the_logit_difference(here: Slow) -> None:
    questions = here.questions
    shares = direct_attribution(here.model, questions.tokens, questions.right, questions.wrong)
    for row in here.rows:
        expected = here.levels(row, here.clean(row))["logit_diff"]
        assert float(shares.values[:, row].sum()) == pytest.approx(expected, abs=1e-4)
