"""The text form of circuits: what can be written, and how mistakes are told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from small_models import random_model
from vitro.circuits import Circuit, CircuitError

FINAL = """input -> m0
input, m0 -> a9.h1[subject], a10.h3[subject]
a9.h1, a10.h3 -> m9
a9.h1, a10.h3, m9 -> logits"""


def test_the_posts_final_circuit_is_printed_as_it_was_written() -> None:
    assert str(Circuit.wire(FINAL)) == FINAL


@pytest.mark.parametrize(
    "text",
    [
        FINAL,
        "random: a0.h0-11, a1.h3; zero: m2\n"
        "resid_post2 -> a9.h1<q>, a9.h1<k>; m5 -> a9.h1<v>[4]\ninput -> m5; a9.h1, b9 -> logits",
        "input -> 9.1; 9.1 -> logits  # a remark",
        "m0->a9.h1<v>[subject]\ninput->m0\na9.h1->logits",
    ],
)
def test_text_goes_round(text: str) -> None:
    circuit = Circuit.wire(text)
    assert Circuit.wire(str(circuit)) == circuit


@given(st.data())
def test_any_circuit_goes_round(data: st.DataObject) -> None:
    names = ["m0", "a1.h0", "a1.h1", "m1", "a2.h3", "m2"]
    lines, known = [], ["input"]
    for name in names:
        sources = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
        pin = data.draw(st.sampled_from(["", "[3]", "[subject]"])) if name.startswith("a") else ""
        lines.append(f"{', '.join(sources)} -> {name}{pin}")
        known.append(name)
    lines.append(f"{', '.join(data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True)))} -> logits")
    circuit = Circuit.wire("\n".join(lines))
    assert Circuit.wire(str(circuit)) == circuit


def test_what_ends_in_a_comma_goes_on_in_the_next_line() -> None:
    one = Circuit.wire("mean: a0.h0, a0.h1; input -> m0; input, m0 -> a1.h1, m2; a1.h1, m2 -> logits")
    broken = "mean: a0.h0,  # two\n  a0.h1\ninput -> m0\ninput,\n\n  m0 -> a1.h1,\n  m2\na1.h1, m2 -> logits"
    assert Circuit.wire(broken) == one


def test_within_prints_short_and_goes_round() -> None:
    circuit = Circuit.within(random_model("gpt2"), ["0.1", "2.3"])
    assert str(circuit) == "mean: a0.h0, a0.h2-3, a1.h0-3, a2.h0-2\nresid_post2 -> logits"
    assert Circuit.wire(str(circuit)) == circuit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the circuit is empty"),
        ("input -> m0", "no logits"),
        ("input -> m0; m0 -> a9.x1; a9.x1 -> logits", r"line 2: 'a9.x1' is not a component"),
        ("input, -> logits", "line 1: .* a name is missing"),
        ("input logits", "line 1: .* one arrow"),
        ("input -> m0 -> logits", "one arrow"),
        ("input -> m0[3]; m0 -> logits", r"line 1: 'm0\[3\]': only heads attend"),
        ("input -> m0<q>; m0 -> logits", "heads, and only heads"),
        ("input -> a1.h1<w>; a1.h1 -> logits", "<q>, <k> or <v>"),
        ("input -> a1.h1[4x]; a1.h1 -> logits", r"a pin is a position"),
        ("input -> a1.h1[2]; m0 -> a1.h1[3]; input -> m0; a1.h1 -> logits", "pinned to 2 already"),
        ("m0 -> m1; m1 -> m0; m0 -> logits", "cycle: .*m0.*m1"),
        ("m3 -> logits", "m3 is read, but reads nothing itself"),
        ("input -> input; input -> logits", "input reads nothing"),
        ("input -> logits; logits -> m0", "nothing reads them"),
        ("input, input -> logits", "reads input twice"),
        ("median: a0.h0; input -> logits", "'median' is no kind of constant"),
        ("zero: input; input -> logits", "only heads and MLPs"),
        ("zero: m0; mean: m0; m0 -> logits", "is at zero already"),
        ("mean: a0.h5-2; input -> logits", r"line 1: 'a0.h5-2' runs backwards"),
        ("zero: m0; input -> m0; m0 -> logits", "at a constant, so it reads nothing"),
        ("input -> a1.h1<v>; a1.h1 -> logits", "reads nothing by q, k"),
        ("resid_post2 -> m1; m1 -> logits", "m1 is within resid_post2 already"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_word(text: str, words: str) -> None:
    with pytest.raises(CircuitError, match=words):
        Circuit.wire(text)


def test_what_is_left_out_takes_with_it_what_then_reads_nothing() -> None:
    circuit = Circuit.wire(FINAL)
    (m9,) = [node for node in circuit.order if str(node) == "m9"]
    (m0,) = [node for node in circuit.order if str(node) == "m0"]
    assert (
        str(circuit.without(m9)) == "input -> m0\ninput, m0 -> a9.h1[subject], a10.h3[subject]\na9.h1, a10.h3 -> logits"
    )
    assert "m0" not in str(circuit.without(m0))
    with pytest.raises(CircuitError, match="no logits"):
        circuit.without(*(node for node in circuit.order if str(node).startswith("a")))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"keep": [(-1, 0)]}, "there is no a-1.h0"),
        ({"keep": ["0.4"]}, "there is no a0.h4"),
        ({"keep": ["resid_post1"]}, "resid_post1 cannot be kept"),
        ({"keep": ["logits"]}, "logits cannot be kept"),
        ({"heads_of": [3]}, "there is no a3.h0"),
        ({"heads_of": [-1]}, "there is no a-1.h0"),
        ({"until": -1}, "there is no resid_post-1"),
        ({"mlps": "dead"}, "mlps must be live or ablated"),
        ({"others": "median"}, "zero, random, mean, resample"),
    ],
)
def test_within_names_what_the_model_does_not_have(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(CircuitError, match=words):
        Circuit.within(random_model("gpt2"), **asked)
