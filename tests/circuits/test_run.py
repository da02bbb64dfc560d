"""Circuits give what plain tensor code gives, and the model itself where everything is kept."""

from typing import Literal

import pytest
import torch
from torch import Tensor

from circuits.slow_circuits import slow_logits
from circuits.wirings import PROMPTS, SENTENCES, SUBJECT, WIRINGS
from slow import slow_run
from small_models import MAKERS, random_model
from vitro.circuits import Circuit, CircuitError, Constant, Constants, Node, node, resampled, run_circuits
from vitro.engine import Budget, Edit, Finals, mean_activations, pattern, sweep, z
from vitro.models import Model


def final_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def constants_of(model: Model) -> dict[Constant, Constants]:
    shape = model.shape
    bias = torch.stack([model.folded_value_bias(layer) for layer in range(shape.n_layers)])[:, None, None]
    return {
        "zero": Constants(torch.zeros(1, 1, shape.d_model), bias, torch.zeros(shape.n_layers, 1, 1, shape.d_model)),
        "mean": Constants.of(mean_activations(model, SENTENCES)),
        "resample": resampled(model, PROMPTS, seed=3),
    }


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
@pytest.mark.parametrize("value_bias", ["excluded", "included"])
def test_any_wiring_gives_what_plain_tensor_code_gives(
    wiring: str, value_bias: Literal["excluded", "included"]
) -> None:
    model, circuit = random_model("gpt2"), Circuit.wire(wiring)
    constants = constants_of(model)
    included = value_bias == "included"
    fast = run_circuits(
        model,
        PROMPTS,
        [circuit],
        final_logits,
        marks={"subject": (SUBJECT,) * len(PROMPTS)},
        constants=constants,
        value_bias=value_bias,
    )["logits"][0]
    slow = slow_logits(model, PROMPTS, circuit, SUBJECT, constants, with_value_bias=included)
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)


