"""Packages that Vitro does without until a file needs them."""

import importlib.metadata

from vitro.models.errors import ModelError


def need(name: str, file: str, *packages: str) -> None:
    """Raises ModelError where packages that a file needs are not installed. name: the model's, as the user typed it."""
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    if missing := [package for package in packages if package not in installed]:
        raise ModelError(
            f"model {name!r}: reading {file} needs packages that are not installed: pip install " + " ".join(missing)
        )
