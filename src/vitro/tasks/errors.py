"""What this room raises."""

from vitro.errors import VitroError


class TaskError(VitroError):
    """A task that cannot be asked: its own text is wrong, or a tokenizer does not cut it as it must be."""


class RowError(TaskError):
    """A row of a pair task that does not fit, where others may: such rows can be left out."""
