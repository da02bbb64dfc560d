"""What a curve is taken of, out of files: scores of edges, or circuits of growing size."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitro.circuits import Graph, Mask, read_mib
from vitro.discovery.curve import SIZES, CurveError, Nested
from vitro.models import Model


def read_ranking(path: Path, model: Model) -> Float[np.ndarray, " edge"] | Nested:
    """A file's scores of the edges; of a folder, as MIB takes it, the scores of its one file or its nine circuits.

    CircuitError, in one line, for a file that cannot be read, is of another model, or lacks the score of an edge;
    CurveError for circuits that are too many, too few, or too large.
    """
    graph, d_model = Graph.of(model), model.shape.d_model
    # Not by pathlib, which fails at a name that no disk can hold: that is for the reader of files to say.
    is_folder = os.path.isdir(path)
    paths = sorted(file for file in path.iterdir() if file.suffix in (".json", ".pt")) if is_folder else [path]
    files = [read_mib(file, graph, d_model) for file in paths]
    if len(files) == 1:
        return files[0].ranking()
    try:
        return given(graph, [file.mask for file in files])
    except CurveError as error:
        raise CurveError(f"{path}: {error}") from None


def given(graph: Graph, masks: Sequence[Mask]) -> Nested:
    """Circuits as MIB takes them: for each size up to a half of the edges one of no more; the model is the last.

    A circuit without edges, or with all, may be among them and adds nothing. CurveError where they do not fit.

    >>> graph = Graph.of(model)
    >>> circuits = [graph.top(np.arange(len(graph)), int(size * len(graph))) for size in SIZES]
    >>> given(graph, circuits).masks.sum(1).tolist()
    [0, 0, 1, 2, 5, 13, 26, 52, 131, 262]
    """
    *sizes, _ = SIZES
    shares = ", ".join(f"{100 * size:g}" for size in sizes)
    ordered = sorted(masks, key=lambda mask: int(mask.sum()))
    if len(ordered) > len(sizes) and ordered[-1].all():
        ordered = ordered[:-1]
    if len(ordered) > len(sizes) and not ordered[0].any():
        ordered = ordered[1:]
    if len(ordered) != len(sizes):
        raise CurveError(f"there are {len(masks)} circuits; what works: {len(sizes)}, of up to {shares} % of the edges")
    for size, mask in zip(sizes, ordered, strict=True):
        if mask.sum() > int(size * len(graph)):
            raise CurveError(
                f"a circuit has {mask.sum()} edges where at most {100 * size:g} % of {len(graph)} are due; what works: "
                f"circuits of up to {shares} % of the edges"
            )
    return Nested(SIZES, np.stack([*ordered, np.ones(len(graph), dtype=bool)]))
