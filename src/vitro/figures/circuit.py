"""A circuit as a picture: a box for each component, an arrow to each of its readers."""

import textwrap
from collections.abc import Container, Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.layered import Arrow, Page, Size, place
from vitro.figures.look import BLUE, FAINT, GRAY, INK, WASH, WIDTH, dress, values
from vitro.figures.spoken import listed

_NAME, _LINE = 13, 11
"""Font sizes of a box's name and of what stands below it."""

_NAME_HEIGHT, _LINE_HEIGHT, _PADDING = 17.0, 14.5, 8.0
_LETTER, _BOLD_LETTER = 5.7, 7.4
"""Pixels of an average character."""

_WRAP = 30
"""Characters of a line."""

_TIP = 8.0
_PORT_GAP = 17.0
"""Pixels between the ports of one box."""

_MARGIN = 4

_COLORS = {
    "head": ("#dcebf8", "#6f9fca"),
    "mlp": ("#e9e4f3", "#9480bf"),
    "bias": ("#ffffff", GRAY),
    "constant": ("#eef0f2", "#b4bcc4"),
}
"""The inside and the rim of boxes; of others `_PLAIN`."""

_PLAIN = (WASH, GRAY)
_LINE_COLOR, _CONSTANT_LINE_COLOR = "#6b7682", "#c3cad1"

_STYLES: dict[str, dict[str, Any]] = {
    "name": {"fontSize": _NAME, "fontWeight": 600},
    "note": {"fontSize": _LINE},
    "fixed": {"fontSize": _LINE, "fontStyle": "italic"},
    "port": {"fontSize": _LINE, "fontWeight": 600, "align": "left"},
}


def circuit_drawing(boxes: pl.DataFrame, arrows: pl.DataFrame, title: str, *subtitle: str) -> alt.LayerChart:
    """Boxes and arrows from left to right, the logits at the right (`vitro.circuits.boxes_and_arrows`).

    boxes: name, kind, note and fixed (lines, maybe none), constant, from top to bottom where nothing else decides.
    arrows: source, reader, input ("" where all inputs of a reader are the same sum). Components at a constant are grey.
    Arrows that enter a box at one point are added up; a point is named where queries, keys and values read different
    sums. Hovering over a box shows what it reads.
    """
    rows = boxes.to_dicts()
    grey = {row["name"] for row in rows if row["constant"]}
    ports = _ports(arrows)
    page = place(
        {row["name"]: _size(row, ports.get(row["name"], {})) for row in rows},
        [
            Arrow(source, reader, ports[reader][name])
            for source, reader, name in arrows.select("source", "reader", "input").iter_rows()
        ],
        _TIP,
    )
    scale = min(1.0, WIDTH / (page.width + 2 * _MARGIN))
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-_MARGIN, page.width + _MARGIN], nice=False, zero=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[page.height + _MARGIN, -_MARGIN], nice=False, zero=False))
    color = alt.Color("color:N", scale=None)
    lines = (
        alt.Chart(_curve_rows(page, grey))
        .mark_line(strokeWidth=1.6 * scale, strokeCap="round")
        .encode(x=x, y=y, detail="piece:N", order="point:Q", color=color)
    )
    tips = (
        alt.Chart(_tip_rows(page, grey))
        .mark_point(shape="triangle-right", filled=True, opacity=1, size=70 * scale**2)
        .encode(x=x, y=y, color=color)
    )
    rims = (
        alt.Chart(_box_rows(page, rows, arrows))
        .mark_rect(cornerRadius=6 * scale, strokeWidth=1.3 * scale)
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            fill=alt.Fill("fill:N", scale=None),
            stroke=alt.Stroke("stroke:N", scale=None),
            tooltip=[
                alt.Tooltip("name:N", title="component"),
                alt.Tooltip("words:N", title="what it is"),
                alt.Tooltip("reads:N", title="reads"),
            ],
        )
    )
    texts = _texts(page, rows, ports)
    written = [
        alt.Chart(values(texts.filter(style=style)))
        .mark_text(baseline="middle", **{**look, "fontSize": look["fontSize"] * scale})
        .encode(x=x, y=y, text="text:N", color=color)
        for style, look in _STYLES.items()
        if style in texts["style"]
    ]
    figure = alt.LayerChart(
        layer=[lines, tips, rims, *written],
        width=round((page.width + 2 * _MARGIN) * scale),
        height=round((page.height + 2 * _MARGIN) * scale),
    )
    fixed = " Grey: at a constant." if any(boxes["fixed"]) else ""
    note = f"Arrows that meet are added up; a box reads nothing else.{fixed}"
    reads = arrows.group_by("reader", maintain_order=True).agg(pl.col("source").unique(maintain_order=True))
    read = listed(f"{reader} reads {' and '.join(sources)}" for reader, sources in reads.iter_rows())
    return dress(figure, title, *subtitle, note, gist=f"What they read: {read}.")


