"""Every measurement on pair tasks equals plain transformers under hooks: each prompt by itself, each edit by itself."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

import vitro
from circuits.slow_edges import slow_cut, slow_gradient, written
from pair_tasks import EQUAL, FAMILIES, UNEQUAL, pair_model
from slow import assert_near, final_norm_of, slow_head_out, slow_read_out, slow_run, unembedding_of
from slow_metrics import assert_rows, slow_changes
from slow_task import Slow
from vitro import Options
from vitro.circuits import Circuit, Edge, Graph, node
from vitro.circuits.nodes import Node, head, mlp
from vitro.engine import (
    PATCHES,
    Edit,
    Patch,
    SiteError,
    attn_out,
    mlp_out,
    pattern,
    pin,
    resid_mid,
    resid_post,
    resid_pre,
    z,
)
from vitro.errors import VitroError
from vitro.experiments import Setup
from vitro.experiments.direct_attribution import DIRECT_ATTRIBUTION
from vitro.models import Model
from vitro.options import ScoreName
from vitro.tasks import Pair, Pairs

CIRCUITS = {
    "free": Circuit.wire("input -> m0; input, m0 -> a1.h0, a2.h1[IO]; a1.h0, b1 -> m1; a1.h0, a2.h1, m1 -> logits"),
    "within": Circuit.wire("counterfactual: a0.h0-3, m1; resid_post1 -> a2.h1; a2.h1, m1 -> logits"),
    "zero": Circuit.wire("zero: a0.h1, a1.h0-2, m0; resid_post2 -> logits"),
}


@cache
def slow(family: str) -> Slow:
    """The same for every test that asks, since nothing changes a model."""
    model = pair_model(family)
    return Slow(model, UNEQUAL.questions(model.tokenizer, model.shape.n_ctx))


@pytest.fixture(params=FAMILIES)
def here(request: pytest.FixtureRequest) -> Slow:
    return slow(request.param)


def moved(table: pl.DataFrame, column: str) -> float:
    """The largest number of a column: nothing is shown by a test in which nothing moves."""
    return float(table[column].abs().max())  # type: ignore[arg-type]


def test_the_clean_run(here: Slow) -> None:
    table = vitro.clean_run(here.model, UNEQUAL).table
    assert_rows(table, ["prompt"], {(row,): here.answered(row, here.clean(row)) for row in here.rows})
    assert table["answer"].to_list() == list(here.questions.answers)


def test_every_head_at_zero_and_at_its_counterfactual(here: Slow) -> None:
    table = vitro.ablate_heads(here.model, UNEQUAL).table
    expected = {
        (row, kind, *at): here.changes(row, here.ablated(head(*at), kind, row))
        for row, kind, at in product(here.rows, ("zero", "counterfactual"), here.heads)
    }
    assert_rows(table, ["prompt", "method", "layer", "head"], expected)
    by_partner = table.filter(method="counterfactual")
    assert moved(by_partner.filter(prompt=3), "kl") == 0.0, "a prompt that is its own counterfactual"
    assert all(moved(by_partner.filter(prompt=row), "logit_diff_change") > 0.05 for row in (0, 1, 2, 4))


def test_a_head_at_zero_with_its_value_bias() -> None:
    here = slow("gpt2")
    table = vitro.ablate_heads(here.model, UNEQUAL, Options(ablations=("zero",), value_bias="included")).table
    nothing = torch.zeros(here.model.shape.d_head)
    expected = {(row, *at): here.changes(row, Edit(z(*at), nothing)) for row, at in product(here.rows, here.heads)}
    assert_rows(table, ["prompt", "layer", "head"], expected)


def test_every_mlp_at_zero_and_at_its_counterfactual(here: Slow) -> None:
    table = vitro.ablate_mlps(here.model, UNEQUAL).table
    expected = {
        (row, kind, layer): here.changes(row, here.ablated(mlp(layer), kind, row))
        for row, kind, layer in product(here.rows, ("zero", "counterfactual"), here.layers)
    }
    assert_rows(table, ["prompt", "method", "layer"], expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_of_the_counterfactuals_and_another_prompt_where_prompts_are_of_one_length(family: str) -> None:
    model = pair_model(family)
    here = Slow(model, EQUAL.questions(model.tokenizer, model.shape.n_ctx))
    options = Options(ablations=("mean", "resample"), seed=1)
    setup = Setup(here.model, EQUAL, options)
    # A cycle is drawn: which prompt stands for which is read off the embedding, and each stands for another once.
    embeds = [seen.resid_pre[0].float() for seen in here.seen]
    others = [
        next(other for other in here.rows if torch.allclose(embeds[other], setup.constants("resample").embed[row]))
        for row in here.rows
    ]
    assert sorted(others) == list(here.rows)
    assert all(other != row for row, other in enumerate(others))

    def outputs(kind: str, row: int) -> tuple[Tensor, Tensor]:
        """Every head's z and every MLP's output."""
        if kind == "resample":
            return here.seen[others[row]].z, here.seen[others[row]].mlp_out
        z_mean = torch.stack([seen.z for seen in here.partners]).mean(0)
        return z_mean, torch.stack([seen.mlp_out for seen in here.partners]).mean(0)

    heads, mlps = {}, {}
    for kind, row in product(("mean", "resample"), here.rows):
        z_there, mlp_there = outputs(kind, row)
        for layer, number in here.heads:
            value = z_there[layer, :, number].float()
            heads[row, kind, layer, number] = here.changes(row, Edit(z(layer, number), value))
        for layer in here.layers:
            mlps[row, kind, layer] = here.changes(row, Edit(mlp_out(layer), mlp_there[layer].float()))
    table = vitro.ablate_heads(here.model, EQUAL, options).table
    assert_rows(table, ["prompt", "method", "layer", "head"], heads)
    assert_rows(vitro.ablate_mlps(here.model, EQUAL, options).table, ["prompt", "method", "layer"], mlps)
    assert moved(table, "logit_diff_change") > 0.05


@pytest.mark.parametrize("value_bias", ["excluded", "included"])
def test_the_lens_on_heads(here: Slow, value_bias: str) -> None:
    table = vitro.head_lens(here.model, UNEQUAL, Options(value_bias=value_bias)).table  # type: ignore[arg-type]
    expected = {
        (row, layer, head): {
            **here.lens(row, slow_head_out(here.model, here.seen[row], layer, head, value_bias)),  # type: ignore[arg-type]
            "subject_rank_among_words": None,
        }
        for layer, head in here.heads
        for row in here.rows
    }
    assert_rows(table, ["prompt", "layer", "head"], expected)


def test_the_lens_on_layers_and_mlps_on_the_spot(here: Slow) -> None:
    table = vitro.layer_lens(here.model, UNEQUAL).table
    expected = {
        (row, layer, stage): here.lens(row, getattr(here.seen[row], f"resid_{stage}")[layer, -1])
        for row, layer, stage in product(here.rows, here.layers, ("pre", "mid", "post"))
    }
    assert_rows(table, ["prompt", "layer", "stage"], expected)
    on_the_spot = {
        (row, layer): {
            "answer_prob_before": expected[row, layer, "mid"]["answer_prob"],
            "answer_prob_after": expected[row, layer, "post"]["answer_prob"],
        }
        for row, layer in product(here.rows, here.layers)
    }
    assert_rows(vitro.mlp_local(here.model, UNEQUAL).table, ["prompt", "layer"], on_the_spot)


def test_the_tokens_of_every_stream_and_of_heads_and_layers(here: Slow) -> None:
    def check(table: pl.DataFrame, keys: Sequence[str], vectors: Mapping[Any, Tensor]) -> None:
        """Each token has the probability that is due at its rank: so two that are level may change places."""
        ids = {here.model.tokenizer.decode([token]): token for token in range(here.model.shape.d_vocab)}
        parts = table.partition_by(keys, as_dict=True)
        assert parts.keys() == vectors.keys()
        for where, part in parts.items():
            probs = slow_read_out(here.model, vectors[where]).softmax(-1)
            tokens = [ids[token] for token in part.sort("rank")["token"]]
            assert len(set(tokens)) == 10
            torch.testing.assert_close(probs[tokens], probs.topk(10).values, atol=1e-4, rtol=0)

    streams = vitro.stream_tokens(here.model, UNEQUAL).table
    check(
        streams,
        ["prompt", "layer", "position"],
        {
            (row, layer, position): here.seen[row].resid_pre[layer, position]
            for row in here.rows
            for layer, position in product(here.layers, range(here.questions.lengths[row]))
        },
    )
    layers = vitro.layer_lens(here.model, UNEQUAL).tables["layer_lens_top"].filter(stage="post")
    check(
        layers,
        ["prompt", "layer"],
        {(row, layer): here.seen[row].resid_post[layer, -1] for row, layer in product(here.rows, here.layers)},
    )
    heads = vitro.head_lens(here.model, UNEQUAL).tables["head_lens_top"].filter(layer=1)
    n_heads = range(here.model.shape.n_heads)
    outs = {
        (row, head): slow_head_out(here.model, here.seen[row], 1, head) for row, head in product(here.rows, n_heads)
    }
    check(heads, ["prompt", "head"], outs)


def test_attention_from_the_final_stream_and_whole_patterns(here: Slow) -> None:
    tables = vitro.attention(here.model, UNEQUAL, Options(heads=((2, 1), (0, 3)))).tables
    final = {
        (row, layer, head, position): {"weight": float(weight)}
        for row in here.rows
        for layer, head in here.heads
        for position, weight in enumerate(here.seen[row].attention[layer, head, -1])
    }
    assert_rows(tables["attention"], ["prompt", "layer", "head", "position"], final)
    whole = {
        (row, layer, head, query, key): {"weight": float(here.seen[row].attention[layer, head, query, key])}
        for row in here.rows
        for layer, head in ((2, 1), (0, 3))
        for query in range(here.questions.lengths[row])
        for key in range(query + 1)
    }
    assert_rows(tables["attention_pattern"], ["prompt", "layer", "head", "query", "key"], whole)


def test_heads_pinned_to_each_prompts_own_marks(here: Slow) -> None:
    table = vitro.pin_heads(here.model, UNEQUAL, Options(heads=((2, 1), (1, 0)))).table
    groups = {"a2.h1": [(2, 1)], "a1.h0": [(1, 0)], "a2.h1+a1.h0": [(2, 1), (1, 0)]}
    expected: dict[Any, dict[str, object]] = {}
    for (name, heads), row in product(groups.items(), here.rows):
        expected[row, name, None] = {**here.levels(row, here.clean(row)), "position": None}
        for mark, places in here.questions.marks.items():
            logits = here.run(row, *(pin(layer, head, places[row]) for layer, head in heads))
            expected[row, name, mark] = {**here.levels(row, logits), "position": places[row]}
    assert_rows(table, ["prompt", "heads", "mark"], expected)
    assert moved(table, "kl") > 0.01


def test_marks_that_meet_are_one_place_where_they_meet_in_all_prompts() -> None:
    rows = tuple(
        replace(row, marks={"S": place, "S+1": place + 1, "T": 2, "end": 3})
        for row, place in zip(EQUAL.rows, (2, 1, 2), strict=True)
    )
    model = slow("gpt2").model
    pinned = vitro.pin_heads(model, Pairs("meeting", rows), Options(heads=((2, 1),)))
    # "end" is "final" in all prompts; "T" is "S" in two of three, and a place of its own.
    assert set(pinned.table["mark"]) == {None, "S", "S+1", "end", "T"}
    assert pinned.experiment.numbers(pinned.tables).columns == ["heads", "clean", "S", "S+1", "T", "end"]
    assert pinned.figures
    patched = vitro.patch(model, Pairs("meeting", rows), ["resid_pre"])
    assert set(patched.table["mark"]) == {"S", "S+1", "end", "T"}


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("mean", UNEQUAL.rows, "and the prompts have 4 to 11 tokens; what works: zero, counterfactual"),
        ("random", EQUAL.rows, "a mean over sentences, of which the task has none; what works: zero, mean, resample"),
        (
            "counterfactual",
            [replace(row, corrupt=None) for row in UNEQUAL.rows],
            "no counterfactuals; what works: zero",
        ),
        ("mean", [replace(EQUAL.rows[0], corrupt=None)], "a mean over sentences, of which the task has none"),
    ],
)
def test_a_circuit_that_names_an_ablation_its_task_cannot_have_is_refused(
    kind: str, rows: Sequence[Pair], reason: str
) -> None:
    circuit = Circuit.wire(f"{kind}: a0.h0; input, a0.h0 -> logits")
    with pytest.raises(VitroError, match=f"{kind} ablation cannot be had of rows: .*{reason}"):
        vitro.in_vitro(slow("gpt2").model, Pairs("rows", tuple(rows)), {"circuit": circuit})


@pytest.mark.parametrize(
    ("sites", "positions", "says"),
    [
        ([], None, "sites are []; what works: a list of resid_pre, resid_mid"),
        ("z", None, "sites are 'z'; what works: a list of resid_pre, resid_mid"),
        (["z", "q"], None, "sites are ['z', 'q']; what works"),
        (["z"], "IO", "positions are 'IO'; what works: a list, such as ['IO']"),
        (["z"], [], "no position is named"),
        (["z"], ["S2"], "there is no mark 'S2' in this task; there are IO, S, final"),
        (["z"], [True], "a position is True; what works: whole numbers, and marks of the task"),
        (["z"], [9], "not every prompt has a position 9: the shortest has"),
    ],
)
def test_a_site_or_position_that_cannot_be_patched_is_told(sites: Any, positions: Any, says: str) -> None:
    with pytest.raises(VitroError, match=re.escape(says)):
        vitro.patch(slow("gpt2").model, UNEQUAL, sites, positions)


def slow_direction(here: Slow, row: int, kind: str) -> Tensor:
    """Right minus wrong: a mean of columns of W_U each, folded as TransformerLens folds them or raw."""
    columns = unembedding_of(here.model).double()
    norm = final_norm_of(here.model)
    if kind == "folded":
        columns = (columns - columns.mean(1, keepdim=True)) * norm.weight.double()[:, None]
        if isinstance(norm, torch.nn.LayerNorm):
            columns = columns - columns.mean(0, keepdim=True)
    right, wrong = here.questions.right[row], here.questions.wrong[row]
    return (columns[:, list(right)].mean(1) - columns[:, list(wrong)].mean(1)).float()


@pytest.mark.parametrize(("direction", "positions"), [("folded", "final"), ("raw", "all"), ("folded", "all")])
def test_steering_by_right_minus_wrong(here: Slow, direction: str, positions: str) -> None:
    options = Options(
        heads=((2, 1), (1, 0)),
        alphas=(-2.0, 0.0, 5.0),
        unembed_direction=direction,  # type: ignore[arg-type]
        steer_positions=positions,  # type: ignore[arg-type]
    )
    tables = vitro.steer(here.model, UNEQUAL, options).tables
    answers: dict[Any, dict[str, object]] = {}
    looks: dict[Any, dict[str, object]] = {}
    at = (-1,) if positions == "final" else None
    for row, alpha in product(here.rows, options.alphas):
        vector = alpha * slow_direction(here, row, direction)
        run = slow_run(here.model, here.questions.tokens[row], (Edit(resid_post(1), vector, "add", at),))
        answers[row, alpha] = {**here.levels(row, run.logits), "wrong_prob": here.wrong_prob(row, run.logits)}
        for layer, number in options.heads or ():
            weight = run.attention[layer, number, -1, here.questions.marks["IO"][row]]
            looks[row, alpha, layer, number] = {"weight": float(weight)}
    assert_rows(tables["steering"], ["prompt", "alpha"], answers)
    assert_rows(tables["steering_attention"], ["prompt", "alpha", "layer", "head"], looks)
    assert tables["steering_vector"].row(0, named=True) == {
        "token": "right - wrong",
        "layer": 1,
        "direction": direction,
        "positions": positions,
        "mark": "IO",
    }
    assert moved(tables["steering"], "kl") > 0.1


def test_the_keep_curve_at_counterfactuals(here: Slow) -> None:
    """In the order of what each head's ablation costs of the logit difference, on average."""
    heads = [head(*at) for at in here.heads]

    def cost(part: Node) -> float:
        changes = [here.changes(row, here.ablated(part, "counterfactual", row)) for row in here.rows]
        return sum(change["logit_diff_change"] or 0.0 for change in changes)

    order = sorted(heads, key=cost)
    table = vitro.keep_heads(here.model, UNEQUAL).table
    assert table["k"].unique().sort().to_list() == list(range(len(order) + 1))
    counts, expected = [0, 1, 2, 5, len(order) - 1, len(order)], {}
    for k, row in product(counts, here.rows):
        others = [here.ablated(part, "counterfactual", row) for part in order[k:]]
        expected[k, row] = here.levels(row, here.run(row, *others))
    assert_rows(table.filter(pl.col("k").is_in(counts)), ["k", "prompt"], expected)


