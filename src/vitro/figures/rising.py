"""A circuit as a drawing that rises from the input to the logits: boxes in rows, lines as thick as they matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.layered import Arrow, Page, Size, place, upwards
from vitro.figures.look import CHANGE_COLORS, FAINT, INK, WASH, WIDTH, values

_NAME_HEIGHT, _LINE_HEIGHT, _PADDING = 17.0, 15.0, 8.0
_LETTER, _BOLD_LETTER = 5.6, 7.6
"""Pixels of an average character, and of one of a name."""
_PORT_GAP = 20.0
"""Pixels between the points at which a head reads its queries, keys and values."""
_GAPS = (28.0, 52.0)
"""Pixels between two rows, at least and at most."""
_MARGIN, _LABELS = 6.0, 84.0
"""Pixels around the drawing, and of the layers named on its left."""

_FILLS = {True: (WASH, "#a9cbeb"), False: (WASH, "#f3b9a5")}
"""The inside of boxes that raise the answer and of those that lower it, from nothing to the most."""
_INKS = {True: CHANGE_COLORS[-1], False: CHANGE_COLORS[0]}
_RIMS, _LINES = ("#a8b1ba", "#47525e"), ("#ccd3da", "#47525e")
"""Those that matter least and most. Lines are opaque, so that their pieces join without a seam."""
_STYLES: dict[str, dict[str, Any]] = {
    "alone": {"fontSize": 13, "fontWeight": 600, "align": "center"},
    "name": {"fontSize": 13, "fontWeight": 600, "align": "left"},
    "beside": {"fontSize": 11, "fontWeight": 600, "align": "right"},
    "below": {"fontSize": 11, "align": "left"},
    "port": {"fontSize": 10, "align": "left"},
    "layer": {"fontSize": 11, "align": "left"},
}


@dataclass(frozen=True)
class Box:
    """A component as it is written: its name, words beside it and on a line below.

    gain: what it does to the answer, from -1 to 1, as its colour. weight: from 0 to 1, how thick its rim is. hover:
    what is shown when the mouse is on it.
    """

    name: str
    beside: str = ""
    below: str = ""
    gain: float = 0.0
    weight: float = 0.0
    hover: str = ""

    @property
    def size(self) -> Size:
        """Pixels of the box."""
        beside = 14 + len(self.beside) * _LETTER if self.beside else 0.0
        width = max(len(self.name) * _BOLD_LETTER + beside, len(self.below) * _LETTER) + 2 * _PADDING
        return Size(width, _NAME_HEIGHT + (_LINE_HEIGHT if self.below else 0.0) + 2 * _PADDING - 2)


def rising(
    boxes: Sequence[Box], edges: pl.DataFrame, row: float, layers: Mapping[str, int] | None = None
) -> alt.LayerChart:
    """Boxes in the model's order, the input first and the logits last, and the edges among them.

    edges: source, reader, input ("" where a component reads by one sum), weight (0 to 1: how thick), said (the reader,
    when hovering). row: pixels that the boxes of a row may take together. layers: of the components, to be named on the
    left.
    """
    rows = _rows(boxes, edges, row)
    ports = _ports(edges)
    arrows = {
        Arrow(source, reader, ports[reader][name]): (weight, said)
        for source, reader, name, weight, said in edges.select(
            "source", "reader", "input", "weight", "said"
        ).iter_rows()
    }
    sizes = {box.name: Size(box.size.height, box.size.width) for box in boxes}
    page = upwards(place(sizes, list(arrows), column=rows, gaps=_GAPS))
    left, right = -_MARGIN - (_LABELS if layers else 0.0), page.width + _MARGIN
    height = page.height + 2 * _MARGIN
    # Vega leaves a few pixels around a drawing.
    scale = min(1.0, (WIDTH - 2 * _MARGIN) / (right - left))
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[left, right], nice=False, zero=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height - _MARGIN, -_MARGIN], nice=False, zero=False))
    lines = (
        alt.Chart(_pieces(page, arrows, scale))
        .transform_flatten(["point", "x", "y"])
        .mark_line(strokeCap="round")
        .encode(
            x=x,
            y=y,
            detail="piece:N",
            order="point:Q",
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
            color=alt.Color("color:N", scale=None),
            tooltip=[alt.Tooltip("source:N", title="from"), alt.Tooltip("readers:N", title="to")],
        )
    )
    rims = (
        alt.Chart(_box_rows(page, boxes, edges, scale))
        .mark_rect(cornerRadius=6 * scale)
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            fill=alt.Fill("fill:N", scale=None),
            stroke=alt.Stroke("stroke:N", scale=None),
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
            tooltip=[
                alt.Tooltip("name:N", title="component"),
                alt.Tooltip("hover:N", title="what it does"),
                alt.Tooltip("reads:N", title="reads"),
            ],
        )
    )
    texts = _texts(page, boxes, ports, _layer_names(rows, layers or {}))
    written = [
        alt.Chart(values(texts.filter(style=style)))
        .mark_text(baseline="middle", **{**look, "fontSize": look["fontSize"] * scale})
        .encode(x=x, y=y, text="text:N", color=alt.Color("color:N", scale=None))
        for style, look in _STYLES.items()
        if style in texts["style"]
    ]
    return alt.LayerChart(
        layer=[lines, rims, *written], width=round((right - left) * scale), height=round(height * scale)
    )


def _rows(boxes: Sequence[Box], edges: pl.DataFrame, most: float) -> dict[str, int]:
    """The row of each box, counted from the input up: as few as there can be, in the model's order.

    A row ends before a component that reads from it, before it is full, and before the logits.
    """
    sources = {reader: set(reads["source"]) for (reader,), reads in edges.group_by("reader")}
    rows: dict[str, int] = {}
    number, width, members = 0, 0.0, set[str]()
    for box in boxes:
        full = width + box.size.width > most or box.name == "logits" or "input" in members
        if members and (full or members & sources.get(box.name, set())):
            number, width, members = number + 1, 0.0, set()
        rows[box.name], width = number, width + box.size.width
        members.add(box.name)
    return rows


def _ports(edges: pl.DataFrame) -> dict[str, dict[str, float]]:
    """For every reader its inputs, q, k and v, and how far right of its middle they are."""
    ports = {}
    for (reader,), rows in edges.group_by("reader", maintain_order=True):
        names = sorted(set(rows["input"]), key=lambda name: "qkv".find(name[:1]))
        ports[str(reader)] = {name: (at - (len(names) - 1) / 2) * _PORT_GAP for at, name in enumerate(names)}
    return ports


def _layer_names(rows: Mapping[str, int], layers: Mapping[str, int]) -> dict[str, str]:
    """What stands on the left of each row, by a component of it."""
    by_row: dict[int, list[str]] = {}
    for name in layers:
        by_row.setdefault(rows[name], []).append(name)
    names = {}
    for members in by_row.values():
        first, last = layers[members[0]], layers[members[-1]]
        names[members[0]] = f"layer {first}" if first == last else f"layers {first}\N{EN DASH}{last}"
    return names


def _pieces(page: Page, edges: Mapping[Arrow, tuple[float, str]], scale: float) -> alt.InlineData:
    """The points of each piece of a line, as thick as the weightiest edge that takes it."""

    def weight_of(arrows: Sequence[Arrow]) -> float:
        return max(edges[arrow][0] for arrow in arrows)

    # The weightiest lie on top. A piece is a row with lists of points: its words would weigh more than they do.
    rows = []
    for piece, (arrows, points) in enumerate(sorted(page.curves, key=lambda curve: weight_of(curve[0]))):
        weight = weight_of(arrows)
        rows.append(
            {
                "piece": piece,
                "point": list(range(len(points))),
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "width": (1.2 + 4.8 * weight) * scale,
                "color": _mixed(*_LINES, weight**0.5),
                "source": arrows[0].source,
                "readers": ", ".join(edges[arrow][1] for arrow in arrows),
            }
        )
    return values(pl.DataFrame(rows))


def _box_rows(page: Page, boxes: Sequence[Box], edges: pl.DataFrame, scale: float) -> alt.InlineData:
    rows = []
    for box in boxes:
        (x, y), size = page.middles[box.name], page.sizes[box.name]
        rows.append(
            {
                "name": box.name,
                "hover": box.hover,
                "reads": ", ".join(edges.filter(reader=box.name)["source"].unique(maintain_order=True)),
                "x": x - size.width / 2,
                "x2": x + size.width / 2,
                "y": y - size.height / 2,
                "y2": y + size.height / 2,
                "fill": _mixed(*_FILLS[box.gain > 0], abs(box.gain) ** 0.7),
                "stroke": _mixed(*_RIMS, box.weight**0.5),
                "width": (1.2 + 2.4 * box.weight) * scale,
            }
        )
    return values(pl.DataFrame(rows))


def _texts(
    page: Page, boxes: Sequence[Box], ports: Mapping[str, Mapping[str, float]], layer_names: Mapping[str, str]
) -> pl.DataFrame:
    """Every text: in the boxes, at the points where heads read, and the rows' layers."""
    texts = []
    for box in boxes:
        (x, y), size = page.middles[box.name], page.sizes[box.name]
        left, right = x - size.width / 2 + _PADDING, x + size.width / 2 - _PADDING
        first = y - (_LINE_HEIGHT / 2 if box.below else 0.0)
        alone = not box.beside and not box.below
        texts.append(("alone", x, y, box.name, INK) if alone else ("name", left, first, box.name, INK))
        if box.beside:
            texts.append(("beside", right, first, box.beside, _INKS[box.gain > 0]))
        if box.below:
            texts.append(("below", left, y + _NAME_HEIGHT / 2, box.below, FAINT))
        under = y + size.height / 2 + 7
        texts += [("port", x + at + 6, under, port, FAINT) for port, at in ports.get(box.name, {}).items() if port]
        if box.name in layer_names:
            texts.append(("layer", -_LABELS, y, layer_names[box.name], FAINT))
    return pl.DataFrame(texts, schema=["style", "x", "y", "text", "color"], orient="row")


def _mixed(first: str, second: str, share: float) -> str:
    """The colour at a share of the way from one colour to another."""
    ends = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))
