"""The post's checkable statements, each a small function of tables."""

from vitro.claims import circuits, heads, layers
from vitro.claims.claim import Claim, Finding, Verdict
from vitro.claims.null import by_chance

CLAIMS = (*heads.CLAIMS, *layers.CLAIMS, *circuits.CLAIMS)
"""All claims, in the post's order."""

__all__ = ["CLAIMS", "Claim", "Finding", "Verdict", "by_chance"]
