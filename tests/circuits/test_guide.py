"""What the guide to circuits shows."""

import re
from pathlib import Path

import pytest

from vitro.circuits import Circuit, boxes_and_arrows
from vitro.figures import circuit_drawing, to_svg

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = re.findall(r"```circuit\n(.*?)```", (DOCS / "circuits.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", SHOWN)
def test_every_circuit_of_the_guide_is_one_and_goes_round(text: str) -> None:
    circuit = Circuit.wire(text)
    assert Circuit.wire(str(circuit)) == circuit


def test_the_guides_picture_says_what_its_first_circuit_says() -> None:
    figure = circuit_drawing(*boxes_and_arrows(Circuit.wire(SHOWN[0])), "The post's final circuit (days, GPT-2 small)")
    # The words alone: other fonts on another machine move them by a pixel.
    old, new = (
        re.findall(r">([^<>]+)</text>", svg) for svg in ((DOCS / "circuit.svg").read_text("utf-8"), to_svg(figure))
    )
    assert old == new
    assert "a9.h1" in old
