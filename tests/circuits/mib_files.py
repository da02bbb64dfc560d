"""Files of EAP-IG, written edge by edge as its own code does (`Graph.to_json` and `Graph.to_pt`)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitro.circuits import Graph

WIDTH = 32


def tensors(
    graph: Graph,
    mask: Bool[np.ndarray, " edge"],
    scores: Float[np.ndarray, " edge"],
    node_scores: Tensor | None = None,
) -> dict[str, Any]:
    """What EAP-IG saves as .pt: queries, keys and values of a layer's heads in blocks, then its MLP."""
    rows = [str(node) for node in graph.nodes][:-1]
    columns = []
    for layer in range(graph.n_layers):
        for letter in "qkv":
            columns += [f"a{layer}.h{head}<{letter}>" for head in range(graph.n_heads)]
        columns.append(f"m{layer}")
    columns.append("logits")
    edges_scores = torch.zeros(len(rows), len(columns))
    in_graph = torch.zeros(len(rows), len(columns), dtype=torch.bool)
    nodes = torch.zeros(len(rows), dtype=torch.bool)
    for edge, chosen, score in zip(graph.edges, mask, scores, strict=True):
        source, _, reader = str(edge).partition("->")
        at = rows.index(source), columns.index(reader)
        edges_scores[at], in_graph[at] = float(score), bool(chosen)
        nodes[at[0]] |= bool(chosen)
    content: dict[str, Any] = {
        "cfg": {
            "n_layers": graph.n_layers,
            "n_heads": graph.n_heads,
            "parallel_attn_mlp": graph.parallel,
            "d_model": WIDTH,
        },
        "src_nodes": rows,
        "dst_nodes": columns,
        "edges_scores": edges_scores,
        "edges_in_graph": in_graph,
        "nodes_in_graph": nodes,
    }
    return content if node_scores is None else {**content, "nodes_scores": node_scores}


def saved(path: Path, content: dict[str, Any]) -> Path:
    """The content as a .pt file."""
    torch.save(content, path)
    return path