def some_edges(model: Model) -> list[Edge]:
    """A few of each kind of source, reader and input."""
    last = model.shape.n_layers - 1
    names = [
        ("input", "a0.h1", "v"),
        ("input", "a2.h2", "k"),
        ("m0", "a1.h3", "q"),
        ("a0.h2", "a2.h1", "v"),
        ("a1.h0", "m2", None),
        ("m1", "m2", None),
        ("a1.h2", "logits", None),
        (f"m{last}", "logits", None),
    ]
    every = {edge for layer in range(model.shape.n_layers + 1) for edge in Graph.of(model).edges_into(layer)}
    chosen = [Edge(node(source), node(reader), name) for source, reader, name in names]  # type: ignore[arg-type]
    assert set(chosen) <= every
    return chosen


def edge_rows(table: pl.DataFrame, edges: Sequence[Edge]) -> pl.DataFrame:
    """The rows of some edges, each by its name."""
    name = pl.concat_str("source", pl.lit("->"), "target", pl.format("<{}>", "input"), ignore_nulls=True)
    return table.with_columns(name.alias("edge")).filter(pl.col("edge").is_in(list(map(str, edges))))


def test_edges_cut_to_their_counterfactual(here: Slow) -> None:
    edges = some_edges(here.model)
    table = edge_rows(vitro.ablate_edges(here.model, UNEQUAL).table, edges)
    expected = {}
    for edge, row in product(edges, here.rows):
        logits = slow_cut(here.model, here.questions.tokens[row], row, edge, here.counterfactual, since=0)
        expected[row, str(edge)] = slow_changes(here.questions, row, logits, here.clean(row))
    assert_rows(table, ["prompt", "edge"], expected)
    assert moved(table, "logit_diff_change") > 0.05


