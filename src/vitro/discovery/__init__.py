"""Which circuit does it: scores of edges, and circuits chosen by them. Knows circuits and metrics."""

from vitro.discovery.case import Case
from vitro.discovery.chance import Chance, chance_of
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
from vitro.discovery.evidence import judged, of_task
from vitro.discovery.find import Finder, Found
from vitro.discovery.intervals import faithfulness_interval
from vitro.discovery.ladder import Ladder, ladder
from vitro.discovery.scores import score_edges, score_nodes
from vitro.discovery.search import Aim, Outcome, OutOfTimeError, Step, Worth, search
from vitro.discovery.trial import Ends, Measured, Trials
from vitro.discovery.verdict import Condition, Verdict, not_measured

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "SIZES",
    "Aim",
    "Case",
    "Chance",
    "Condition",
    "Curve",
    "CurveError",
    "Ends",
    "Finder",
    "Found",
    "Ladder",
    "Measured",
    "Nested",
    "OutOfTimeError",
    "Outcome",
    "Ranking",
    "Selection",
    "Step",
    "Trials",
    "Verdict",
    "Worth",
    "chance_of",
    "faithfulness_interval",
    "judged",
    "ladder",
    "not_measured",
    "of_task",
    "read_ranking",
    "run_curves",
    "score_edges",
    "score_nodes",
    "search",
    "select",
]
