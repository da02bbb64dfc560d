"""Small heatmaps side by side, with tokens below and on the left."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from vitro.figures.axes import across, columns_of, down, longest, overhang
from vitro.figures.look import WIDTH

_LARGEST_SIDE = 260.0
_LARGEST_CELL = 27.0
_TITLE = 32
"""Pixels of an axis title and of what is bare around it."""


@dataclass(frozen=True)
class Tiles:
    """Heatmaps of one shape with named rows and columns, as many side by side as a page holds."""

    rows: Sequence[str]
    columns: Sequence[str]

    GAP = 24
    """Pixels between two heatmaps."""

    @property
    def cell(self) -> float:
        """The side of a cell in pixels."""
        return min(_LARGEST_CELL, _LARGEST_SIDE / max(len(self.rows), len(self.columns)))

    @property
    def width(self) -> int:
        """The width of a heatmap in pixels."""
        return round(self.cell * len(self.columns))

    @property
    def height(self) -> int:
        """The height of a heatmap in pixels."""
        return round(self.cell * len(self.rows))

    @property
    def abreast(self) -> int:
        """How many heatmaps stand side by side."""
        between = self.GAP + overhang(self.columns, self.cell)
        names = longest(self.rows) + _TITLE
        return max(1, int((WIDTH - names + between) // (self.width + between)))

    def x(self, field: str, title: str) -> alt.X:
        """The columns: `field` is their number, `title` says what they are."""
        names = across(self.columns, self.cell, title=title)
        return alt.X(f"{field}:O", axis=names, scale=columns_of(len(self.columns)))

    def y(self, field: str, title: str, number: int) -> alt.Y:
        """The rows of heatmap `number`. Only the leftmost heatmaps have labels, which leaves room for more."""
        names = down(self.rows, self.cell, title=title) if number % self.abreast == 0 else None
        return alt.Y(f"{field}:O", axis=names, scale=columns_of(len(self.rows)))

    def side_by_side(self, panels: list[alt.LayerChart]) -> alt.ConcatChart:
        """All the heatmaps."""
        return alt.ConcatChart(concat=panels, columns=self.abreast, spacing=self.GAP)
