"""Which circuit does it: scores of edges, and circuits chosen by them. Knows circuits and metrics."""

from vitro.discovery.case import Case
from vitro.discovery.scores import score_edges, score_nodes

__all__ = ["Case", "score_edges", "score_nodes"]
