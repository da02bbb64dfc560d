"""Which circuit does it: scores of edges, and circuits chosen by them. Knows circuits and metrics."""

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
from vitro.discovery.scores import score_edges

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "SIZES",
    "Case",
    "Curve",
    "CurveError",
    "Nested",
    "Ranking",
    "Selection",
    "read_ranking",
    "run_curves",
    "score_edges",
    "select",
]
