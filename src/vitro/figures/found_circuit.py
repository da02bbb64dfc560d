"""The circuit that a search found, in one drawing: from the input up to the logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.layered import Arrow, Page, Size, place, upwards
from vitro.figures.look import CHANGE_COLORS, FAINT, INK, WASH, WIDTH, dress, values
from vitro.tables.quantities import QUANTITIES

MOST_EDGES = 40
"""Edges that are drawn, beside those that tie each component to the others: of more, none can be followed."""

_NAME_HEIGHT, _LINE_HEIGHT, _PADDING = 17.0, 15.0, 8.0
_LETTER, _BOLD_LETTER = 5.6, 7.6
"""Pixels of an average character, and of one of a name."""
_PORT_GAP = 20.0
"""Pixels between the points at which a head reads its queries, keys and values."""
_ROW = 780.0
"""Pixels that the boxes of a row may take together: the lines that pass them need the rest."""
_GAPS = (28.0, 52.0)
"""Pixels between two rows, at least and at most."""
_MARGIN, _LABELS = 6.0, 84.0
"""Pixels around the drawing, and of the layers named on its left."""
_MARK = 16
"""Characters of a mark's name."""
_LEAST = 0.005
"""Smaller shares of the answer are not written into a box: they would read 0.00."""

_FILLS = {True: (WASH, "#a9cbeb"), False: (WASH, "#f3b9a5")}
"""The inside of boxes that raise the answer and of those that lower it, from nothing to the most."""
_INKS = {True: CHANGE_COLORS[-1], False: CHANGE_COLORS[0]}
_RIM = "#a8b1ba"
_LINES = ("#ccd3da", "#47525e")
"""Lines of edges that cost nothing and of the costliest: opaque, so that pieces of one line join without a seam."""


@dataclass(frozen=True)
class _Box:
    """A component as it is written: its name, a word and a number beside it, a line below."""

    name: str
    cost: float | None = None
    direct: float = 0.0
    beside: str = ""
    below: str = ""

    @property
    def size(self) -> Size:
        beside = 14 + len(self.beside) * _LETTER if self.beside else 0.0
        width = max(len(self.name) * _BOLD_LETTER + beside, len(self.below) * _LETTER) + 2 * _PADDING
        return Size(width, _NAME_HEIGHT + (_LINE_HEIGHT if self.below else 0.0) + 2 * _PADDING - 2)


def found_circuit(find: pl.DataFrame, nodes: pl.DataFrame, edges: pl.DataFrame) -> alt.LayerChart:
    """The tables `find`, `find_nodes` and `find_edges` as one drawing.

    A row of boxes holds components of neighbouring layers that do not read each other. Lines are edges, thicker the
    more faithfulness the circuit loses without them: of each component those in and out that it can spare least, and
    of the others the costliest, until there are MOST_EDGES. Edges that were not searched are not drawn.
    """
    components = nodes.sort("layer", "head", nulls_last=True).to_dicts()
    boxes = {box.name: box for box in (_Box("input"), *map(_box, components), _Box("logits"))}
    drawn = _drawn(edges)
    rows = _rows(boxes, drawn)
    ports = _ports(drawn)
    page = upwards(
        place(
            {name: Size(box.size.height, box.size.width) for name, box in boxes.items()},
            list(_arrows(drawn, ports)),
            column=rows,
            gaps=_GAPS,
        )
    )
    scale = min(1.0, WIDTH / (page.width + _LABELS + 2 * _MARGIN))
    figure = alt.LayerChart(
        layer=_layers(page, boxes, drawn, ports, _layer_names(components, rows), scale),
        width=round((page.width + _LABELS + 2 * _MARGIN) * scale),
        height=round((page.height + 2 * _MARGIN) * scale),
    )
    return dress(figure, *_titles(find.row(0, named=True), edges, drawn, [box.beside for box in boxes.values()]))


def _box(row: Mapping[str, Any]) -> _Box:
    """What a component does, in a few words."""
    direct = row["direct"] or 0.0
    beside = "" if abs(direct) < _LEAST else f"{'raises' if direct > 0 else 'lowers'} {abs(direct):.2f}"
    below = ""
    if row["attends_to"] is not None:
        mark = shorten(row["attends_to"], _MARK, placeholder="…") if " " in row["attends_to"] else row["attends_to"]
        below = f"attends to {mark[:_MARK]} {row['attention']:.2f}"
    return _Box(row["node"], row["cost"], direct, beside, below)


