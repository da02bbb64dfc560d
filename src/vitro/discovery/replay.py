"""A search replayed: the circuit after each of its steps, from what table `search` says was dropped and taken back."""

import numpy as np
import polars as pl
from jaxtyping import Bool

from vitro.circuits import Graph
from vitro.discovery.curve import SIZES


def replayed(graph: Graph, search: pl.DataFrame) -> Bool[np.ndarray, "step edge"]:
    """The circuit after each step, pruned; before the first it was the whole model.

    search: table `search`. While nodes are searched, a circuit has all edges among them; from the first edge on, what
    is dropped takes only edges that are left.

    >>> search = pl.DataFrame({"step": [0], "level": ["node"], "action": ["dropped"], "component": ["m2"]})
    >>> replayed(Graph.of(model), search).sum(1).tolist()
    [246]
    """
    node_of = {str(node): node for node in graph.nodes}
    number_of = {str(edge): number for number, edge in enumerate(graph.edges)}
    left, mask, masks = set(graph.nodes), np.ones(len(graph), dtype=bool), []
    for _, rows in search.group_by("step", maintain_order=True):
        level, action, names = rows["level"][0], rows["action"][0], rows["component"]
        if level == "edge":
            mask[[number_of[name] for name in names]] = action == "added"
        else:
            nodes = {node_of[name] for name in names}
            left = left | nodes if action == "added" else left - nodes
            mask = graph.among(left) if action == "added" else mask & graph.among(left)
        masks.append(mask.copy())
    return graph.pruned(np.array(masks, dtype=bool).reshape(-1, len(graph)))


def on_the_way(graph: Graph, search: pl.DataFrame) -> Bool[np.ndarray, "circuit edge"]:
    """Some of a search's circuits, the largest first: the nearest to each of MIB's sizes, and the last of nodes alone.

    search: table `search`. Near is meant by the ratio of their edges. Of circuits of as many edges, the latest.

    >>> search = pl.DataFrame({"step": [0], "level": ["node"], "action": ["dropped"], "component": ["m2"]})
    >>> on_the_way(Graph.of(model), search).sum(1).tolist()
    [246]
    """
    masks = replayed(graph, search)
    latest = {int(number): step for step, number in enumerate(masks.sum(1)) if number}
    # Below one edge there is no circuit.
    sizes = [edges for size in SIZES[:-1] if (edges := size * len(graph)) >= 1]
    chosen = {min(latest, key=lambda number: abs(np.log(number / edges))) for edges in sizes if latest}
    for first in search.filter(level="edge")["step"].to_list()[:1]:
        chosen |= {int(masks[first - 1].sum())} if first else set()
    return masks[[latest[number] for number in sorted(chosen, reverse=True)]]
