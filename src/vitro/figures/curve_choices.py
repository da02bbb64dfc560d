"""The areas of MIB's curve under every ablation and metric."""

import altair as alt
import polars as pl

from vitro.figures.look import FAINT, HEAD_COLORS, INK, dress, panel_title, values
from vitro.figures.quantities import in_order
from vitro.tables.quantities import QUANTITIES

_WIDTH, _ROW = 190, 26
_AREAS = {
    "signed": ("cpr", "CPR, signed scores", (-0.5, 1.5)),
    "absolute": ("cmd", "CMD, absolute scores", (0.0, 1.5)),
}
"""Each ranking's area, and between which values it is drawn: dots beyond stand at the end."""


def curve_choices(table: pl.DataFrame) -> alt.VConcatChart:
    """A row of panels for CPR and one for CMD, a panel for each metric, a line for each ablation, a dot for each score.

    table: `curve_choices`. The study's own choice is printed in bold, and a score that leads its line is ringed.
    """
    kinds = in_order(table["method"].unique())
    scores = table["score"].unique(maintain_order=True).to_list()
    metrics = table["metric"].unique(maintain_order=True).to_list()
    rows = [
        alt.HConcatChart(
            hconcat=[
                _panel(table.filter(ranking=ranking, metric=metric), ranking, kinds, scores, metric == metrics[0])
                for metric in metrics
            ],
            spacing=24,
        )
        for ranking in _AREAS
    ]
    own = table.filter("own").select("method", "metric").unique().rows()
    named = "".join(f" The study's own choice: {kind}, {QUANTITIES[metric].short}." for kind, metric in own)
    return dress(
        alt.VConcatChart(vconcat=rows, spacing=28),
        "The areas of MIB's curve under other ablations and metrics",
        f"Rows: what absent edges carry. Columns: the metric.{named}",
        "Ringed: the best, also in 95 % of resamples of the prompts. Dots at the ends of an axis may lie beyond it.",
    )


def _panel(table: pl.DataFrame, ranking: str, kinds: list[str], scores: list[str], first: bool) -> alt.LayerChart:
    column, title, (low, high) = _AREAS[ranking]
    metric = QUANTITIES[table["metric"][0]].short
    own = table.filter("own")["method"].to_list()
    bold = alt.condition(f"indexof({own}, datum.value) >= 0", alt.value("bold"), alt.value("normal"))
    colors = [HEAD_COLORS[number % len(HEAD_COLORS)] for number in range(len(scores))]
    key = alt.Legend(orient="top", title=None, columns=len(scores), symbolOpacity=1)
    rows = table.drop_nulls(column).with_columns(pl.col(column).clip(low, high).alias("drawn"))
    base = alt.Chart(values(rows)).encode(
        x=alt.X("drawn:Q", title=None, scale=alt.Scale(domain=[low, high], nice=False)).axis(tickCount=4, domain=False),
        y=alt.Y("method:N", title=None, scale=alt.Scale(domain=kinds)).axis(
            ticks=False, domain=False, grid=True, labels=first, labelFontWeight=bold, labelPadding=6
        ),
        color=alt.Color("score:N", scale=alt.Scale(domain=scores, range=colors), legend=key),
        tooltip=[
            alt.Tooltip("score:N"),
            alt.Tooltip("method:N", title="ablation"),
            alt.Tooltip(f"{column}:Q", title=column.upper(), format=".4g"),
        ],
    )
    dots = base.mark_circle(size=70, opacity=0.9)
    rings = base.transform_filter("datum.leads").mark_point(size=170, strokeWidth=1.5, filled=False, opacity=1)
    target = alt.Chart(alt.InlineData([{"at": 1.0 if column == "cpr" else 0.0}]))
    line = target.mark_rule(color=FAINT, strokeDash=[4, 3]).encode(x="at:Q")
    name = f"{title}: {metric}" if first else metric
    return alt.LayerChart(layer=[line, dots, rings.encode(color=alt.value(INK))]).properties(
        width=_WIDTH, height=_ROW * len(kinds), title=panel_title(name)
    )
