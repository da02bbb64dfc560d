"""Circuits of a search beside those of ranked edges: at each size, which is more faithful."""

from typing import Any

import numpy as np
import polars as pl

from vitro.circuits import Graph, from_text
from vitro.discovery.curve import RANKINGS, SIZES, Nested, faithfulness
from vitro.discovery.replay import on_the_way
from vitro.figures import NO_SEARCH
from vitro.tables import FEWEST, FLOOR, RARE, Tables, resampled_means
from vitro.tables.quantities import QUANTITIES

CIRCUIT, STEPS = "find", "search"
"""What the circuits of a search are called in table `curve`: that which it ended with, and those on its way."""
OF_SEARCH = pl.col("by").is_in([CIRCUIT, STEPS]) & pl.col("ranking").is_null()
"""The rows of table `curve` that are circuits of a search."""
OF_CURVE = ~OF_SEARCH & pl.col("size").is_in(SIZES)
"""The rows of table `curve` that are at MIB's sizes; the others are at those of a search's circuits."""


def searched(graph: Graph, tables: Tables) -> dict[str, Nested]:
    """The circuits of a search by their names, from tables `find` and `search`; none where it came to none."""
    circuit = graph.mask(from_text(tables["find"]["circuit"].item()).edges)
    way = on_the_way(graph, tables["search"])
    named = {STEPS: way[way.sum(1) != circuit.sum()], CIRCUIT: circuit[None]}
    shares = {name: tuple((masks.sum(1) / len(graph)).tolist()) for name, masks in named.items()}
    return {name: Nested(shares[name], masks) for name, masks in named.items() if masks.any()}


def other_numbers(circuits: dict[str, Nested]) -> list[int]:
    """The numbers of edges that searched circuits have, without those whose share is among MIB's sizes."""
    numbers = {
        int(n) for nested in circuits.values() for size, n in zip(nested.sizes, nested.masks.sum(1), strict=True)
        if size not in SIZES
    }  # fmt: skip
    return sorted(numbers)


def comparison(curve: pl.DataFrame) -> pl.DataFrame:
    """Each circuit of a search, and the ranking that is most faithful with as many edges: whose f is closest to 1.

    curve: table `curve`. Columns: by, n, size, f; of the ranking score, ranking, selection, ranked_f; rankings, how
    many were run; closer, whether the search's circuit is more faithful; beyond, whether whichever is so stays so in
    95 % of bootstrap samples of the prompts. No rows where nothing was searched.
    """
    rows: list[dict[str, Any]] = []
    for (by, n, size), circuit in curve.filter(OF_SEARCH).group_by("by", "n", "size", maintain_order=True):
        rivals = curve.filter(pl.col("ranking").is_in(RANKINGS), size=size)
        names = rivals.select("by", "ranking", "selection").unique(maintain_order=True).rows()
        values = [circuit, *(rivals.filter(by=rival, ranking=way, selection=how) for rival, way, how in names)]
        measured = np.array([rows["value"] for rows in values] + [circuit["model"], circuit["empty"]], dtype=float)
        f, drawn = _f(measured.mean(1)), _f(resampled_means(measured))
        away, drawn_away = np.abs(1 - f), np.abs(1 - drawn)
        best = 1 + int(away[1:].argmin())
        closer = bool(away[0] + FLOOR < away[best])
        first = 0 if closer else best
        others = np.delete(drawn_away, first, axis=0) if closer else drawn_away[:1]
        stays = (drawn_away[first] + FLOOR < others).all(0).mean() >= 1 - RARE
        rows.append(
            {
                "by": by,
                "n": n,
                "size": size,
                "f": f[0],
                **dict(zip(("score", "ranking", "selection"), names[best - 1], strict=True)),
                "ranked_f": f[best],
                "rankings": len(names),
                "closer": closer,
                "beyond": bool(stays) and measured.shape[1] >= FEWEST,
            }
        )
    return pl.DataFrame(rows).sort("n", descending=True) if rows else NO_SEARCH


def _f(means: np.ndarray) -> np.ndarray:
    """f of circuits, of which the last two are the model and the empty one."""
    *of_circuits, model, empty = means
    # A sample in which model and empty circuit do the same has no f.
    with np.errstate(divide="ignore", invalid="ignore"):
        return faithfulness(np.array(of_circuits), model, empty)


def said(tables: Tables) -> str:
    """Who is more faithful at the size of the circuit that the search ended with, in a sentence; empty without one."""
    compared = comparison(tables["curve"])
    if compared.is_empty():
        return ""
    row = compared.row(by_predicate=pl.col("by") == CIRCUIT, named=True)
    search, areas = tables["find"].row(0, named=True), tables["curve_areas"].row(0, named=True)
    other = "" if search["metric"] == areas["metric"] else f", searched for the {QUANTITIES[search['metric']].short},"
    doubt = "" if row["beyond"] else ", not beyond the spread of the prompts"
    closer, share = compared["closer"].sum(), f"{100 * row['size']:.2g}"
    return (
        f"With {row['n']} edges ({share} %) the circuit of the search{other} has f {row['f']:.2f}, and of "
        f"{row['rankings']} rankings the closest to 1 has {row['ranked_f']:.2f} ({row['score']}, {row['ranking']}, "
        f"{row['selection']}){doubt}. Of {len(compared)} circuits of the search {closer} "
        f"{'is' if closer == 1 else 'are'} closer to 1 than that of any ranking with as many edges."
    )
