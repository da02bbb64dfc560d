"""How a command ends, beside 0 (done), 1 (some claims differ) and 2 (refused)."""

INTERRUPTED = 130
"""Ctrl-C, as a shell gives it."""
UNREAD = 141
"""Nobody reads stdout any more (`vitro ... | head -1`), as a shell gives it."""
