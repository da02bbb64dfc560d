"""Activations patched from the counterfactual, as the classic heat map."""

import altair as alt
import polars as pl

from vitro.figures.axes import labelled
from vitro.figures.look import WIDTH, dress, values
from vitro.figures.scales import change_color, largest
from vitro.figures.spoken import strongest
from vitro.figures.spread import prompt_count, spread
from vitro.tables.labels import Said, counted
from vitro.tables.quantities import QUANTITIES

_WIDEST_CELL, _ROW, _GAP = 60.0, 14, 24
_STRONGEST = 20
"""Heads that are drawn where heads are patched one by one."""


def patching_heatmaps(table: pl.DataFrame, said: Said) -> alt.FacetChart:
    """A panel for each site of table `patching` (with `place`): layers or heads down, places across, mean over prompts.

    Where heads are patched, those that move the metric most at any place.
    """
    quantity = QUANTITIES[said.metric]
    named = table.with_columns(
        pl.when(pl.col("head").is_null())
        .then(pl.col("layer").cast(pl.String))
        .otherwise(pl.format("a{}.h{}", "layer", "head"))
        .alias("row")
    )
    cells = (
        named.group_by("site", "row", "layer", "head", "place", maintain_order=True)
        .agg(*spread(said.change), pl.col("position").mean())
        .with_columns(pl.col("mean").abs().max().over("site", "row").alias("most"))
        .with_columns(pl.col("most").rank("dense", descending=True).over("site").alias("rank"))
        .filter(pl.col("head").is_null() | (pl.col("rank") <= _STRONGEST))
        .sort("position", "layer", "head")
    )
    places = table["place"].unique(maintain_order=True).to_list()
    rows = cells.sort("layer", "head")["row"].unique(maintain_order=True).to_list()
    sites = table["site"].unique(maintain_order=True).to_list()
    cell = min(_WIDEST_CELL, ((WIDTH - 60) / len(sites) - _GAP) / len(places))
    painted = (
        alt.Chart()
        .mark_rect(stroke="white")
        .encode(
            x=alt.X("place:N", sort=places, title="patched at").axis(
                values=labelled(places, cell), labelAngle=-45, ticks=False, domain=False
            ),
            y=alt.Y("row:N", sort=rows, title="layer").axis(ticks=False, domain=False),
            color=change_color(largest(cells["mean"]), f"Mean change ({quantity.unit})"),
            tooltip=[
                alt.Tooltip("site:N", title="site"),
                alt.Tooltip("row:N", title="layer or head"),
                alt.Tooltip("place:N", title="at"),
                alt.Tooltip("mean:Q", title="mean over prompts", format="+.4g"),
                alt.Tooltip("min:Q", title="lowest", format="+.4g"),
                alt.Tooltip("max:Q", title="highest", format="+.4g"),
            ],
        )
        .properties(width=round(cell * len(places)), height=_ROW * len(rows))
    )
    facets: alt.FacetChart = painted.facet(
        column=alt.Column("site:N", sort=sites, title=None, header=alt.Header(labelOrient="top")),
        data=values(cells.drop("most", "rank")),
        spacing=_GAP,
    )
    return dress(
        facets,
        f"Patched from the counterfactual: change of {quantity.words}",
        f"Patched minus clean, mean over {counted(prompt_count(table))}; {quantity.sense}.",
        gist=f"Strongest: {strongest(cells, pl.format('{} {} at {}', 'site', 'row', 'place'), pl.col('mean'))}.",
    )
