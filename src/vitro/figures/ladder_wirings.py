"""The wirings that the ladder comes down to, beside each other."""

import textwrap
from collections.abc import Iterable
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.look import WIDTH, dress
from vitro.figures.rising import Box, rising
from vitro.figures.spoken import listed

LARGEST, MOST_EDGES = 16, 40
"""Components, the input and the logits among them, and edges of the largest wiring that is drawn: the first rung is
drawn whole elsewhere (`found_circuit`), and those that follow it are much like it."""

_ROW, _GAP = 330.0, 40
"""Pixels that the boxes of a row may take together, and between two drawings."""
_LETTER, _NARROWEST = 6.5, 150
"""Pixels of a character of a rung's name, and of the narrowest line of them."""
_WEIGHT = 0.15
"""Of every line: what it costs was not measured."""

_Wiring = tuple[tuple[tuple[str, str], ...], tuple[tuple[Any, ...], ...]]
"""How a drawing looks: the boxes, as names and what is written below them, and the edges."""


def ladder_wirings(ladder: pl.DataFrame, boxes: pl.DataFrame, arrows: pl.DataFrame) -> alt.VConcatChart | None:
    """A drawing for each rung of table `ladder` that was kept and is small, and of the last that was; None for none.

    Of rungs that would look the same, as they differ in what absent edges carry, the last is drawn. boxes and arrows:
    as `vitro.circuits.boxes_and_arrows` makes them of the rungs' circuits, with the rung's number in a column `rung`
    beside; a rung without boxes is not drawn.
    """
    kept = ladder.filter("kept").sort("rung")
    sizes = boxes.group_by("rung").len("components").join(arrows.group_by("rung").len("arrows"), on="rung", how="left")
    small = (pl.col("components") <= LARGEST) & (pl.col("arrows").fill_null(0) <= MOST_EDGES)
    last = pl.col("rung").is_in(kept["rung"].tail(1).to_list())
    drawn = kept.join(sizes, on="rung", maintain_order="left").filter(small | last)
    if drawn.is_empty():
        return None
    panels: dict[_Wiring, alt.LayerChart] = {}
    for rung, name, right in drawn.select("rung", "name", "right").iter_rows():
        components = boxes.filter(rung=rung).select("name", "note", "fixed", "constant").iter_rows()
        written = tuple(_box(*component) for component in components)
        edges = arrows.filter(rung=rung).select("source", "reader", "input")
        panel = rising(written, edges.with_columns(weight=pl.lit(_WEIGHT), said="reader"), _ROW)
        text = textwrap.wrap(f"{rung}  {name}", int(_room(panel) / _LETTER))
        title = alt.TitleParams([*text, f"{right} right"], fontSize=12, anchor="start", offset=8)
        looks = tuple((box.name, box.below) for box in written), tuple(edges.iter_rows())
        panels.pop(looks, None)
        panels[looks] = panel.properties(title=title)
    larger = len(kept) - len(drawn)
    left_out = {0: "", 1: " A larger one is not drawn."}.get(larger, f" {larger} larger ones are not drawn.")
    return dress(
        alt.VConcatChart(vconcat=[alt.HConcatChart(hconcat=line, spacing=_GAP) for line in _lines(panels.values())]),
        "What the circuit comes down to",
        f"The rungs that hold, upwards from the input to the logits; of those that look the same, the last.{left_out}",
        gist="Drawn: "
        + listed(
            f"{name}, {count} components, {right} right"
            for name, count, right in drawn.select("name", "components", "right").iter_rows()
        )
        + ".",
    )


def _box(name: str, note: str, fixed: str, constant: bool) -> Box:
    """Of what a component is only what its name does not say: where it looks, and what it stands for."""
    first = note.partition("\n")[0]
    below = fixed if constant else first if first.startswith(("looks at", "the model")) else ""
    return Box(name, below=below, hover=", ".join(f"{note}\n{fixed}".strip().split("\n")))


def _room(panel: alt.LayerChart) -> float:
    """Pixels that a drawing and its title take."""
    return max(float(panel.width), _NARROWEST)


def _lines(panels: Iterable[alt.LayerChart]) -> list[list[alt.LayerChart]]:
    """As many beside each other as a page has room for."""
    lines: list[list[alt.LayerChart]] = [[]]
    for panel in panels:
        if lines[-1] and sum(_room(other) + _GAP for other in lines[-1]) + _room(panel) > WIDTH:
            lines.append([])
        lines[-1].append(panel)
    return lines
