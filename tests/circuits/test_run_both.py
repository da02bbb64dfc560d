"""Circuits in vitro and within the model in one list: each gives what it gives alone, in its place."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.slow_within import SlowWithin
from circuits.wirings import PROMPTS, SENTENCES
from small_models import random_model
from vitro.circuits import (
    LOGITS,
    Circuit,
    CircuitError,
    Constants,
    Edge,
    Graph,
    counterfactual,
    node,
    run_circuits,
    stream,
)
from vitro.engine import Finals, ReadError, mean_activations, pattern
from vitro.models import Model

FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3"]
WIRED = "input -> m0; input, m0 -> a1.h1, a2.h3; a1.h1, a2.h3 -> logits"


@cache
def constants(name: str) -> dict[str, Constants]:
    model = random_model(name)
    return {
        "mean": Constants.of(mean_activations(model, SENTENCES)),
        "counterfactual": counterfactual(model, PROMPTS, PROMPTS[1:] + PROMPTS[:1]),
    }


def logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def run(model: Model, name: str, circuits: list[Circuit]) -> Tensor:
    return run_circuits(model, PROMPTS, circuits, logits, constants=constants(name))["logits"]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FAMILIES)
def test_circuits_of_both_kinds_in_one_list_give_what_each_gives_alone(name: str) -> None:
    model = random_model(name)
    graph, random = Graph.of(model), np.random.default_rng(0)
    drawn = [random.random(len(graph)) < share for share in (0.3, 0.6, 0.8)]
    circuits = [
        Circuit.of(graph, drawn[0], "mean"),
        Circuit.wire(WIRED),
        Circuit.of(graph, drawn[1], "counterfactual"),
        Circuit.within(model, ["1.1"], "mean"),
        Circuit.of(graph, drawn[2], "mean"),
    ]
    together = run(model, name, circuits)
    for number, circuit in enumerate(circuits):
        torch.testing.assert_close(together[number], run(model, name, [circuit])[0], atol=1e-4, rtol=1e-4)
        if circuit.absent is not None:
            absent = constants(name)[circuit.absent]
            slow = [
                SlowWithin(model, tokens, prompt, circuit.edges, absent).logits()
                for prompt, tokens in enumerate(PROMPTS)
            ]
            torch.testing.assert_close(together[number], torch.stack(slow).float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_nodes_left_out_of_the_whole_model_are_nodes_ablated_in_it(name: str) -> None:
    model = random_model(name)
    graph, part = Graph.of(model), [node("a0.h1"), node("m1"), node("a2.h3")]
    rest = Circuit.of(graph, graph.among([at for at in graph.nodes if at not in part]), "mean")
    ablated = Circuit(frozenset({Edge(stream(2), LOGITS)}), constants=frozenset((at, "mean") for at in part))
    first, second = run(model, name, [rest, ablated])
    torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)


def test_attention_within_the_model_is_not_watched() -> None:
    model, watch = random_model("gpt2"), [node("a1.h1")]
    site = pattern(1, 1)
    graph = Graph.of(model)
    circuits = [Circuit.of(graph, graph.among(graph.nodes), "mean"), Circuit.wire(WIRED)]
    values = run_circuits(
        model,
        PROMPTS,
        circuits,
        lambda finals: {"seen": finals.attention[site]},
        constants={"mean": constants("gpt2")["mean"]},
        watch=watch,
    )["seen"]
    assert values.shape == (2, len(PROMPTS), len(PROMPTS[0]))
    assert values[0].isnan().all()
    torch.testing.assert_close(values[1].sum(-1), torch.ones(len(PROMPTS)))


def test_what_absent_edges_carry_must_be_given() -> None:
    model, circuit = random_model("gpt2"), Circuit.wire("absent: mean; input -> logits")
    with pytest.raises(CircuitError, match="a circuit needs constants that are not given: mean"):
        run_circuits(model, PROMPTS, [circuit], logits)
    other = Circuit.wire("absent: mean; a0.h0 -> m0")
    with pytest.raises(CircuitError, match=r"there is no a0.h0->m0 in this model"):
        run_circuits(random_model("neox-parallel"), PROMPTS, [other], logits)


def test_what_is_read_must_have_one_shape_in_circuits_of_both_kinds() -> None:
    widths = iter((2, 3))

    def read(finals: Finals) -> dict[str, Tensor]:
        return {"some": finals.logits[..., : next(widths)]}

    circuits = [Circuit.wire("input -> logits"), Circuit.wire("absent: mean; input -> logits")]
    with pytest.raises(ReadError, match="'some' is of shape"):
        run_circuits(random_model("gpt2"), PROMPTS, circuits, read, constants={"mean": constants("gpt2")["mean"]})


def test_no_circuits_give_nothing() -> None:
    assert run_circuits(random_model("gpt2"), PROMPTS, [], logits) == {}
