"""Successor heads: every head's score, the best head's words x words tables, and its eigenvalues."""

import math
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.axes import name_of
from vitro.figures.layers import HEAD_NAME, layer_by_head
from vitro.figures.look import BLUE, GRAY, INK, OWN_COLORS, RULE, dress, panel_title, values
from vitro.figures.scales import amount_color, change_color, reach
from vitro.figures.spoken import listed, strongest
from vitro.figures.tiles import Tiles

_MARKED_CELL = 6.0
"""In smaller cells a box or a dot would hide the colour."""
_SIDE = 220


def successor_scores(heads: pl.DataFrame) -> alt.FacetChart:
    """Heatmaps of the table `heads`: the mean successor score of every head, with and without the norms."""
    best = heads.filter(norms="with").row(0, named=True)
    grid = layer_by_head(heads, panels=heads["norms"].n_unique())
    tooltip = [
        alt.Tooltip("name:N", title="head"),
        alt.Tooltip("norms:N", title="norms"),
        alt.Tooltip("mean_score:Q", title="mean score", format=".4g"),
    ]
    outlined = f"datum.layer === {best['layer']} && datum.head === {best['head']}"
    panels = (
        grid.heatmap(amount_color(1.0, "Mean successor score", "mean_score"), outlined, tooltip)
        .facet(
            column=alt.Column(
                "norms:N", sort=["with", "without"], title=None, header=alt.Header(labelExpr="datum.value + ' norms'")
            ),
            data=values(heads),
            spacing=grid.GAP,
        )
        .transform_calculate(name=HEAD_NAME)
    )
    return dress(
        panels,
        "Which heads know what comes next",
        "The share of words whose successor leads their set's words in unembed(M(LN1(embed + m0))), mean over sets.",
        f"The best head with the norms, a{best['layer']}.h{best['head']}, is outlined.",
        gist="With the norms: "
        + strongest(heads.filter(norms="with"), pl.format("a{}.h{}", "layer", "head"), pl.col("mean_score"), ".3g")
        + ".",
    )


def successor_words(words: pl.DataFrame, head: str) -> alt.ConcatChart:
    """A words x words heatmap for each set: the logits of all words (across) given each word (down), with the norms."""
    panels, counts = [], []
    for (name,), part in words.group_by("set", maintain_order=True):
        labels = part["word"].unique(maintain_order=True).to_list()
        tiles = Tiles(rows=labels, columns=labels)
        marked = tiles.cell >= _MARKED_CELL
        place = {word: number for number, word in enumerate(labels)}
        rows = part.select(
            pl.col("word").replace_strict(place).alias("row"),
            pl.col("candidate").replace_strict(place).alias("column"),
            "centred",
            "successor",
            "top",
        )
        pairs, right = rows["successor"].sum(), (rows["successor"] & rows["top"]).sum()
        counts.append(f"{right} of {pairs} {name}")
        limit = reach(rows["centred"]).limit
        cell = (
            alt.Chart()
            .encode(
                x=tiles.x("column", "said"),
                y=tiles.y("row", "given", 0),
                tooltip=[
                    alt.Tooltip("given:N"),
                    alt.Tooltip("said:N"),
                    alt.Tooltip("centred:Q", title="logit minus its row's mean (nats)", format="+.4g"),
                ],
            )
            .transform_calculate(given=name_of("datum.row", labels), said=name_of("datum.column", labels))
        )
        painted = cell.mark_rect(stroke="white", strokeWidth=1 if marked else 0).encode(
            color=change_color(limit, "Logit minus its row's mean (nats)", "centred")
        )
        layers: list[Any] = [painted]
        if marked:
            boxed = cell.transform_filter("datum.successor").mark_rect(fill=None, stroke=INK, strokeWidth=1.4)
            dotted = cell.transform_filter("datum.top").mark_point(
                shape="circle", size=24, fill="white", stroke=INK, strokeWidth=1, opacity=1
            )
            layers += [boxed, dotted]
        panels.append(
            alt.LayerChart(
                layer=layers,
                data=values(rows),
                width=tiles.width,
                height=tiles.height,
                title=panel_title(f"{name}: {right} of {pairs} right"),
            )
        )
    chart = alt.ConcatChart(concat=panels, columns=2, spacing=40, resolve=OWN_COLORS)
    return dress(
        chart,
        f"What {head} says of every word",
        "Logits of the set's words in unembed(M(LN1(embed + m0))), minus each row's mean.",
        "Box: the successor; dot: the highest. Colour scales differ between sets.",
        gist=f"Right: {listed(counts)}.",
    )


