"""How good a circuit is: what heads a model needs, what chance would give, what each component is worth."""

import altair as alt
import polars as pl

from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.curves import caption as curve_caption
from vitro.figures.curves import color, curves, level
from vitro.figures.look import BLUE, GRAY, INK, PALE, dress, values
from vitro.figures.spread import means_and_prompts, prompt_count
from vitro.tables.labels import Said
from vitro.tables.quantities import QUANTITIES

_WIDTH, _HEIGHT = 560, 240
_COLUMN = 56.0
_WHOLE = "the whole circuit"


def keep_curve(table: pl.DataFrame, said: Said) -> alt.LayerChart:
    """The metric over k, from the table `keep_curve`: the k strongest heads live, the rest at means."""
    prompts = prompt_count(table)
    quantity = QUANTITIES[said.metric]
    named = table.with_columns(pl.lit(quantity.words).alias("token"))
    rows = means_and_prompts(named, ["token", "k"], said.metric)
    drawn = curves(
        # Half of what is lost is lost among the first few heads, so these get half of the axis.
        alt.X("k:Q", title="heads kept live, the strongest first", scale=alt.Scale(type="symlog", constant=4)).axis(
            values=_ticks(int(table["k"].to_numpy().max())), grid=False
        ),
        level(quantity.axis),
        color("token", {quantity.words: BLUE}),
        [alt.Tooltip("k:Q", title="heads kept")],
        prompts=prompts,
        prompts_as="lines",
    )
    last = rows.filter(pl.col("mean").is_not_null()).sort("k").tail(1)
    model = alt.Chart(values(last)).mark_rule(color=GRAY, strokeDash=[4, 3])
    line = model.encode(y="mean:Q", tooltip=[alt.Tooltip("mean:Q", title="the model's own", format=".4g")])
    both = alt.LayerChart(layer=[line, drawn.properties(data=values(rows))])
    return dress(
        both.properties(width=2 * _WIDTH - 280, height=_HEIGHT),
        "What the model keeps with only its strongest heads",
        f"All other heads ablated ({said.ablation}); MLPs live; dashed: the whole model.",
        curve_caption(prompts, "lines"),
    )


def random_circuits_figure(
    table: pl.DataFrame, wiring: str, made: str, metric: str = "among_answers"
) -> alt.LayerChart:
    """A histogram from the table `random_circuits` of the mean of a metric.

    The circuit itself is a line; `wiring` says which it is, `made` how the others were drawn. Among the answers,
    because small circuits leave most probability to other tokens.
    """
    means = table.group_by("number").agg(pl.col(metric).mean().alias("mean")).sort("number")
    judged, random = means.filter(number=0), means.filter(pl.col("number") > 0)
    probability = QUANTITIES[metric].unit == "probability"
    bins = alt.Bin(step=0.02, extent=[0, 1]) if probability else alt.Bin(maxbins=50)
    bars = (
        alt.Chart(values(random))
        .mark_bar(color=PALE, stroke=GRAY, strokeWidth=0.5)
        .encode(
            x=alt.X("mean:Q", title=f"mean of {QUANTITIES[metric].axis}", bin=bins).axis(grid=False),
            y=alt.Y("count():Q", title="random circuits").axis(tickMinStep=1, tickCount=5, domain=False),
            tooltip=[
                alt.Tooltip("count():Q", title="random circuits"),
                alt.Tooltip("mean:Q", title="mean", bin=bins),
            ],
        )
    )
    line = (
        alt.Chart(values(judged))
        .mark_rule(color=BLUE, strokeWidth=2.5)
        .encode(x="mean:Q", tooltip=[alt.Tooltip("mean:Q", title="the circuit", format=".4g")])
    )
    label = (
        alt.Chart(values(judged))
        .mark_text(color=BLUE, fontSize=12, fontWeight=600, align="left", dx=6, baseline="top")
        .encode(x="mean:Q", y=alt.value(2), text=alt.value("the circuit"))
    )
    return dress(
        alt.LayerChart(layer=[bars, line, label], width=_WIDTH, height=_HEIGHT),
        "The circuit among random ones of its kind",
        f"{random.height} circuits of the same wiring, {made}.",
        f"The circuit: {wiring}",
    )


def minimality_figure(table: pl.DataFrame, metric: str = "among_answers") -> alt.LayerChart:
    """Bars from the table `minimality`: a metric with each component left out, beside the whole."""
    prompts = prompt_count(table)
    named = table.with_columns(pl.col("left_out").fill_null(_WHOLE).alias("name"))
    order = named["name"].unique(maintain_order=True).to_list()
    x = alt.X("name:N", sort=order, title="left out").axis(labelAngle=0 if len(order) <= 12 else -45, labelLimit=110)
    drawn = bars_and_prompts(
        x.scale(alt.Scale(paddingInner=0.3)),
        alt.Y("mean:Q", title=QUANTITIES[metric].axis),
        [alt.Tooltip("name:N", title="left out")],
        prompts=prompts,
        column=_COLUMN,
        digits=".4g",
        lost="false",
        clean=f"datum.name === '{_WHOLE}'",
    )
    rows = means_and_prompts(named, ["name"], metric)
    return dress(
        drawn.properties(
            data=values(rows), width=alt.Step(2 * _COLUMN if len(order) <= 6 else _COLUMN), height=_HEIGHT
        ),
        "What each component is worth to the circuit",
        f"Mean of {QUANTITIES[metric].words}, one component left out. {caption(prompts)}",
    )


def completeness_figure(table: pl.DataFrame, metric: str = "among_answers") -> alt.LayerChart:
    """Points from the table `completeness`: the circuit and the model, both without the same part of the circuit."""
    means = (
        table.drop_nulls(metric)
        .group_by("knocked_out", "size", maintain_order=True)
        .agg(pl.col(metric).mean().alias("circuit"), pl.col(f"model_{metric}").mean().alias("model"))
    )
    low, high = 0.0, 1.0
    if QUANTITIES[metric].unit != "probability":
        both = pl.concat([means["circuit"], means["model"]])
        low, high = min(0.0, *both), max(0.0, *both)
    line = (
        alt.Chart(alt.InlineData(values=[{"end": low}, {"end": high}]))
        .mark_line(color=GRAY, strokeDash=[4, 3], strokeWidth=1)
        .encode(x="end:Q", y="end:Q")
    )
    scale = alt.Scale(domain=[low, high])
    base = alt.Chart(values(means)).encode(
        x=alt.X("model:Q", title="the model without it", scale=scale),
        y=alt.Y("circuit:Q", title="the circuit without it", scale=scale),
        tooltip=[
            alt.Tooltip("knocked_out:N", title="knocked out"),
            alt.Tooltip("circuit:Q", title="circuit", format=".4g"),
            alt.Tooltip("model:Q", title="model", format=".4g"),
        ],
    )
    points = base.mark_circle(size=60, color=BLUE, opacity=0.9)
    # Larger parts are named by hovering: their names would lie over each other.
    single = base.transform_filter("datum.size === 1")
    labels = single.mark_text(align="left", dx=7, fontSize=11, color=INK).encode(text="knocked_out:N")
    return dress(
        alt.LayerChart(layer=[line, points, labels], width=420, height=320),
        "When parts of the circuit are knocked out",
        f"Mean of {QUANTITIES[metric].words}.",
        "On the dashed line circuit and model fall alike: nothing in the model stands in for the part.",
        "In the model the part is ablated.",
    )


def _ticks(most: int) -> list[int]:
    return [0, *(tick for tick in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if tick < 0.8 * most), most]
