"""The ladder to glass: planted wirings are what is left, every rung is what it says, and it stops where it must."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import planted
from circuits.slow_circuits import slow_logits
from circuits.slow_within import SlowWithin
from slow import slow_run
from small_models import random_model
from vitro.circuits import Circuit, CircuitError, Constant, Constants, node, resampled
from vitro.discovery import Case, Ladder, ladder
from vitro.engine import mean_activations
from vitro.metrics import METRICS
from vitro.models import Model, load
from vitro.models.load import family_of
from vitro.tables.schemas.find import SCHEMAS
from vitro.tasks import Questions, days

# They differ at position 2, as a task's prompts do.
PROMPTS = [[1, 2, 10 + number, 3, 4] for number in range(5)]
SENTENCES = [[1, 2, 20 + number, 3, 5] for number in range(8)]
MARKS = {"subject": 2, "final": 4}
LISTED = (30, 31, 32, 33)
FAMILIES = ["gpt2", "gpt2-odd", "llama-gqa-3", "neox-parallel"]

TOKEN, POSITION, OUTPUT, BALANCE, FREE = 0, 20, 30, 50, 52
"""The planted model's coordinates: each token, each position, each token as an output, what is -1 in every embedding,
and those of no use."""


def days_case(model: Model) -> Case:
    questions = days().questions(model.tokenizer, None)
    constants = Constants.of(mean_activations(model, questions.tokens))
    return Case(model, questions, METRICS["margin"], constants)


def whole(case: Case) -> Circuit:
    graph = case.graph
    return Circuit.of(graph, graph.among(graph.nodes), "mean")


def zero(model: Model, length: int) -> Constants:
    shape = model.shape
    bias = torch.stack([model.folded_value_bias(layer) for layer in range(shape.n_layers)])[:, None, None]
    places = model.pos_embed(torch.arange(length))
    embed = torch.zeros(1, 1, shape.d_model) if places is None else places[None]
    return Constants(embed, bias, torch.zeros(shape.n_layers, 1, 1, shape.d_model))


def changed(folder: Path, change: Callable[[Any, Model], None]) -> Model:
    """The planted model with other weights."""
    model = load(str(planted.plant(folder)))
    with torch.no_grad():
        change(model.hf, model)
    return family_of("gpt2").of(model.hf, model.tokenizer)


def words_of(model: Model) -> list[int]:
    assert model.tokenizer is not None
    return [model.tokenizer.encode(" " + day, add_special_tokens=False)[0] for day in days().words]


def columns(head: int) -> slice:
    return slice(head * planted.D_HEAD, (head + 1) * planted.D_HEAD)


def copy_then_increment(hf: Any, model: Model) -> None:
    """COPY writes which day it is; MLP 1 makes the next day of it; SUCCESSOR is no more."""
    words, body = words_of(model), hf.transformer
    body.h[1].attn.c_proj.weight[columns(1)] = 0.0
    copies = body.h[0].attn.c_proj.weight
    copies[columns(2)] = 0.0
    for number, word in enumerate(words):
        copies[2 * planted.D_HEAD + 1 + number, TOKEN + word] = 3.0
        body.h[1].mlp.c_fc.weight[TOKEN + word, number] = 3.0
        body.h[1].mlp.c_proj.weight[number, OUTPUT + words[(number + 1) % 7]] = 3.0


def asked_by_another_head(hf: Any, model: Model) -> None:
    """SUCCESSOR looks by what head 0.0 writes at the final position; not told, at the beginning, which says Tuesday."""
    first, second = hf.transformer.h[0].attn, hf.transformer.h[1].attn
    q, k, v = first.c_attn.weight.split(64, dim=1)
    for weight in (q, k, v):
        weight[:, columns(0)] = 0.0
    q[POSITION + planted.FINAL, 0] = k[POSITION + planted.FINAL, 0] = 2.0
    v[POSITION + planted.FINAL, 1] = 0.25
    first.c_proj.weight[columns(0)] = 0.0
    first.c_proj.weight[1, FREE] = 3.0
    asks = second.c_attn.weight[:, columns(1)]
    asks[POSITION + planted.FINAL, 0] = 0.0
    asks[FREE, 0] = 2.0
    second.c_attn.bias[planted.D_HEAD + 1] = 2.0
    _, k, v = second.c_attn.weight.split(64, dim=1)
    k[POSITION, planted.D_HEAD + 1] = 2.0
    v[POSITION, planted.D_HEAD + 1] = 0.25


def test_of_a_whole_model_the_planted_successor_head_is_left(planted_model: Model) -> None:
    case = days_case(planted_model)
    climbed = ladder(case, whole(case), {"zero": zero(planted_model, 8)})
    assert climbed.finished
    assert climbed.need == 7
    assert [rung.name for rung in climbed.rungs if rung.kept][-1] == "smallest wiring"
    assert str(climbed.rungs[-1].circuit) == "input -> a1.h1\na1.h1 -> logits"


def test_a_copying_head_and_the_mlp_that_increments_are_left(tmp_path: Path) -> None:
    case = days_case(changed(tmp_path, copy_then_increment))
    climbed = ladder(case, whole(case), {})
    assert climbed.need == 7
    assert str(climbed.rungs[-1].circuit) == "input -> a0.h2\na0.h2 -> m1\nm1 -> logits"


def test_a_head_that_another_tells_where_to_look_is_left_pinned(tmp_path: Path) -> None:
    case = days_case(changed(tmp_path, asked_by_another_head))
    climbed = ladder(case, whole(case), {})
    assert climbed.need == 7
    assert str(climbed.rungs[-1].circuit) == "input -> a1.h1<v>[subject]\na1.h1 -> logits"


def says_monday(hf: Any, model: Model) -> None:
    """Head 2.0 says Monday, whatever the day, and MLP 2's bias takes that back."""
    attn, (monday, *_) = hf.transformer.h[2].attn, words_of(model)
    q, k, v = attn.c_attn.weight.split(64, dim=1)
    for weight in (q, k, v):
        weight[:, columns(0)] = 0.0
    attn.c_proj.weight[columns(0)] = 0.0
    v[BALANCE, 1] = -2.0
    attn.c_proj.weight[1, OUTPUT + monday] = 10.0
    z = slow_run(model, days_case(model).questions.tokens[0]).z[2][-1, 0]
    hf.transformer.h[2].mlp.c_proj.bias[OUTPUT + monday] -= 10 * float(z[1])


