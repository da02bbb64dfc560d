"""The errors that tasks raise."""

from vitro.errors import VitroError


class TaskError(VitroError):
    """A task that cannot be asked: its text is wrong, or a tokenizer does not cut it as needed."""


class RowError(TaskError):
    """A row of a pair task that does not fit; other rows may, so it can be left out."""
