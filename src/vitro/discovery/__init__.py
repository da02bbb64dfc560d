"""Which circuit does it: scores of edges, circuits chosen by them, the ladder. Knows circuits and metrics."""

from vitro.discovery.case import Case
from vitro.discovery.curve import (
    RANKINGS,
    SELECTIONS,
    SIZES,
    Curve,
    CurveError,
    Nested,
    Ranking,
    Selection,
    run_curves,
    select,
)
from vitro.discovery.curve_files import read_ranking
from vitro.discovery.ladder import Ladder, Rung, ladder
from vitro.discovery.scores import score_edges, score_nodes

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "SIZES",
    "Case",
    "Curve",
    "CurveError",
    "Ladder",
    "Nested",
    "Ranking",
    "Rung",
    "Selection",
    "ladder",
    "read_ranking",
    "run_curves",
    "score_edges",
    "score_nodes",
    "select",
]