@pytest.mark.parametrize(("name", "weights"), [("eap", [1.0]), ("eap-ig", [0.0, 0.2, 0.4, 0.6, 0.8])])
def test_scores_of_edges_are_plain_gradients_of_the_differences(
    here: Slow, name: ScoreName, weights: list[float]
) -> None:
    edges = some_edges(here.model)
    # One whose wrong tokens are many, one whose right ones are.
    rows = (1, 2)
    table = edge_rows(vitro.score_edges(here.model, UNEQUAL, name).table, edges).filter(pl.col("prompt").is_in(rows))
    embedding = here.model.hf.get_input_embeddings()
    expected: dict[Any, dict[str, object]] = {}
    for edge, row in product(edges, rows):
        tokens, right, wrong = here.questions.tokens[row], here.questions.right[row], here.questions.wrong[row]
        assert here.questions.partner is not None
        change = written(here.model, here.seen[row], edge, here.counterfactual, row)

        def logit_diff(logits: Tensor, right: Sequence[int] = right, wrong: Sequence[int] = wrong) -> Tensor:
            return logits[list(right)].mean() - logits[list(wrong)].mean()

        row_clean, other = (embedding(torch.tensor([ids])) for ids in (tokens, here.questions.partner[row]))
        changes = 0.0
        for weight in weights:
            inputs = (weight * row_clean + (1 - weight) * other).requires_grad_()
            changes += float((change * slow_gradient(here.model, edge, inputs, logit_diff)).sum())
        expected[row, str(edge)] = {"score": -changes / len(weights)}
    assert_rows(table, ["prompt", "edge"], expected)