def test_what_harms_out_of_the_model_is_left_out(tmp_path: Path) -> None:
    case = days_case(changed(tmp_path, says_monday))
    graph = case.graph
    nodes = [node(name) for name in ("input", "a1.h1", "a2.h0")]
    climbed = ladder(case, Circuit.of(graph, graph.among(nodes), "mean"), {})
    assert climbed.need == 7
    kept = {rung.name: rung.kept for rung in climbed.rungs}
    assert not kept["absent edges carry nothing"]
    assert kept["out of the model, what harms left out"]
    assert str(climbed.rungs[-1].circuit) == "input -> a1.h1\na1.h1 -> logits"


def questions_of(model: Model, right: int) -> Questions:
    """Which of a closed list comes next; right: the answer that is of this rank in the model itself."""
    ranked = [sorted(LISTED, key=lambda token: -float(slow_run(model, prompt).logits[token])) for prompt in PROMPTS]
    return Questions(
        tokens=tuple(map(tuple, PROMPTS)),
        labels=tuple("abcde"),
        right=tuple((tokens[right],) for tokens in ranked),
        wrong=tuple((tokens[right - 1],) for tokens in ranked),
        answers=("right",) * 5,
        others=("wrong",) * 5,
        marks={"subject": (MARKS["subject"],) * 5},
        among=LISTED,
        among_words=tuple(map(str, LISTED)),
    )


def case_of(model: Model, right: int = 0) -> Case:
    return Case(model, questions_of(model, right), METRICS["margin"], Constants.of(mean_activations(model, SENTENCES)))


def others_of(model: Model) -> dict[Constant, Constants]:
    return {"resample": resampled(model, PROMPTS, seed=3), "zero": zero(model, 5)}


@cache
def climbed_of(family: str) -> tuple[Case, Ladder]:
    """The ladder of a random model from a circuit of two thirds of its nodes, edges left out here and there."""
    model = random_model(family)
    case = case_of(model)
    graph, random = case.graph, np.random.default_rng(0)
    nodes = [source for source in graph.nodes if random.random() < 0.9]
    mask = graph.among(nodes) & (random.random(len(graph)) < 0.95)
    return case, ladder(case, Circuit.of(graph, mask, "mean"), others_of(model))


