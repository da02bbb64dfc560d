"""What a newcomer gives in Python in another thing's place is told in one line, with what would work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vitro
from command import is_one_line
from planted import planted
from vitro.circuits import CircuitError
from vitro.errors import VitroError
from vitro.models import ModelError
from vitro.options import OptionError
from vitro.tasks import TaskError, days

WIRING = "input -> a1.h1; a1.h1 -> logits"
CALLS: dict[str, tuple[Callable[[Any], object], type[VitroError], str]] = {
    "a name for a model": (lambda _: vitro.mount("gpt2", "days"), ModelError, "vitro.load('gpt2')"),  # type: ignore[arg-type]
    "task and model swapped": (lambda m: vitro.find("days", m), ModelError, "vitro.load('days')"),  # type: ignore[arg-type]
    "a model of transformers": (lambda m: vitro.mount(m.hf, "days"), ModelError, "vitro.load(hf_model, tokenizer)"),
    "a name, for successors": (lambda _: vitro.successor("gpt2"), ModelError, "vitro.load('gpt2')"),  # type: ignore[arg-type]
    "a name, for the claims": (lambda _: vitro.reproduce("gpt2"), ModelError, "vitro.load('gpt2')"),  # type: ignore[arg-type]
    "a name, for an experiment": (
        lambda _: vitro.EXPERIMENTS["clean"].measure("gpt2", days()),  # type: ignore[arg-type]
        ModelError,
        "vitro.load('gpt2')",
    ),
    "a number to load": (lambda _: vitro.load(5), ModelError, "an int is no model"),
    "a name for a tokenizer": (lambda m: vitro.load(m.hf, "gpt2"), ModelError, "AutoTokenizer.from_pretrained"),
    "no tokenizer": (lambda m: vitro.mount(vitro.load(m.hf), "days"), TaskError, "vitro.load(hf_model, tokenizer)"),
    "a number for a task": (lambda m: vitro.ablate_heads(m, 5), TaskError, "an int is no task"),  # type: ignore[arg-type]
    "tokens for a task": (lambda m: vitro.activations(m, [[1, 2]], ["z1"]), TaskError, "a list is no task"),  # type: ignore[arg-type]
    "a dict of options": (lambda m: vitro.mount(m, "days", {"samples": 3}), OptionError, "vitro.Options(samples=50)"),  # type: ignore[arg-type]
    "a text for a circuit": (lambda m: vitro.judge(m, "days", WIRING), CircuitError, "vitro.Circuit.wire(text)"),  # type: ignore[arg-type]
    "a text for circuits": (lambda m: vitro.in_vitro(m, "days", WIRING), CircuitError, "{'a name': vitro.Circuit.wire"),  # type: ignore[arg-type]
    "texts for circuits": (lambda m: vitro.in_vitro(m, "days", {"one": WIRING}), CircuitError, "the circuit is a str"),  # type: ignore[dict-item]
    "a text for wirings": (lambda _: vitro.Circuit(WIRING), CircuitError, "vitro.Circuit.wire(text)"),  # type: ignore[arg-type]
    "a study of a model": (lambda m: vitro.run_study(m, "days", "nowhere"), ModelError, "vitro.mount(model, task)"),
    "a study with a dict": (lambda _: vitro.run_study("gpt2", "days", "nowhere", {}), OptionError, "are a dict"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", CALLS)
def test_a_thing_of_another_kind_is_told_with_what_works(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, error, says = CALLS[what]
    model = planted(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as refused:
        call(model)
    assert says in str(refused.value)
    assert is_one_line(str(refused.value))
    assert not (tmp_path / "nowhere").exists()
