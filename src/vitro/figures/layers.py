"""Layers and heads as axes: the columns of the MLPs, and the grid of the heads."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from vitro.figures.axes import columns_of
from vitro.figures.look import INK, WIDTH, size, ticks

MLP_NAME, HEAD_NAME = "'m' + datum.layer", "'a' + datum.layer + '.h' + datum.head"
"""Vega expressions for the names of the field: `m9`, `a9.h1`."""

_WIDEST_COLUMN = 75.0
_GAP = 22
_LARGEST_CELL = 26.0
_TALLEST_GRID = 440.0


@dataclass(frozen=True)
class Columns:
    """One column for each layer's MLP, of `column` pixels with its gap."""

    layers: int
    column: float

    @property
    def width(self) -> int:
        """Pixels from the first layer to the last."""
        return round(self.layers * self.column)

    @property
    def x(self) -> alt.X:
        """The axis on the field `layer`."""
        x = alt.X("layer:O", title="Layer of the MLP")
        return x.scale(domain=list(range(self.layers)), paddingInner=0.3).axis(
            values=ticks(self.layers, self.column), labelAngle=0, labelOverlap=False, ticks=False, domain=False
        )


def along_layers(table: pl.DataFrame) -> Columns:
    """The columns for the layers of a table, as wide as the page allows."""
    layers = size(table["layer"])
    return Columns(layers, min(_WIDEST_COLUMN, (WIDTH - 80) / layers))


@dataclass(frozen=True)
class Grid:
    """Layers down, heads across, one cell each of `cell_width` x `cell_height` pixels."""

    layers: int
    heads: int
    cell_width: float
    cell_height: float

    GAP = _GAP
    """Pixels between grids that stand side by side."""

    @property
    def width(self) -> int:
        """Pixels from the first head to the last."""
        return round(self.heads * self.cell_width)

    def heatmap(
        self, color: alt.Color, outlined: str, tooltip: list[alt.Tooltip], *, layers_named: bool = True
    ) -> alt.LayerChart:
        """The painted cells, outlined where the Vega expression `outlined` is true.

        Where grids stand side by side, only the first needs labels on its layers.
        """
        x = alt.X("head:O", title="Head", scale=columns_of(self.heads))
        y = alt.Y("layer:O", title="Layer", scale=columns_of(self.layers))
        across, down = ticks(self.heads, self.cell_width), ticks(self.layers, self.cell_height)
        cell = alt.Chart().encode(
            x=x.axis(values=across, labelAngle=0, labelOverlap=False, ticks=False, domain=False),
            y=y.axis(values=down, labelOverlap=False, ticks=False, domain=False) if layers_named else y.axis(None),
            tooltip=tooltip,
        )
        # Hairlines and outlines help the eye while the cells are large enough to spare a pixel.
        roomy = min(self.cell_width, self.cell_height) >= 9
        painted = cell.mark_rect(stroke="white", strokeWidth=1 if roomy else 0).encode(color=color)
        outlines = cell.mark_rect(fill=None, stroke=INK, strokeWidth=1.4 if roomy else 0.8)
        return alt.LayerChart(
            layer=[painted, outlines.transform_filter(outlined)],
            width=self.width,
            height=round(self.layers * self.cell_height),
        )


def layer_by_head(table: pl.DataFrame, panels: int) -> Grid:
    """The grid for the heads of a table, as large as a page with `panels` grids side by side allows."""
    layers, heads = size(table["layer"]), size(table["head"])
    width = ((WIDTH - 70) / panels - _GAP) / heads
    return Grid(layers, heads, min(_LARGEST_CELL, width), min(_LARGEST_CELL, _TALLEST_GRID / layers))