def test_circuits_in_one_batch_do_not_touch_each_other() -> None:
    model = random_model("gpt2")
    circuits, constants = [Circuit.wire(wiring) for wiring in WIRINGS.values()], constants_of(model)
    together = run_circuits(
        model, PROMPTS, circuits * 2, final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)}, constants=constants
    )["logits"]
    for number, circuit in enumerate(circuits):
        alone = run_circuits(
            model, PROMPTS, [circuit], final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)}, constants=constants
        )["logits"]
        torch.testing.assert_close(together[number], alone[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together[number + len(circuits)], alone[0], atol=1e-5, rtol=0)


def test_a_small_memory_gives_the_same_logits() -> None:
    model = random_model("gpt2")
    circuits, constants = [Circuit.wire(wiring) for wiring in WIRINGS.values()], constants_of(model)
    least = Budget.of(model).need(5, 1)
    small = run_circuits(
        model,
        PROMPTS,
        circuits,
        final_logits,
        marks={"subject": (SUBJECT,) * len(PROMPTS)},
        constants=constants,
        memory=least,
    )
    large = run_circuits(
        model, PROMPTS, circuits, final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)}, constants=constants
    )
    torch.testing.assert_close(small["logits"], large["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("value_bias", ["excluded", "included"])
def test_with_everything_kept_a_circuit_is_the_model(family: str, value_bias: Literal["excluded", "included"]) -> None:
    model = random_model(family)
    every = [(layer, head) for layer in range(model.shape.n_layers) for head in range(model.shape.n_heads)]
    circuit = Circuit.within(model, every)
    fast = run_circuits(model, PROMPTS, [circuit], final_logits, value_bias=value_bias)["logits"][0]
    with torch.no_grad():
        whole = model.hf(torch.tensor(PROMPTS)).logits[:, -1]
    torch.testing.assert_close(fast, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa-3", "mistral-window", "neox-parallel"])
@pytest.mark.parametrize("others", ["zero", "mean"])
def test_with_one_head_at_a_constant_a_circuit_is_the_ablated_model(family: str, others: Constant) -> None:
    model = random_model(family)
    constants = constants_of(model)
    every = [(layer, head) for layer in range(model.shape.n_layers) for head in range(model.shape.n_heads)]
    for layer, head in [(0, 1), (1, 2), (2, 0)]:
        circuit = Circuit.within(model, [pair for pair in every if pair != (layer, head)], others)
        fast = run_circuits(model, PROMPTS, [circuit], final_logits, constants=constants)["logits"]
        value = constants[others].z[layer, 0, :, head]
        ablated = sweep(model, PROMPTS, [(Edit(z(layer, head), value),)], final_logits)["logits"]
        torch.testing.assert_close(fast, ablated, atol=1e-4, rtol=0)


def test_within_ablates_heads_of_some_layers_and_reads_out_where_it_is_told() -> None:
    model = random_model("gpt2")
    constants = constants_of(model)
    circuits = [
        Circuit.within(model, ["a0.h1", (1, 2)], "mean", heads_of=[0, 1]),
        Circuit.within(model, ["0.1", "m1"], "resample", mlps="ablated"),
        Circuit.within(model, ["1.2"], "zero", until=1),
    ]
    fast = run_circuits(model, PROMPTS, circuits, final_logits, constants=constants)["logits"]
    for logits, circuit in zip(fast, circuits, strict=True):
        torch.testing.assert_close(logits, slow_logits(model, PROMPTS, circuit, SUBJECT, constants), atol=1e-4, rtol=0)


def test_no_prompt_is_resampled_from_itself() -> None:
    model = random_model("gpt2")
    clean = [mean_activations(model, [prompt]).z for prompt in PROMPTS]
    other = resampled(model, PROMPTS, seed=0).z
    for number in range(len(PROMPTS)):
        assert not torch.allclose(other[:, number], clean[number], atol=1e-4)
        assert any(torch.allclose(other[:, number], row, atol=1e-4) for row in clean)


def test_watched_attention_is_the_heads_own_and_nan_where_there_is_none() -> None:
    model, watch = random_model("gpt2"), [node("a1.h1"), node("a2.h3")]
    circuits = [
        Circuit.wire("input -> a1.h1; a1.h1 -> logits"),
        Circuit.wire("input -> a2.h3[subject]; a2.h3 -> logits"),
    ]
    sites = [pattern(1, 1), pattern(2, 3)]
    attention = run_circuits(
        model,
        PROMPTS,
        circuits,
        lambda finals: {str(site): finals.attention[site] for site in sites},
        marks={"subject": (SUBJECT,) * len(PROMPTS)},
        watch=watch,
    )
    free, pinned = attention[str(sites[0])], attention[str(sites[1])]
    torch.testing.assert_close(free[0].sum(-1), torch.ones(len(PROMPTS)))
    assert bool((free[0] < 0.999).all())
    assert bool(free[1].isnan().all())
    assert bool(pinned[0].isnan().all())
    assert pinned[1].tolist() == [[0, 0, 1, 0, 0]] * len(PROMPTS)


def watched(
    model: Model, prompts: list[list[int]], circuits: list[Circuit], watch: list[Node], subject: int | None = SUBJECT
) -> dict[str, Tensor]:
    """Each watched head's attention from the final streams: [circuit, prompt, position]."""
    return run_circuits(
        model,
        prompts,
        circuits,
        lambda finals: {str(head): finals.attention[pattern(head.layer, head.head)] for head in watch},
        marks={} if subject is None else {"subject": (subject,) * len(prompts)},
        constants=constants_of(model),
        watch=watch,
    )


KEPT = {
    "the model with a few heads kept": "mean: a0.h0-2, a1.h0, a1.h2-3, a2.h0, a2.h2-3; resid_post2 -> logits",
    "kept heads below a wired one": "mean: a0.h0-2, a1.h0, a1.h2-3; resid_post1 -> a2.h1; a2.h1 -> logits",
    "a stream that is read at a pin alone": (
        "mean: a0.h0-2, a1.h0, a1.h2-3; resid_post1 -> a2.h1<v>[1]; a2.h1 -> logits"
    ),
}


@pytest.mark.parametrize("family", ["gpt2", "llama-gqa-3", "mistral-window", "neox-parallel"])
def test_heads_kept_within_a_stream_look_where_they_do_in_a_model_with_the_others_ablated_by_hooks(family: str) -> None:
    model, prompts = random_model(family), [*PROMPTS, [1, 2, 9]]
    circuits = [Circuit.wire(text) for text in KEPT.values()]
    means = constants_of(model)["mean"].z
    heads = [node("a0.h3"), node("a1.h1"), node("a2.h1")]
    attention = watched(model, prompts, circuits, heads)
    for number, circuit in enumerate(circuits):
        ablated = tuple(
            Edit(z(head.layer, head.head), means[head.layer, 0, :, head.head]) for head in circuit.constant_of
        )
        for place, prompt in enumerate(prompts):
            seen = slow_run(model, prompt, ablated).attention
            for head in heads:
                if head in circuit.pin_of:
                    continue
                weights = attention[str(head)][number, place]
                expected = seen[head.layer, head.head, -1].float()
                torch.testing.assert_close(weights[: len(prompt)], expected, atol=1e-5, rtol=0)
                assert not weights[len(prompt) :].any()


def test_a_head_at_a_constant_within_a_stream_looks_nowhere() -> None:
    model, head = random_model("gpt2"), node("a1.h1")
    circuits = [Circuit.within(model, [(1, 1)]), Circuit.within(model, [(1, 2)]), Circuit.within(model, [(1, 1)])]
    first, second, third = watched(model, PROMPTS, circuits, [head])[str(head)]
    assert bool(second.isnan().all())
    assert not bool(first.isnan().any())
    torch.testing.assert_close(first, third)


def test_a_watched_head_that_leads_nowhere_looks_as_one_that_is_read() -> None:
    model, head = random_model("gpt2"), node("a1.h1")
    circuits = [Circuit.wire(f"input -> m0; m0 -> a1.h1; {read} -> logits") for read in ("input", "a1.h1")]
    alone = watched(model, PROMPTS, circuits[:1], [head])[str(head)]
    read = watched(model, PROMPTS, circuits[1:], [head])[str(head)]
    torch.testing.assert_close(alone, read)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mean: a0.h0-2, a1.h0, a1.h2-3; resid_post1 -> a2.h1; a2.h1 -> logits", ["a0.h3", "a1.h1"]),
        # Layer 0 is the model's own; of layer 1 two heads were chosen.
        ("zero: a1.h0; random: a1.h2; mean: m0; resid_post2 -> logits", ["a1.h1", "a1.h3", "m1", "m2"]),
        ("random: a0.h0-3, a1.h0-3; resid_post1 -> a2.h1; a2.h1 -> logits", []),
        ("resid_post2 -> logits", []),
        # Constants above the stream are sources of their own.
        ("mean: a2.h0; resid_post1, a2.h0 -> logits", []),
        ("input -> a0.h1; a0.h1 -> logits", []),
    ],
)
def test_a_circuit_keeps_what_is_live_beside_its_like_at_a_constant(text: str, kept: list[str]) -> None:
    assert [str(node) for node in Circuit.wire(text).kept(n_heads=4)] == kept


def test_the_heads_that_within_is_told_to_keep_are_kept() -> None:
    keep = [(0, 1), (0, 3), (2, 2)]
    for heads_of in (None, [0, 2]):
        circuit = Circuit.within(random_model("gpt2"), keep, heads_of=heads_of)
        assert [(node.layer, node.head) for node in circuit.kept(4)] == keep
    below = Circuit.within(random_model("gpt2"), keep, until=1)
    assert [(node.layer, node.head) for node in below.kept(4)] == keep[:2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("input -> a7.h0; a7.h0 -> logits", "there is no a7.h0 in this model"),
        ("input -> a0.h0[9]; a0.h0 -> logits", "pinned to stream 9"),
        ("random: m0; m0 -> logits", "constants that are not given: random"),
        ("input -> a0.h0[subject]; a0.h0 -> logits", "pinned to .subject., which no mark is called"),
        ("input -> a0.h0<v>[1]; a0.h0 -> a1.h0; a1.h0 -> logits", "read by q and k"),
    ],
)
def test_a_circuit_that_does_not_fit_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(CircuitError, match=words):
        run_circuits(random_model("gpt2"), PROMPTS, [Circuit.wire(text)], final_logits)