def _drawn(edges: pl.DataFrame) -> pl.DataFrame:
    """The edges that are drawn, the costliest first: source, reader, input ("" where there is one), cost."""
    searched = edges.drop_nulls("cost").sort("cost", descending=True, maintain_order=True)
    first_out, first_in = (pl.int_range(pl.len()).over(side) == 0 for side in ("source", "reader"))
    counts = first_out | first_in | (pl.int_range(pl.len()) < MOST_EDGES)
    return searched.filter(counts).select("source", "reader", pl.col("input").fill_null(""), "cost")


def _rows(boxes: Mapping[str, _Box], drawn: pl.DataFrame) -> dict[str, int]:
    """The row of each box, counted from the input up: as few as there can be, in the model's order.

    A row ends before a component that reads from it, before it is full, and before the logits.
    """
    sources = {reader: set(rows["source"]) for (reader,), rows in drawn.group_by("reader")}
    row, number, width = {"input": 0}, 0, float("inf")
    members: set[str] = set()
    for name, box in boxes.items():
        if name == "input":
            continue
        if name == "logits" or width + box.size.width > _ROW or members & sources.get(name, set()):
            number, width, members = number + 1, 0.0, set()
        row[name], width = number, width + box.size.width
        members.add(name)
    return row


def _ports(drawn: pl.DataFrame) -> dict[str, dict[str, float]]:
    """For every reader its inputs, q, k and v, and how far right of its middle they are."""
    ports = {}
    for (reader,), rows in drawn.group_by("reader", maintain_order=True):
        names = sorted(set(rows["input"]), key="qkv".index)
        ports[str(reader)] = {name: (at - (len(names) - 1) / 2) * _PORT_GAP for at, name in enumerate(names)}
    return ports


def _arrows(drawn: pl.DataFrame, ports: Mapping[str, Mapping[str, float]]) -> dict[Arrow, tuple[str, float]]:
    """What is placed for each edge, with its reader as it is written, `a9.h1<v>`, and its cost."""
    return {
        Arrow(source, reader, ports[reader][name]): (f"{reader}<{name}>" if name else reader, cost)
        for source, reader, name, cost in drawn.iter_rows()
    }


def _layer_names(components: Sequence[Mapping[str, Any]], rows: Mapping[str, int]) -> dict[str, str]:
    """What stands on the left of each row, by a component of it."""
    by_row: dict[int, list[Mapping[str, Any]]] = {}
    for component in components:
        by_row.setdefault(rows[component["node"]], []).append(component)
    names = {}
    for members in by_row.values():
        first, last = members[0]["layer"], members[-1]["layer"]
        names[members[0]["node"]] = f"layer {first}" if first == last else f"layers {first}\N{EN DASH}{last}"
    return names


def _layers(
    page: Page,
    boxes: Mapping[str, _Box],
    drawn: pl.DataFrame,
    ports: Mapping[str, Mapping[str, float]],
    layer_names: Mapping[str, str],
    scale: float,
) -> list[alt.Chart]:
    left, right = -_LABELS - _MARGIN, page.width + _MARGIN
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[left, right], nice=False, zero=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[page.height + _MARGIN, -_MARGIN], nice=False, zero=False))
    lines = (
        alt.Chart(_pieces(page, _arrows(drawn, ports)))
        .transform_flatten(["point", "x", "y"])
        .mark_line(strokeCap="round")
        .encode(
            x=x,
            y=y,
            detail="piece:N",
            order="point:Q",
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
            color=alt.Color("color:N", scale=None),
            tooltip=[alt.Tooltip("source:N", title="from"), alt.Tooltip("readers:N", title="to (cost)")],
        )
    )
    rims = (
        alt.Chart(_box_rows(page, boxes, drawn))
        .mark_rect(cornerRadius=6 * scale, stroke=_RIM, strokeWidth=1.2 * scale)
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            fill=alt.Fill("fill:N", scale=None),
            tooltip=[
                alt.Tooltip("name:N", title="component"),
                alt.Tooltip("words:N", title="what it does"),
                alt.Tooltip("cost:Q", title="faithfulness lost without it", format=".3f"),
                alt.Tooltip("reads:N", title="reads"),
            ],
        )
    )
    texts = pl.DataFrame(
        _texts(page, boxes, ports, layer_names), schema=["style", "x", "y", "text", "color"], orient="row"
    )
    written = [
        alt.Chart(values(texts.filter(style=style)))
        .mark_text(baseline="middle", **{**look, "fontSize": look["fontSize"] * scale})
        .encode(x=x, y=y, text="text:N", color=alt.Color("color:N", scale=None))
        for style, look in _STYLES.items()
        if style in texts["style"]
    ]
    return [lines, rims, *written]


