"""What every MLP does to the answer: one panel for each way of ablating it, one column for each layer."""

import altair as alt
import polars as pl

from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.layers import MLP_NAME, along_layers
from vitro.figures.look import PANEL_NAME, dress, values
from vitro.figures.quantities import in_order, of_change
from vitro.figures.spoken import strongest
from vitro.figures.spread import means_and_prompts, prompt_count

_PANEL_HEIGHT = 140


def mlp_effects(table: pl.DataFrame, value: str = "answer_prob_change") -> alt.FacetChart:
    """Bars of one column of table V12 (`mlp_ablation`), averaged over prompts, with the prompts over them.

    Blue means that the answer gained and red that it lost, as in the heatmaps of the heads. The panels share
    their axes, so that the ways of ablating can be compared.
    """
    shown = of_change(value)
    prompts = prompt_count(table)
    means = table.group_by("method", "layer", maintain_order=True).agg(pl.col(value).mean())
    layers = along_layers(table)
    bars = bars_and_prompts(
        layers.x,
        alt.Y("mean:Q", title=f"change ({shown.unit})"),
        [alt.Tooltip("name:N", title="MLP"), alt.Tooltip("method:N", title="ablated by")],
        prompts=prompts,
        column=layers.column,
        digits="+.4g",
    )
    header = alt.Header(labelExpr=PANEL_NAME, labelOrient="top", labelAnchor="start")
    panels = (
        bars.properties(width=layers.width, height=_PANEL_HEIGHT)
        .facet(
            row=alt.Row("method:N", sort=in_order(table["method"]), title=None, header=header),
            data=values(means_and_prompts(table, ["method", "layer"], value)),
            spacing=18,
        )
        .transform_calculate(name=MLP_NAME)
    )
    return dress(
        panels,
        f"Each MLP ablated alone: change of {shown.words}",
        f"Ablated minus clean. {caption(prompts)} {shown.sense.capitalize()}.",
        gist=f"Strongest: {strongest(means, pl.format('m{} ({})', 'layer', 'method'), pl.col(value))}.",
    )
