"""What a screen reader hears of a figure, beyond what is written above it."""

from collections.abc import Mapping
from typing import Any


def gist(spec: Mapping[str, Any]) -> str:
    """The part of a figure's description that follows its title and subtitle, which come first."""
    spoken: str = spec["description"]
    written = [spec["title"]["text"], *spec["title"]["subtitle"]]
    assert all(line in spoken for line in written)
    return spoken[spoken.index(written[-1]) + len(written[-1]) :].strip(" .")