def test_pins_of_their_own_in_one_layer_and_one_circuit() -> None:
    """Heads of one layer that look at different places are not the values of one of these places."""
    model = random_model("gpt2")
    circuit = Circuit.wire(
        "input -> m0; input, b1 -> a0.h1; a0.h1 -> a1.h0[subject]; input, a0.h1 -> a1.h1[0]; "
        "a0.h1, m0, a1.h0, a1.h1 -> logits"
    )
    fast = run_circuits(model, PROMPTS, [circuit], final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)})[
        "logits"
    ][0]
    torch.testing.assert_close(fast, slow_logits(model, PROMPTS, circuit, SUBJECT), atol=1e-4, rtol=0)


def test_pins_of_their_own_in_circuits_run_together() -> None:
    model = random_model("gpt2")
    circuits = [
        Circuit.wire(f"input -> a1.h0{pin}; input -> a1.h1<v>{pin}; a1.h0, a1.h1 -> logits")
        for pin in ("[0]", "[1]", "[subject]", "[3]", "[4]")
    ]
    fast = run_circuits(model, PROMPTS, circuits, final_logits, marks={"subject": (SUBJECT,) * len(PROMPTS)})["logits"]
    for logits, circuit in zip(fast, circuits, strict=True):
        torch.testing.assert_close(logits, slow_logits(model, PROMPTS, circuit, SUBJECT), atol=1e-4, rtol=0)