def test_circuits_given_by_their_text(here: Slow) -> None:
    tables = vitro.in_vitro(here.model, UNEQUAL, CIRCUITS).tables
    expected = {
        (name, row): here.answered(row, run.logits())
        for name, circuit in CIRCUITS.items()
        for row, run in enumerate(here.circuits(circuit))
    }
    assert_rows(tables["circuits"], ["circuit", "prompt"], expected)
    looks = {}
    for row, run in enumerate(here.circuits(CIRCUITS["free"])):
        run.logits()
        for part, weights in run.patterns.items():
            for position, weight in enumerate(weights):
                looks[row, part.layer, part.head, position] = {"weight": float(weight)}
    own = tables["circuit_attention"].filter(circuit="free")
    assert_rows(own, ["prompt", "layer", "head", "position"], looks)
    assert len(tables["circuit_answer_table"]) == 0


def test_a_circuit_given_by_its_text_is_judged(here: Slow) -> None:
    circuit = CIRCUITS["free"]
    tables = vitro.judge(here.model, UNEQUAL, circuit).tables
    whole = {row: here.levels(row, run.logits()) for row, run in enumerate(here.circuits(circuit))}
    faithful = {(row,): {**whole[row], **here.as_model(row, here.clean(row))} for row in here.rows}
    assert_rows(tables["faithfulness"], ["prompt"], faithful)

    parts = circuit.components(here.model.shape.n_heads)
    left: dict[Any, dict[str, float | None]] = {(None, row): whole[row] for row in here.rows}
    for part in parts:
        runs = here.circuits(circuit.without(part))
        left |= {(str(part), row): here.levels(row, run.logits()) for row, run in enumerate(runs)}
    assert_rows(tables["minimality"], ["left_out", "prompt"], left)

    knocked = tables["completeness"].select("knocked_out", "prompt", pl.selectors.starts_with("model_"))
    expected = {}
    for named, row in product(knocked["knocked_out"].unique(), here.rows):
        out = here.run(row, *(here.ablated(node(part), "counterfactual", row) for part in named.split("+")))
        expected[named, row] = here.as_model(row, out)
    assert_rows(knocked, ["knocked_out", "prompt"], expected)

    itself = tables["random_circuits"].filter(number=0)
    assert_rows(itself, ["prompt"], {(row,): whole[row] for row in here.rows})