def _ports(arrows: pl.DataFrame) -> dict[str, dict[str, float]]:
    """For every reader the names of its points of entry, and how far below its middle they are."""
    ports = {}
    for (reader,), rows in arrows.group_by("reader", maintain_order=True):
        names = rows["input"].unique(maintain_order=True).to_list()
        ports[str(reader)] = {name: (at - (len(names) - 1) / 2) * _PORT_GAP for at, name in enumerate(names)}
    return ports


def _lines(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines below a box's name, each with its style."""
    return [
        (style, line)
        for style in ("note", "fixed")
        for text in row[style].splitlines()
        for line in textwrap.wrap(text, _WRAP)
    ]


def _size(row: Mapping[str, Any], ports: Mapping[str, float]) -> Size:
    lines = _lines(row)
    width = max([len(row["name"]) * _BOLD_LETTER, *(len(line) * _LETTER for _, line in lines)])
    beside = 2 * max((len(name) * _LETTER for name in ports), default=0.0)
    height = _NAME_HEIGHT + _LINE_HEIGHT * len(lines)
    return Size(width + beside + 22, max(height, _PORT_GAP * len(ports) - _PADDING) + 2 * _PADDING)


def _curve_rows(page: Page, grey: Container[str]) -> alt.InlineData:
    rows = [
        (piece, point, *at, _line_color(arrows[0].source, grey))
        for piece, (arrows, points) in enumerate(page.curves)
        for point, at in enumerate(points)
    ]
    return values(pl.DataFrame(rows, schema=["piece", "point", "x", "y", "color"], orient="row"))


def _tip_rows(page: Page, grey: Container[str]) -> alt.InlineData:
    # Where arrows meet the last one lies on top: one from a live source.
    tips = sorted(page.tips, key=lambda tip: tip[0].source not in grey)
    rows = [(x - _TIP / 2, y, _line_color(arrow.source, grey)) for arrow, (x, y) in tips]
    return values(pl.DataFrame(rows, schema=["x", "y", "color"], orient="row"))


def _line_color(source: str, grey: Container[str]) -> str:
    return _CONSTANT_LINE_COLOR if source in grey else _LINE_COLOR


def _box_rows(page: Page, rows: Sequence[Mapping[str, Any]], arrows: pl.DataFrame) -> alt.InlineData:
    boxes = []
    for row in rows:
        name = row["name"]
        (x, y), size = page.middles[name], page.sizes[name]
        fill, stroke = _COLORS.get("constant" if row["constant"] else row["kind"], _PLAIN)
        boxes.append(
            {
                "name": name,
                "words": ", ".join((row["note"] + "\n" + row["fixed"]).split("\n")).strip(", "),
                "reads": ", ".join(arrows.filter(reader=name)["source"].unique(maintain_order=True)) or "nothing",
                "x": x - size.width / 2,
                "x2": x + size.width / 2,
                "y": y - size.height / 2,
                "y2": y + size.height / 2,
                "fill": fill,
                "stroke": stroke,
            }
        )
    return values(pl.DataFrame(boxes))


def _texts(page: Page, rows: Sequence[Mapping[str, Any]], ports: Mapping[str, Mapping[str, float]]) -> pl.DataFrame:
    """All texts: the boxes' names, the lines below them, and the points of entry inside the left side."""
    texts = []
    for row in rows:
        name = row["name"]
        (x, y), size, lines = page.middles[name], page.sizes[name], _lines(row)
        top = y - (_NAME_HEIGHT + _LINE_HEIGHT * len(lines)) / 2
        texts.append(("name", x, top + _NAME_HEIGHT / 2, name, GRAY if row["constant"] else INK))
        for at, (style, text) in enumerate(lines):
            color = GRAY if row["constant"] or style == "fixed" else BLUE if text.startswith("looks at") else FAINT
            texts.append((style, x, top + _NAME_HEIGHT + (at + 0.5) * _LINE_HEIGHT, text, color))
        left = x - size.width / 2 + 6
        texts += [("port", left, y + port, text, FAINT) for text, port in ports.get(name, {}).items() if text]
    return pl.DataFrame(texts, schema=["style", "x", "y", "text", "color"], orient="row")