def eigenvalue_figure(eigenvalues: pl.DataFrame) -> alt.ConcatChart:
    """Eigenvalues in the complex plane, a panel per cyclic set, with the directions of the n-th roots of 1.

    Each head's eigenvalues are divided by their root mean square modulus, so that heads that write much and little can
    be compared: those of a rotation of any size lie on one circle.
    """
    heads = ["best head", "random heads"]
    is_best = f"datum.of === '{heads[0]}'"
    # The best head's dots come last, so they lie on top.
    dots = eigenvalues.sort("role", descending=True, maintain_order=True).with_columns(
        pl.col("real", "imag") / (pl.col("modulus") ** 2).mean().sqrt().clip(1e-300).over("set", "layer", "head"),
        name=pl.format("a{}.h{}", "layer", "head"),
        of=pl.col("role").replace_strict({"best": heads[0], "random": heads[1]}),
    )
    panels = []
    for name in eigenvalues["set"].unique(maintain_order=True):
        part = dots.filter(set=name)
        n = int(part["n"][0])
        edge = 1.08 * max(1.0, float((part["real"] ** 2 + part["imag"] ** 2).sqrt().to_numpy().max()))
        spokes = _around(edge, n).with_columns(x2=0.0, y2=0.0)
        circle = _around(1.0, 120, closed=True)
        scale = alt.Scale(domain=[-edge, edge], nice=False)
        x = alt.X("x:Q", scale=scale, title="real part", axis=alt.Axis(grid=False, tickCount=5))
        y = alt.Y("y:Q", scale=scale, title="imaginary part", axis=alt.Axis(grid=False, tickCount=5))
        rays = alt.Chart(values(spokes)).mark_rule(color=RULE).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
        round_ = alt.Chart(values(circle)).mark_line(color=GRAY, strokeDash=[4, 3]).encode(x=x, y=y, order="order:Q")
        points = (
            alt.Chart(values(part.select("name", "of", "modulus", "steps", x="real", y="imag")))
            .mark_point(filled=True)
            .encode(
                x=x,
                y=y,
                color=alt.Color("of:N", title=None, scale=alt.Scale(domain=heads, range=[BLUE, GRAY])),
                opacity=alt.when(is_best).then(alt.value(1)).otherwise(alt.value(0.45)),
                shape=alt.Shape("of:N", title=None, scale=alt.Scale(domain=heads, range=["circle", "triangle-up"])),
                size=alt.when(is_best).then(alt.value(46)).otherwise(alt.value(22)),
                tooltip=[
                    alt.Tooltip("name:N", title="head"),
                    alt.Tooltip("modulus:Q", format=".4g"),
                    alt.Tooltip("steps:Q", title=f"angle, in steps of 2π/{n}", format="+.3g"),
                ],
            )
        )
        panels.append(
            alt.LayerChart(
                layer=[rays, round_, points], width=_SIDE, height=_SIDE, title=panel_title(f"{name} (n = {n})")
            )
        )
    return dress(
        alt.ConcatChart(concat=panels, columns=3, spacing=30),
        "Does M turn the cycle?",
        "Eigenvalues of M restricted to the span of each cyclic set's centred inputs, over their head's root mean",
        "square modulus (dashed). Rays: the directions of the n-th roots of 1. A rotation by one step has eigenvalues",
        "on every ray but the one at 0, all on the circle; a turn of mode k's plane alone has two, k rays up and down.",
        gist="Largest of the best head, before they are divided: "
        + strongest(
            eigenvalues.filter(role="best"),
            pl.format("{} at {} steps", "set", pl.col("steps").round(2)),
            pl.col("modulus"),
            ".3g",
        )
        + ".",
    )


def _around(radius: float, n: int, *, closed: bool = False) -> pl.DataFrame:
    """n points on a circle around 0, the first on the real axis; closed: the first is repeated at the end."""
    angles = [math.tau * step / n for step in range(n + closed)]
    return pl.DataFrame(
        {
            "order": range(len(angles)),
            "x": [radius * math.cos(angle) for angle in angles],
            "y": [radius * math.sin(angle) for angle in angles],
        }
    )
