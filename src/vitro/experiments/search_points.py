"""Circuits of a search beside those of ranked edges: at each of their sizes, which is more faithful."""

from collections.abc import Mapping
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
    masks = np.concatenate([nested.masks for nested in circuits.values()]) if circuits else np.empty((0, 0))
    return sorted({n for n in masks.sum(1).tolist() if n / masks.shape[1] not in SIZES})


def comparison(curve: pl.DataFrame) -> pl.DataFrame:
    """Each circuit of a search, and beside it the best circuit of as many edges by each ranking.

    By signed score the best has the highest f, as CPR takes it, and by absolute score the f closest to 1, as CMD does.
    curve: table `curve`. Columns: by, n, size, f; ranking, score, selection, ranked_f; rivals, of how many it is the
    best; better, whether the search's circuit is better still; beyond, whether the better of the two stays so in 95 %
    of bootstrap samples of the prompts. No rows where nothing was searched.
    """
    rows: list[dict[str, Any]] = []
    for (by, n, size), circuit in curve.filter(OF_SEARCH).group_by("by", "n", "size", maintain_order=True):
        for ranking in RANKINGS:
            rivals = curve.filter(size=size, ranking=ranking).partition_by("by", "selection", maintain_order=True)
            measured = np.array(
                [*(rows["value"] for rows in (circuit, *rivals)), circuit["model"], circuit["empty"]], dtype=float
            )
            f, drawn = _f(measured.mean(1)), _f(resampled_means(measured))
            worth, of_draws = (values if ranking == "signed" else -np.abs(1 - values) for values in (f, drawn))
            best = 1 + int(worth[1:].argmax())
            # Differences below FLOOR are rounding.
            better, named = bool(worth[0] > worth[best] + FLOOR), rivals[best - 1].row(0, named=True)
            stays = (of_draws[:1] > of_draws[1:] + FLOOR) if better else (of_draws[[best]] > of_draws[:1] + FLOOR)
            rows.append(
                {
                    **{"by": by, "n": n, "size": size, "f": f[0]},
                    **{"ranking": ranking, "score": named["by"], "selection": named["selection"]},
                    **{"ranked_f": f[best], "rivals": len(rivals), "better": better},
                    "beyond": measured.shape[1] >= FEWEST and bool(stays.all(0).mean() >= 1 - RARE),
                }
            )
    return pl.DataFrame(rows).sort("n", descending=True, maintain_order=True) if rows else NO_SEARCH


def _f(means: np.ndarray) -> np.ndarray:
    """f of circuits, of which the last two are the model and the empty one."""
    *of_circuits, model, empty = means
    # A sample in which model and empty circuit do the same has no f.
    with np.errstate(divide="ignore", invalid="ignore"):
        return faithfulness(np.array(of_circuits), model, empty)


def said(tables: Tables) -> str:
    """How faithful the circuit that the search ended with is, beside those of as many edges; empty without one."""
    compared = comparison(tables["curve"])
    if compared.is_empty():
        return ""
    last = compared.filter(by=CIRCUIT).rows(named=True)
    search, areas = tables["find"].row(0, named=True), tables["curve_areas"].row(0, named=True)
    other = "" if search["metric"] == areas["metric"] else f", searched for the {QUANTITIES[search['metric']].short},"
    beside = " and ".join(_best_said(row) for row in last)
    higher, closer = (int(compared.filter(ranking=ranking)["better"].sum()) for ranking in RANKINGS)
    return (
        f"With {last[0]['n']} edges ({100 * last[0]['size']:.3g} %) the circuit of the search{other} has f "
        f"{last[0]['f']:.2f}, {beside}. The search's circuits are higher than any by signed score at {higher} of "
        f"{compared['n'].n_unique()} sizes, and closer to 1 than any by absolute score at {closer}."
    )


def _best_said(row: Mapping[str, Any]) -> str:
    what = "the highest" if row["ranking"] == "signed" else "the closest to 1"
    doubt = "" if row["beyond"] else ", not beyond the spread of the prompts"
    # What rounds to -0.00 is 0.
    f = round(row["ranked_f"], 2) + 0.0
    return f"{what} by {row['ranking']} score {f:.2f} ({row['score']}, {row['selection']}{doubt})"
