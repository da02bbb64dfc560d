"""The areas of MIB's curve under every ablation and metric."""

from typing import Any

import altair as alt
import polars as pl

from vitro.figures.edge_curves import score_colors
from vitro.figures.look import FAINT, INK, PALE, WIDTH, dress, panel_title, values
from vitro.figures.quantities import in_order
from vitro.figures.spoken import listed

_WIDEST, _ROW, _GAP = 190, 26, 24
_NAMES = 130
"""Pixels of the ablations' names."""
_AREAS = {
    "signed": ("cpr", "CPR, signed scores", 1.0, (-1.0, 4.0)),
    "absolute": ("cmd", "CMD, absolute scores", 0.0, (0.0, 2.0)),
}
"""Each ranking's area, the model's own, and between which values it is drawn: dots beyond stand at the end."""


def curve_choices(table: pl.DataFrame) -> alt.VConcatChart:
    """A row of panels for CPR and one for CMD, a panel for each metric, a line for each ablation, a dot for each score.

    table: `curve_choices`. The study's own choice has a gray ground, and a score that leads its line is ringed.
    """
    kinds = in_order(table["method"].unique())
    metrics = table["metric"].unique(maintain_order=True).to_list()
    scores = table["by"].unique(maintain_order=True).to_list()
    width = min(_WIDEST, (WIDTH - _NAMES) / len(metrics) - _GAP)
    rows = [
        alt.HConcatChart(
            hconcat=[
                _panel(table.filter(ranking=ranking), ranking, metric, kinds, scores, width, first=metric == metrics[0])
                for metric in metrics
            ],
            spacing=_GAP,
        )
        for ranking in _AREAS
    ]
    return dress(
        alt.VConcatChart(vconcat=rows, spacing=28),
        "MIB's areas under other ablations and metrics",
        "Rows: what absent edges carry; columns: the metric; gray: the study's own choice; dashed: the model.",
        "Ringed: the best score, also in 95 % of resamples of the prompts. Dots at the end of an axis may lie beyond.",
        gist="Best by the study's own choice: "
        + listed(
            f"{column.upper()} {best['by']} {best[column]:.3g}"
            for ranking, (column, _, target, _) in _AREAS.items()
            for best in _best(table.filter("own", ranking=ranking).drop_nulls(column), column, target)
        )
        + ".",
    )


def _best(own: pl.DataFrame, column: str, target: float) -> list[dict[str, Any]]:
    """The row with the best area, if there are any: the largest CPR (towards 1 and beyond), the CMD nearest to 0."""
    return own.sort(pl.col(column) if target == 0 else -pl.col(column)).head(1).to_dicts()


def _panel(
    table: pl.DataFrame, ranking: str, metric: str, kinds: list[str], scores: list[str], width: float, *, first: bool
) -> alt.LayerChart:
    column, title, target, (low, high) = _AREAS[ranking]
    drawn = table.drop_nulls(column).with_columns(pl.col(column).clip(low, high).alias("drawn"))
    ends = [min([0.0, *drawn["drawn"]]), max([1.0, *drawn["drawn"]])]
    y = alt.Y("method:N", title=title if first else None, scale=alt.Scale(domain=kinds)).axis(
        ticks=False, domain=False, labels=first, labelPadding=14
    )
    x = alt.X("drawn:Q", title=None, scale=alt.Scale(domain=ends, nice=True)).axis(tickCount=4, domain=False)
    key = alt.Legend(orient="top", title=None, columns=len(scores), symbolOpacity=1)
    rows = drawn.filter(metric=metric)
    own = rows.filter("own").select("method").unique()
    ground = alt.Chart(values(own)).mark_rect(color=PALE, opacity=0.6).encode(y=y)
    line = alt.Chart(alt.InlineData([{"drawn": target}])).mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x="drawn:Q")
    base = alt.Chart(values(rows)).encode(
        x=x,
        y=y,
        tooltip=[
            alt.Tooltip("by:N", title="score"),
            alt.Tooltip("method:N", title="ablation"),
            alt.Tooltip(f"{column}:Q", title=column.upper(), format=".4g"),
        ],
    )
    color = alt.Color("by:N", scale=alt.Scale(domain=scores, range=score_colors(scores)), legend=key)
    dots = base.mark_circle(size=70, opacity=0.9).encode(color=color)
    rings = base.transform_filter("datum.leads").mark_point(
        size=170, strokeWidth=1.5, filled=False, opacity=1, color=INK
    )
    return alt.LayerChart(layer=[ground, line, dots, rings]).properties(
        width=width, height=_ROW * len(kinds), title=panel_title(metric)
    )