def test_a_pin_at_the_end_of_one_prompt_leaves_the_prompts_that_go_on_as_they_are() -> None:
    """The last token of one prompt is an inner one of another, which looks where it likes."""
    model, prompts = random_model("gpt2"), [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4]]
    circuit = Circuit.wire("input -> a0.h1[0]; input, a0.h1 -> a1.h2; a1.h2, a0.h1 -> logits")
    fast = run_circuits(model, prompts, [circuit], final_logits)["logits"][0]
    torch.testing.assert_close(fast, slow_logits(model, prompts, circuit, SUBJECT), atol=1e-4, rtol=0)


SHARED = [[1, 2, 10, 3], [1, 2, 10, 4], [1, 2, 11, 3], [1, 2, 11, 5]]
"""Two by two they share a beginning, but not with those from which they are resampled."""


def test_a_constant_of_each_prompts_own_stays_its_own_where_prompts_begin_alike() -> None:
    model, constants = random_model("gpt2"), dict[Constant, Constants]()
    circuit = Circuit.wire("resample: a0.h0-3, m1; resid_post1 -> a2.h1; a2.h1, m1 -> logits")
    for seed in range(4):
        constants["resample"] = resampled(model, SHARED, seed=seed)
        fast = run_circuits(model, SHARED, [circuit], final_logits, constants=constants)["logits"][0]
        slow = slow_logits(model, SHARED, circuit, SUBJECT, constants)
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)


def test_prompts_are_kept_apart_only_from_where_what_they_are_resampled_from_differs() -> None:
    model = random_model("gpt2")
    # These share nothing but what all begin with, so they need not be kept apart at all.
    assert resampled(model, PROMPTS, seed=3).apart() == len(PROMPTS[0])
    assert {resampled(model, SHARED, seed=seed).apart() for seed in range(8)} == {2, len(SHARED[0])}