def slow_answers(case: Case, circuit: Circuit) -> tuple[Tensor, Tensor]:
    """The metric and the rank, prompt by prompt, from the slow references' logits."""
    constants = {**others_of(case.model), "mean": case.constants}
    if circuit.absent is None:
        # The slow reference knows pins at positions.
        at_positions = replace(circuit, pins=frozenset((head, MARKS[str(mark)]) for head, mark in circuit.pins))
        logits = slow_logits(case.model, PROMPTS, at_positions, MARKS["subject"], constants)
    else:
        absent = constants[circuit.absent]
        slow = [SlowWithin(case.model, PROMPTS[row], row, circuit.edges, absent) for row in range(len(PROMPTS))]
        logits = torch.stack([run.logits() for run in slow])
    listed = logits[:, list(LISTED)].double()
    right = torch.tensor([LISTED.index(token) for (token,) in case.questions.right])
    at_right = listed[range(len(right)), right]
    margin = at_right - (listed.sum(1) - at_right) / (len(LISTED) - 1)
    return margin, (listed >= at_right[:, None]).sum(1) - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_rung_answers_what_plain_modules_answer(family: str) -> None:
    case, climbed = climbed_of(family)
    assert len(climbed.rungs) > 5
    for rung in climbed.rungs:
        margin, ranks = slow_answers(case, rung.circuit)
        torch.testing.assert_close(torch.from_numpy(rung.answered.values), margin, atol=1e-4, rtol=0)
        assert rung.answered.ranks.tolist() == ranks.tolist()
        assert rung.kept == (int((ranks == 0).sum()) >= climbed.need)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_of_every_rung_is_read_back(family: str) -> None:
    _, climbed = climbed_of(family)
    assert [Circuit.wire(str(rung.circuit)) for rung in climbed.rungs] == [rung.circuit for rung in climbed.rungs]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_single_part_of_the_smallest_wiring_can_go(family: str) -> None:
    case, climbed = climbed_of(family)
    last = climbed.rungs[-1]
    assert (last.name, last.kept, climbed.finished) == ("smallest wiring", True, True)
    nodes = last.circuit.components(case.model.shape.n_heads)
    smaller = [*singly(last.circuit.without, [*nodes, *last.circuit.edges])]
    smaller += singly(lambda pin: replace(last.circuit, pins=last.circuit.pins - {pin}), last.circuit.pins)
    for circuit in smaller:
        _, ranks = slow_answers(case, circuit)
        assert int((ranks == 0).sum()) < climbed.need


def singly(without: Callable[[Any], Circuit], parts: Any) -> list[Circuit]:
    """The circuit without each of some parts, where there is one."""
    smaller = []
    for part in parts:
        try:
            smaller.append(without(part))
        except CircuitError:
            continue
    return smaller


def test_a_circuit_that_answers_nothing_has_no_ladder() -> None:
    model = random_model("gpt2")
    case = case_of(model, right=1)
    climbed = ladder(case, whole(case), others_of(model))
    (rung,) = climbed.rungs
    assert (climbed.need, climbed.model.right, rung.kept, climbed.finished) == (0, 0, False, True)


def test_a_circuit_in_vitro_is_refused() -> None:
    case = case_of(random_model("gpt2"))
    with pytest.raises(CircuitError, match="begins within the model"):
        ladder(case, Circuit.wire("input -> logits"), {})


@pytest.mark.parametrize("lists", range(0, 20, 3))
def test_stopped_between_lists_it_has_the_rungs_so_far(lists: int, planted_model: Model) -> None:
    case, left = days_case(planted_model), [lists]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    whole_ladder = ladder(case, whole(case), {})
    climbed = ladder(case, whole(case), {}, stop=stop)
    assert climbed.finished == (left[0] >= 0)
    for rung, same in zip(climbed.rungs, whole_ladder.rungs, strict=False):
        if rung.name == "smallest wiring so far":
            assert (rung is climbed.rungs[-1], rung.kept, climbed.finished) == (True, True, False)
        else:
            assert (rung.name, rung.circuit) == (same.name, same.circuit)


def test_the_tables_fit_their_schemas(planted_model: Model) -> None:
    case = days_case(planted_model)
    climbed = ladder(case, whole(case), {})
    tables = climbed.tables(planted_model.shape.n_heads, range(7))
    for schema in SCHEMAS:
        if schema.name in tables:
            schema.check(tables[schema.name])
    assert len(tables["ladder"]) == len(climbed.rungs)
    assert tables["ladder_answers"]["prompt"].to_list() == list(range(7)) * len(climbed.rungs)
    assert tables["ladder"]["circuit"][-1] == "input -> a1.h1\na1.h1 -> logits"