def test_direct_attribution_sums_to_the_logit_difference(here: Slow) -> None:
    table = Setup(here.model, UNEQUAL).tables(DIRECT_ATTRIBUTION)["direct_attribution"]
    sums = table.group_by("prompt").agg(pl.col("share").sum())
    expected = {(row,): {"share": here.levels(row, here.clean(row))["logit_diff"]} for row in here.rows}
    assert_rows(sums, ["prompt"], expected)


def test_named_activations_are_what_hooks_see(here: Slow) -> None:
    named = vitro.activations(here.model, UNEQUAL, ["resid_pre", "mlp_out", "z", "pattern"])
    for row, layer in product(here.rows, here.layers):
        seen = here.seen[row]
        for name, value in (
            ("hook_resid_pre", seen.resid_pre[layer]),
            ("hook_mlp_out", seen.mlp_out[layer]),
            ("attn.hook_z", seen.z[layer]),
            ("attn.hook_pattern", seen.attention[layer]),
        ):
            assert_near(named.of(f"blocks.{layer}.{name}", row), value)


def patched(here: Slow, site: Patch, layer: int, row: int) -> dict[int | None, Edit]:
    """What sets a layer's activation to the partner's, everywhere; by heads where it is theirs."""
    other = here.partners[row]
    # Plain passes take their time: two heads of each layer.
    heads = (layer, (layer + 2) % here.model.shape.n_heads)
    match site:
        case "z":
            return {number: Edit(z(layer, number), other.z[layer, :, number].float()) for number in heads}
        case "pattern":
            return {number: Edit(pattern(layer, number), other.attention[layer, number].float()) for number in heads}
        case "attn_out":
            return {None: Edit(attn_out(layer), (other.resid_mid - other.resid_pre)[layer].float())}
        case _:
            places = {"resid_pre": resid_pre, "resid_mid": resid_mid, "resid_post": resid_post, "mlp_out": mlp_out}
            return {None: Edit(places[site](layer), getattr(other, site)[layer].float())}


