"""The post's setups, each written out by hand in plain tensor code."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.test_run import constants_of, final_logits
from circuits.wirings import PROMPTS, SUBJECT
from small_models import random_model
from vitro.circuits import Cast, Circuit, Constant, Constants, Kind, recast, run_circuits, setups
from vitro.engine import mean_activations
from vitro.models import Model

CAST = Cast((1, 1), (2, 3), ((0, 0), (1, 2)), (0, 3), 0, 1)
OTHER_SENTENCES = [[1, 30 + number, 40 - number, 3, 7] for number in range(6)]


class Plain:
    """One prompt through GPT-2's weights, a component at a time, as one would write it in a notebook."""

    def __init__(self, model: Model, prompt: list[int], constants: dict[Constant, Constants]) -> None:
        self.body, self.prompt, self.constants = model.hf.transformer, prompt, constants
        self.unembedding = model.hf.get_output_embeddings().weight
        self.width, self.n_heads = model.shape.d_head, model.shape.n_heads

    def embedding(self) -> Tensor:
        resid: Tensor = self.body.wte.weight[self.prompt] + self.body.wpe.weight[: len(self.prompt)]
        return resid

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        out: Tensor = self.body.h[layer].mlp(self.body.h[layer].ln_2(x))
        return out

    def head(self, at: tuple[int, int], x: Tensor, pinned: bool = False) -> Tensor:
        """Its output without b_O and what it adds to every position alike."""
        layer, head = at
        block, columns = self.body.h[layer], slice(head * self.width, (head + 1) * self.width)
        fused = block.ln_1(x) @ block.attn.c_attn.weight
        bias = block.attn.c_attn.bias.split(self.width * self.n_heads)
        q, k, v = (part[:, columns] for part in fused.split(self.width * self.n_heads, dim=-1))
        scores = (q + bias[0][columns]) @ (k + bias[1][columns]).T / self.width**0.5
        pattern = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)
        if pinned:
            pattern[-1] = torch.eye(len(self.prompt))[SUBJECT]
        out: Tensor = (
            pattern @ (v + bias[2][columns]) - self.values_of_any(layer)[columns]
        ) @ block.attn.c_proj.weight[columns]
        return out

    def values_of_any(self, layer: int) -> Tensor:
        """The part of all heads' values that is the same for every stream: c_attn's of ln_1's bias."""
        values: Tensor = self.body.h[layer].attn.c_attn(self.body.h[layer].ln_1.bias[None])[
            0, -self.width * self.n_heads :
        ]
        return values

    def bias(self, layer: int) -> Tensor:
        """b_O, and what all heads add to every position alike."""
        attn = self.body.h[layer].attn
        out: Tensor = attn.c_proj.bias + self.values_of_any(layer) @ attn.c_proj.weight
        return out

    def ablated(self, at: tuple[int, int], how: Constant) -> Tensor:
        layer, head = at
        columns = slice(head * self.width, (head + 1) * self.width)
        z = self.constants[how].z[layer][0][:, head] - self.values_of_any(layer)[columns]
        out: Tensor = z @ self.body.h[layer].attn.c_proj.weight[columns]
        return out.expand(len(self.prompt), -1)

    def stream(self, last: int, how: Constant, live: tuple[tuple[int, int], ...] = ()) -> Tensor:
        resid = self.embedding()
        for layer in range(last + 1):
            heads = [(layer, head) for head in range(self.n_heads)]
            written = [self.head(at, resid) if at in live else self.ablated(at, how) for at in heads]
            mid = resid + self.bias(layer) + torch.stack(written).sum(0)
            resid = mid + self.mlp(layer, mid)
        return resid

    def logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body.ln_f(x)[-1] @ self.unembedding.T
        return logits


def c1(m: Plain) -> Tensor:
    return m.stream(2, "mean", (*CAST.helpers, CAST.successor, CAST.copier))


def c2(m: Plain) -> Tensor:
    return m.stream(2, "random", (*CAST.helpers, CAST.successor, CAST.copier, CAST.early_copier))


def c3(m: Plain) -> Tensor:
    below = m.stream(0, "random")
    return m.head(CAST.successor, below) + m.head(CAST.copier, below)


def c4(m: Plain) -> Tensor:
    below = m.stream(0, "zero")
    return m.head(CAST.successor, below) + m.head(CAST.copier, below)


