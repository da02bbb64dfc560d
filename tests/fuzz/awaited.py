"""What is known to be wrong and not yet mended: draws leave it out. Where the set is empty, everything is drawn."""

from typing import Literal

Mend = Literal["pins", "shared nodes", "rope by length", "watched parts"]

AWAITED: frozenset[Mend] = frozenset({"pins", "shared nodes", "rope by length", "watched parts"})
"""pins: heads of one layer pinned to different places in one run, and prompts that end within others under a pin.
shared nodes: constants of their own for prompts that share a beginning. rope by length: dynamic and longrope. watched
parts: attention of prompts of unequal lengths, cut into parts by their memory."""
