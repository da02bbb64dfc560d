"""The circuit that a search found, in one drawing: from the input up to the logits."""

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from vitro.figures.look import dress
from vitro.figures.rising import Box, rising
from vitro.figures.spoken import listed, strongest
from vitro.tables.quantities import QUANTITIES

MOST_NODES, MOST_EDGES = 60, 40
"""Components that are drawn, and edges beside those that tie each of them to the others: of more, none can be read."""

_ROW = 780.0
"""Pixels that the boxes of a row may take together: the lines that pass them need the rest."""
_MARK = 16
"""Characters of a mark's name."""
_LEAST = 0.005
"""Smaller shares of the answer are not written into a box: they would read 0.00."""


def found_circuit(find: pl.DataFrame, nodes: pl.DataFrame, edges: pl.DataFrame) -> alt.LayerChart:
    """The tables `find`, `find_nodes` and `find_edges` as one drawing.

    A row of boxes holds components of neighbouring layers that do not read each other. Lines are edges, thicker the
    more faithfulness the circuit loses without them: of each component those in and out that it can spare least, and
    of the others the costliest, until there are MOST_EDGES. Edges that were not searched are not drawn. Of more than
    MOST_NODES components those are drawn that the circuit can spare least.
    """
    costliest = nodes.sort("cost", descending=True, maintain_order=True).head(MOST_NODES)
    components = costliest.sort("layer", "head", nulls_last=True).to_dicts()
    direct = max([_LEAST, *(abs(row["direct"] or 0.0) for row in components)])
    cost = max([1e-9, *(row["cost"] for row in components if not math.isnan(row["cost"]))])
    boxes = [Box("input"), *(_box(row, direct, cost) for row in components), Box("logits")]
    named = [box.name for box in boxes]
    drawn = _drawn(edges.filter(pl.col("source").is_in(named) & pl.col("reader").is_in(named)))
    figure = rising(boxes, drawn, _ROW, {row["node"]: row["layer"] for row in components})
    spared = strongest(costliest, pl.col("node"), pl.col("cost"), ".3g")
    gist = f"What it can spare least: {spared}. Components: {listed(row['node'] for row in components)}."
    said = any(box.beside for box in boxes)
    return dress(figure, *_titles(find.row(0, named=True), len(components), len(edges), len(drawn), said), gist=gist)


def _box(row: Mapping[str, Any], most_direct: float, most_cost: float) -> Box:
    """What a component does, in a few words. most_...: the largest of the values of all components."""
    direct, beside, below, costs, weight = row["direct"] or 0.0, "", "", "", 0.0
    if abs(direct) >= _LEAST:
        beside = f"{'raises' if direct > 0 else 'lowers'} {abs(direct):.2f}"
    if row["attends_to"] is not None:
        mark = row["attends_to"]
        mark = mark if len(mark) <= _MARK else f"{mark[: _MARK - 1]}…"
        below = f"attends to {mark} {row['attention']:.2f}"
    if not math.isnan(row["cost"]):
        costs, weight = f"the circuit loses {row['cost']:.3f} without it", max(row["cost"], 0.0) / most_cost
    hover = ", ".join(filter(None, (beside, below, costs)))
    return Box(row["node"], beside, below, direct / most_direct, weight, hover)


def _drawn(edges: pl.DataFrame) -> pl.DataFrame:
    """The edges that are drawn, the costliest first, as `rising` draws them."""
    searched = edges.filter(pl.col("cost").is_not_null() & pl.col("cost").is_not_nan()).sort(
        "cost", descending=True, maintain_order=True
    )
    first_out, first_in = (pl.int_range(pl.len()).over(side) == 0 for side in ("source", "reader"))
    kept = searched.filter(first_out | first_in | (pl.int_range(pl.len()) < MOST_EDGES))
    reader = pl.format("{}<{}>", "reader", "input").fill_null(pl.col("reader"))
    most = max([1e-9, *kept["cost"]])
    return kept.select(
        "source",
        "reader",
        pl.col("input").fill_null(""),
        weight=pl.col("cost").clip(0, None) / most,
        said=pl.format("{} ({})", reader, pl.col("cost").round(3)),
    )


def _titles(search: Mapping[str, Any], nodes: int, edges: int, drawn: int, said: bool) -> list[str]:
    """The title and the lines of the subtitle. nodes, drawn: components and edges that are drawn, of `edges` edges.

    said: whether any box says what its component does to the answer.
    """
    quantity, count = QUANTITIES[search["metric"]], search["nodes"]
    components = "1 component keeps" if count == 1 else f"{count} components keep"
    lines = [f"Upwards from the input to the logits; what is not in the circuit is ablated ({search['method']})."]
    if nodes < count:
        lines[0] += f" Drawn: the {nodes} components that it can spare least."
    if drawn == 0:
        lines.append("Rims: thicker the more faithfulness the circuit loses without the component.")
        lines.append("Its edges are not drawn: they were not searched, and are all of those among its components.")
    else:
        which = "" if drawn == edges else f" Drawn: {drawn} of {edges} edges, the costliest."
        lines.append(f"Lines and rims: thicker the more faithfulness the circuit loses without them.{which}")
    if said:
        lines.append(
            f"Blue raises and red lowers the {quantity.short}: the share of it that a component writes itself."
        )
    return [f"The circuit: {components} {search['faithfulness']:.2f} of the {quantity.short}", *lines]