def c5(m: Plain) -> Tensor:
    below = m.stream(0, "zero")
    return m.head(CAST.successor, below, pinned=True) + m.head(CAST.copier, below, pinned=True)


def c6(m: Plain) -> Tensor:
    below = m.embedding() + m.mlp(0, m.embedding())
    return m.head(CAST.successor, below, pinned=True) + m.head(CAST.copier, below, pinned=True)


def c7(m: Plain) -> Tensor:
    return c6(m) + m.mlp(1, c6(m))


def c9(m: Plain) -> Tensor:
    return m.head(CAST.successor, m.embedding() + m.mlp(0, m.embedding()), pinned=True)


BY_HAND: dict[str, Callable[[Plain], Tensor]] = {
    "C1": c1,
    "C2": c2,
    "C3": c3,
    "C4": c4,
    "C5": c5,
    "C6": c6,
    "C7": c7,
    "C9": c9,
}


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model("gpt2")


@pytest.fixture(scope="module")
def constants(model: Model) -> dict[Constant, Constants]:
    return {**constants_of(model), "random": Constants.of(mean_activations(model, OTHER_SENTENCES))}


@pytest.mark.parametrize("name", BY_HAND)
def test_every_setup_is_what_its_words_say(name: str, model: Model, constants: dict[Constant, Constants]) -> None:
    circuit = setups(model, CAST)[name]
    logits = run_circuits(
        model, PROMPTS, [circuit], final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)}, constants=constants
    )["logits"][0]
    for prompt, fast in zip(PROMPTS, logits, strict=True):
        plain = Plain(model, prompt, constants)
        torch.testing.assert_close(fast, plain.logits(BY_HAND[name](plain)), atol=1e-4, rtol=0)


def test_the_output_bias_adds_what_the_layers_of_the_wired_heads_add(
    model: Model, constants: dict[Constant, Constants]
) -> None:
    circuit = setups(model, CAST, "included")["C7"]
    logits = run_circuits(
        model, PROMPTS, [circuit], final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)}, constants=constants
    )["logits"][0]
    for prompt, fast in zip(PROMPTS, logits, strict=True):
        plain = Plain(model, prompt, constants)
        heads = c6(plain) + plain.bias(1) + plain.bias(2)
        torch.testing.assert_close(fast, plain.logits(heads + plain.mlp(1, heads)), atol=1e-4, rtol=0)


def test_there_is_a_by_hand_version_of_every_setup(model: Model) -> None:
    assert set(setups(model, CAST)) == set(BY_HAND)


def test_heads_of_the_first_layer_read_the_input() -> None:
    cast = Cast((0, 1), (1, 3), (), (0, 0), 0, 1)
    assert str(setups(random_model("gpt2"), cast)["C4"]) == "input -> a0.h1, a1.h3\na0.h1, a1.h3 -> logits"


def test_a_head_and_an_mlp_that_play_two_parts_stand_once() -> None:
    wired = setups(random_model("gpt2"), Cast((0, 1), (0, 1), (), (0, 1), 0, 0))
    assert str(wired["C6"]) == "input -> m0\ninput, m0 -> a0.h1[subject]\na0.h1 -> logits"
    assert wired["C7"] == wired["C6"] == wired["C9"]


def live_below(circuit: Circuit, model: Model) -> tuple[int, int]:
    """How many heads and MLPs are live within the stream that a circuit reads."""
    top = max((node.layer for node in circuit.order if node.kind is Kind.stream), default=-1)
    fixed = [node.kind for node in circuit.constant_of if node.layer <= top]
    heads, mlps = ((top + 1) * n for n in (model.shape.n_heads, 1))
    return heads - fixed.count(Kind.head), mlps - fixed.count(Kind.mlp)


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C5", "C7", "C9"])
def test_a_random_circuit_has_as_many_live_components_as_the_one_it_stands_beside(name: str, model: Model) -> None:
    cast = Cast((1, 1), (1, 3), ((0, 0), (1, 2)), (0, 3), 0, 1)
    circuit, random = setups(model, cast)[name], np.random.default_rng(0)
    drawn = [recast(model, circuit, random) for _ in range(20)]
    for other in drawn:
        assert len(other.edges) == len(circuit.edges)
        assert (len(other.heads), len(other.mlps)) == (len(circuit.heads), len(circuit.mlps))
        assert len(other.constants) == len(circuit.constants)
        assert live_below(other, model) == live_below(circuit, model)
    assert len(set(drawn)) > 5