@pytest.mark.parametrize("site", PATCHES)
def test_every_site_patched_from_the_partner(here: Slow, site: Patch) -> None:
    if site == "resid_mid" and here.model.parallel:
        with pytest.raises(SiteError, match="a parallel block has no stream between"):
            vitro.patch(here.model, UNEQUAL, [site])
        return
    # Marks where nothing else is said: here a mark, and positions from either end.
    marks, lengths = here.questions.marks, here.questions.lengths
    own: dict[str | None, tuple[int, ...]] = {"IO": marks["IO"], None: tuple(length - 2 for length in lengths)}
    places = marks if site == "resid_pre" else own
    positions: list[int | str] | None = None if site == "resid_pre" else ["IO", -2]
    table = vitro.patch(here.model, UNEQUAL, [site], positions).table
    expected = {
        (row, layer, number, mark): {
            **here.changes(row, replace(edit, positions=(at[row],))),
            "site": site,
            "position": at[row],
        }
        for layer, row in product(here.layers, here.rows)
        for number, edit in patched(here, site, layer, row).items()
        for mark, at in places.items()
    }
    n_heads = here.model.shape.n_heads
    chosen = ((pl.col("head") + n_heads - pl.col("layer")) % n_heads).is_in([0, 2])
    assert_rows(table.filter(chosen | pl.col("head").is_null()), ["prompt", "layer", "head", "mark"], expected)
    assert moved(table, "logit_diff_change") > 0.05


