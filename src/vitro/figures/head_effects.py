"""What every attention head does to the answer: layer by head, one panel for each way of ablating it."""

import altair as alt
import polars as pl

from vitro.figures.layers import HEAD_NAME, layer_by_head
from vitro.figures.look import PANEL_NAME, dress, values
from vitro.figures.quantities import DIVERGENCES, in_order, quantity
from vitro.figures.scales import Reach, amount_color, change_color, reach
from vitro.figures.spoken import strongest
from vitro.figures.spread import spread
from vitro.tables.labels import counted
from vitro.tables.quantities import CHANGES


def head_effects(table: pl.DataFrame, value: str = "answer_prob_change") -> alt.FacetChart:
    """Heatmaps of one column of table V3 (`head_ablation`), averaged over prompts, layer 0 at the top.

    The panels share one colour scale. It reaches the largest mean, unless a few heads dwarf the rest: then it
    is clamped, the subtitle says where, and the heads beyond are outlined. Hovering gives the spread over
    prompts.
    """
    shown = quantity(value, {**CHANGES, **DIVERGENCES})
    cells = _cells(table, value)
    span = reach(cells["mean"])
    methods = in_order(cells["method"])
    grid = layer_by_head(cells, panels=len(methods))
    panels = (
        grid.heatmap(
            (change_color if value in CHANGES else amount_color)(
                span.limit, f"Mean {_kind(value)} ({shown.unit}); {shown.sense}"
            ),
            f"abs(datum.mean) > {span.limit!r}",
            _change_tooltip() if value in CHANGES else _divergence_tooltip(),
        )
        .facet(
            column=alt.Column("method:N", sort=methods, title=None, header=alt.Header(labelExpr=PANEL_NAME)),
            data=values(cells),
            spacing=grid.GAP,
        )
        .transform_calculate(name=HEAD_NAME)
    )
    return dress(
        panels,
        f"Each head ablated alone: {_kind(value)} of {shown.words}"
        if value in CHANGES
        else f"Each head ablated alone: {shown.words}",
        f"{'Ablated minus clean, mean' if value in CHANGES else 'Mean'} over {counted(table['prompt'].n_unique())}.",
        _scale_note(span, sign="±" if value in CHANGES else ""),
        gist=f"Strongest: {strongest(cells, pl.format('a{}.h{} ({})', 'layer', 'head', 'method'), pl.col('mean'))}.",
    )


def _cells(table: pl.DataFrame, value: str) -> pl.DataFrame:
    """A row per method, layer and head: mean, lowest, highest, and how many prompts fell or rose."""
    column = pl.col(value)
    statistics = spread(value)
    if value in CHANGES:
        statistics += [(column < 0).sum().alias("fell"), (column > 0).sum().alias("rose")]
    return table.group_by("method", "layer", "head").agg(statistics).sort("method", "layer", "head")


def _change_tooltip() -> list[alt.Tooltip]:
    return [
        *_spread_tooltip("+.4g"),
        alt.Tooltip("fell:Q", title="prompts that fell", format="d"),
        alt.Tooltip("rose:Q", title="prompts that rose", format="d"),
    ]


def _divergence_tooltip() -> list[alt.Tooltip]:
    return _spread_tooltip(".4g")


def _spread_tooltip(digits: str) -> list[alt.Tooltip]:
    """The head's name in the field's form (`a9.h1`) and the spread of its cell over prompts."""
    return [
        alt.Tooltip("name:N", title="head"),
        alt.Tooltip("method:N", title="ablated by"),
        alt.Tooltip("mean:Q", title="mean over prompts", format=digits),
        alt.Tooltip("min:Q", title="lowest", format=digits),
        alt.Tooltip("max:Q", title="highest", format=digits),
    ]


def _scale_note(span: Reach, sign: str) -> str:
    if not span.beyond:
        return "The colour scale reaches the strongest head."
    return (
        f"The colour scale is clamped at {sign}{span.limit:g}; "
        f"{span.beyond} of {span.cells} cells lie beyond it and are outlined."
    )


def _kind(value: str) -> str:
    return "change" if value in CHANGES else "divergence"
