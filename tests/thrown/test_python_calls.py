"""Arguments of the wrong kind in Python: each is told in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vitro
from command import is_one_line
from vitro.models import Model

CIRCUIT = "input -> m0; m0 -> logits"
CALLS: dict[str, Callable[[Any], object]] = {
    "no task": lambda model: vitro.mount(model, None),  # type: ignore[arg-type]
    "a number for a task": lambda model: vitro.mount(model, 7),  # type: ignore[arg-type]
    "no model": lambda model: vitro.mount(None, "days"),  # type: ignore[arg-type]
    "a text for a model": lambda model: vitro.ablate_heads("gpt2", "days"),  # type: ignore[arg-type]
    "no options": lambda model: vitro.mount(model, "days", None),  # type: ignore[arg-type]
    "options by name": lambda model: vitro.mount(model, "days", {"samples": 4}),  # type: ignore[arg-type]
    "no circuits": lambda model: vitro.in_vitro(model, "days", {}),
    "a circuit without a name": lambda model: vitro.in_vitro(model, "days", vitro.Circuit.wire(CIRCUIT)),  # type: ignore[arg-type]
    "a text among circuits": lambda model: vitro.in_vitro(model, "days", {"mine": CIRCUIT}),  # type: ignore[dict-item]
    "a text for a circuit": lambda model: vitro.judge(model, "days", CIRCUIT),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_an_argument_of_another_kind_is_told_in_one_line(planted_model: Model, call: Callable[[Any], object]) -> None:
    with pytest.raises(vitro.VitroError) as told:
        call(planted_model)
    assert is_one_line(str(told.value))


def test_a_study_of_a_model_in_memory_is_refused_before_anything_is_written(
    planted_model: Model, tmp_path: Path
) -> None:
    with pytest.raises(vitro.VitroError, match="by its name or path"):
        vitro.run_study(planted_model, "days", tmp_path / "study")  # type: ignore[arg-type]
    assert not (tmp_path / "study").exists()
