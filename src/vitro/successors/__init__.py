"""Successor heads: which heads, given a word of an ordered set, say the next one, and whether they turn a circle."""

from vitro.successors.modes import Mode, modes
from vitro.successors.rotation import Turn, turn
from vitro.successors.sets import SETS, OrderedSet
from vitro.successors.successor import Successors, page, successor

__all__ = ["SETS", "Mode", "OrderedSet", "Successors", "Turn", "modes", "page", "successor", "turn"]