def test_a_sweep_of_some_of_the_prompts_is_of_the_first_of_each_kind_and_the_same_as_of_all() -> None:
    model = pair_model(FAMILIES[0])
    every = vitro.ablate_heads(model, UNEQUAL, Options(ablations=("zero",)))
    measurement = vitro.ablate_heads(model, UNEQUAL, Options(ablations=("zero",), sweep_prompts=3))
    groups = UNEQUAL.questions(model.tokenizer, model.shape.n_ctx).groups
    firsts = {kind: groups.index(kind) for kind in groups}
    swept = measurement.table["prompt"].unique().sort().to_list()
    assert len(swept) == 3
    assert set(firsts.values()) <= set(swept) or set(swept) <= set(firsts.values())
    expected = every.table.filter(pl.col("prompt").is_in(swept))
    keys = ["prompt", "layer", "head"]
    assert measurement.table.select(keys).rows() == expected.select(keys).rows()
    values = (measurement.table["logit_diff_change"] - expected["logit_diff_change"]).abs()
    assert float(values.max()) < 1e-5  # type: ignore[arg-type]
    assert measurement.tables["task"]["n_swept"].item() == 3


def test_a_sweep_of_some_of_the_prompts_has_the_ablations_and_means_of_all() -> None:
    model = pair_model(FAMILIES[0])
    single = vitro.ablate_heads(model, UNEQUAL, Options(sweep_prompts=1)).table
    assert single["method"].unique(maintain_order=True).to_list() == ["zero", "counterfactual"]
    every = vitro.ablate_heads(model, EQUAL, Options(ablations=("mean",))).table
    table = vitro.ablate_heads(model, EQUAL, Options(ablations=("mean",), sweep_prompts=2)).table
    expected = every.filter(pl.col("prompt").is_in(table["prompt"].unique().to_list()))
    assert len(table) == len(expected) == 2 * 12
    assert_near(table["logit_diff_change"].to_torch(), expected["logit_diff_change"].to_torch())
    with pytest.raises(vitro.VitroError, match="resample ablation cannot be had of equal: there is no other prompt"):
        vitro.ablate_heads(model, EQUAL, Options(ablations=("resample",), sweep_prompts=1))
