"""Circuits run within the model."""

from typing import Any


def run_within(*args: Any, **options: Any) -> Any:
    """Not there yet."""
    raise NotImplementedError