_STYLES: dict[str, dict[str, Any]] = {
    "alone": {"fontSize": 13, "fontWeight": 600, "align": "center"},
    "name": {"fontSize": 13, "fontWeight": 600, "align": "left"},
    "beside": {"fontSize": 11, "fontWeight": 600, "align": "right"},
    "below": {"fontSize": 11, "align": "left"},
    "port": {"fontSize": 10, "align": "left"},
    "layer": {"fontSize": 11, "align": "left"},
}


def _pieces(page: Page, edges: Mapping[Arrow, tuple[str, float]]) -> alt.InlineData:
    """The points of each piece of a line, as thick as the costliest edge that takes it."""
    most = max([1e-9, *(cost for _, cost in edges.values())])

    def weight_of(arrows: Sequence[Arrow]) -> float:
        return max(0.0, *(edges[arrow][1] for arrow in arrows)) / most

    # The costliest lie on top. A list of points in a row, as their words would weigh more than they.
    rows = []
    for piece, (arrows, points) in enumerate(sorted(page.curves, key=lambda curve: weight_of(curve[0]))):
        weight = weight_of(arrows)
        rows.append(
            {
                "piece": piece,
                "point": list(range(len(points))),
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "width": 1.2 + 4.8 * weight,
                "color": _mixed(*_LINES, weight**0.5),
                "source": arrows[0].source,
                "readers": ", ".join(f"{reader} ({cost:.3f})" for reader, cost in map(edges.__getitem__, arrows)),
            }
        )
    return values(pl.DataFrame(rows))


def _box_rows(page: Page, boxes: Mapping[str, _Box], drawn: pl.DataFrame) -> alt.InlineData:
    rows, most = [], max(_LEAST, *(abs(box.direct) for box in boxes.values()))
    for name, box in boxes.items():
        (x, y), size = page.middles[name], page.sizes[name]
        rows.append(
            {
                "name": name,
                "words": ", ".join(filter(None, (box.beside, box.below))),
                "cost": box.cost,
                "reads": ", ".join(drawn.filter(reader=name)["source"].unique(maintain_order=True)),
                "x": x - size.width / 2,
                "x2": x + size.width / 2,
                "y": y - size.height / 2,
                "y2": y + size.height / 2,
                "fill": _mixed(*_FILLS[box.direct > 0], abs(box.direct) / most),
            }
        )
    return values(pl.DataFrame(rows, schema_overrides={"cost": pl.Float64}))


def _texts(
    page: Page,
    boxes: Mapping[str, _Box],
    ports: Mapping[str, Mapping[str, float]],
    layer_names: Mapping[str, str],
) -> list[tuple[str, float, float, str, str]]:
    """Every text: in the boxes, at the points where heads read, and the rows' layers."""
    texts = []
    for name, box in boxes.items():
        (x, y), size = page.middles[name], page.sizes[name]
        left, right = x - size.width / 2 + _PADDING, x + size.width / 2 - _PADDING
        first = y - (_LINE_HEIGHT / 2 if box.below else 0.0)
        if box.beside or box.below:
            texts.append(("name", left, first, name, INK))
        else:
            texts.append(("alone", x, y, name, INK))
        if box.beside:
            texts.append(("beside", right, first, box.beside, _INKS[box.direct > 0]))
        if box.below:
            texts.append(("below", left, y + _NAME_HEIGHT / 2, box.below, FAINT))
        bottom = y + size.height / 2 + 7
        texts += [("port", x + at + 6, bottom, port, FAINT) for port, at in ports.get(name, {}).items() if port]
        if name in layer_names:
            texts.append(("layer", -_LABELS, y, layer_names[name], FAINT))
    return texts


def _mixed(first: str, second: str, share: float) -> str:
    """The colour at a share of the way from one colour to another."""
    ends = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (first, second)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def _titles(search: Mapping[str, Any], edges: pl.DataFrame, drawn: pl.DataFrame, said: Sequence[str]) -> list[str]:
    """The title and the lines of the subtitle."""
    quantity = QUANTITIES[search["metric"]]
    count = search["nodes"]
    components = "1 component keeps" if count == 1 else f"{count} components keep"
    lines = ["Upwards from the input to the logits; what is not in the circuit is ablated (" + search["method"] + ")."]
    if drawn.height == 0:
        lines[0] += " Its edges, all of those among its components, are not drawn: they were not searched."
    else:
        which = "" if drawn.height == edges.height else f" Drawn: {drawn.height} of {edges.height}, the costliest."
        lines.append(f"Lines: edges, thicker the more faithfulness the circuit loses without them.{which}")
    if any(said):
        lines.append(
            f"Blue raises and red lowers the {quantity.short}: the share of it that a component writes itself."
        )
    return [f"The circuit: {components} {search['faithfulness']:.2f} of the {quantity.short}", *lines]
