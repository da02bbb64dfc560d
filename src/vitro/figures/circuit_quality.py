"""How good a circuit is: what heads a model needs, what chance would give, what each component is worth."""

from itertools import combinations

import altair as alt
import polars as pl

from vitro.figures.axes import labelled, longest
from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.curves import caption as curve_caption
from vitro.figures.curves import color, curves, level
from vitro.figures.look import BLUE, FAINT, GRAY, INK, PALE, WIDTH, dress, values
from vitro.figures.spoken import listed, strongest
from vitro.figures.spread import means_and_prompts, prompt_count
from vitro.tables.labels import Said
from vitro.tables.quantities import QUANTITIES

_WIDTH, _HEIGHT = 560, 240
_COLUMN = 56.0
_BINS = 40
_SQUARE = 420, 320
_LETTER, _LINE = 6.2, 13.0
"""Pixels of a letter of a label and of its height."""
_LISTED = 3
"""Names in one label."""
_WHOLE = "the whole circuit"


def keep_curve(table: pl.DataFrame, said: Said) -> alt.LayerChart:
    """The metric over k, from the table `keep_curve`: the k strongest heads live, the rest at means."""
    prompts = prompt_count(table)
    quantity = QUANTITIES[said.metric]
    most = int(table["k"].to_numpy().max())
    named = table.with_columns(pl.lit(quantity.words).alias("token"))
    rows = means_and_prompts(named, ["token", "k"], said.metric)
    drawn = curves(
        # Half of what is lost is lost among the first few heads, so these get half of the axis.
        alt.X("k:Q", title="heads kept live, the strongest first", scale=alt.Scale(type="symlog", constant=4)).axis(
            values=_ticks(most), grid=False
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
        gist=f"Mean of {quantity.words} by the heads kept: "
        + listed(
            f"{mean:.3g} at {k}"
            for k, mean in rows.drop_nulls("mean")
            .filter(pl.col("k").is_in(_ticks(most)))
            .select("k", "mean")
            .iter_rows()
        )
        + ".",
    )


def random_circuits_figure(
    table: pl.DataFrame, wiring: str, made: str, model: float, metric: str = "among_answers"
) -> alt.LayerChart:
    """A histogram from the table `random_circuits` of the mean of a metric.

    The circuit itself is a line, and so is the whole model, whose mean is `model`; `wiring` says which the circuit is,
    `made` how the others were drawn. Among the answers, because small circuits leave most probability to other tokens.
    """
    means = table.group_by("number").agg(pl.col(metric).mean().alias("mean")).sort("number")
    judged, random = means.filter(number=0)["mean"].item(), means.filter(pl.col("number") > 0)
    lowest, highest = (end([model, *means["mean"]]) for end in (min, max))
    bin_width = (highest - lowest or abs(highest) or 1.0) / _BINS
    place = ((pl.col("mean") - lowest) / bin_width).floor().clip(0, _BINS - 1)
    bins = random.group_by(place.alias("place")).agg(pl.len().alias("circuits")).sort("place")
    bins = bins.select(
        "circuits", start=lowest + pl.col("place") * bin_width, end=lowest + (pl.col("place") + 1) * bin_width
    )
    scale = alt.Scale(domain=[lowest - bin_width, highest + bin_width], nice=False, zero=False)
    x = alt.X("start:Q", title=f"mean of {QUANTITIES[metric].axis}", scale=scale).axis(grid=False, tickCount=6)
    bars = (
        alt.Chart(values(bins))
        .mark_rect(color=PALE, stroke=GRAY, strokeWidth=0.5)
        .encode(
            x=x,
            x2="end:Q",
            y=alt.Y("circuits:Q", title="random circuits").axis(tickMinStep=1, tickCount=5, domain=False),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("circuits:Q", title="random circuits"),
                alt.Tooltip("start:Q", title="from", format=".3~g"),
                alt.Tooltip("end:Q", title="to", format=".3~g"),
            ],
        )
    )
    layers: list[alt.Chart] = [bars]
    # Names stand away from the other line: left of the left one, if there is room, and right of the right one.
    roomy = min(model, judged) - lowest > 0.2 * (highest - lowest)
    for name, mean, other, ink, down in (
        ("the model", model, judged, FAINT, 18),
        ("the circuit", judged, model, BLUE, 2),
    ):
        leftwards = mean < other and roomy
        drawn = alt.Chart(values(pl.DataFrame({"start": [mean], "name": [name]})))
        drawn = drawn.encode(x=x, tooltip=[alt.Tooltip("start:Q", title=name, format=".4g")])
        text = drawn.mark_text(
            color=ink,
            fontSize=12,
            fontWeight=600,
            baseline="top",
            align="right" if leftwards else "left",
            dx=-6 if leftwards else 6,
        ).encode(y=alt.value(down), text="name:N")
        layers += [drawn.mark_rule(color=ink, strokeWidth=2.5), text]
    return dress(
        alt.LayerChart(layer=layers, width=_WIDTH, height=_HEIGHT),
        "The circuit among random ones of its kind",
        f"{random.height} circuits of the same wiring, {made}.",
        f"The circuit: {wiring}",
        gist=f"The circuit has {judged:.3g}, the model {model:.3g}, the random circuits "
        f"{min(random['mean']):.3g} to {max(random['mean']):.3g}.",
    )


def minimality_figure(table: pl.DataFrame, metric: str = "among_answers") -> alt.LayerChart:
    """Bars from the table `minimality`: a metric with each component left out, beside the whole."""
    prompts = prompt_count(table)
    named = table.with_columns(pl.col("left_out").fill_null(_WHOLE).alias("name"))
    order = named["name"].unique(maintain_order=True).to_list()
    column = min(2 * _COLUMN if len(order) <= 6 else _COLUMN, (WIDTH - 90) / len(order))
    x = alt.X("name:N", sort=order, title="left out").axis(
        values=labelled(order, column), labelAngle=0 if longest(order) <= column else -45, labelLimit=110
    )
    drawn = bars_and_prompts(
        x.scale(alt.Scale(paddingInner=0.3)),
        alt.Y("mean:Q", title=QUANTITIES[metric].axis),
        [alt.Tooltip("name:N", title="left out")],
        prompts=prompts,
        column=column,
        digits=".4g",
        lost="false",
        clean=f"datum.name === '{_WHOLE}'",
    )
    rows = means_and_prompts(named, ["name"], metric)
    means = named.group_by("name", maintain_order=True).agg(pl.col(metric).mean())
    return dress(
        drawn.properties(data=values(rows), width=round(column * len(order)), height=_HEIGHT),
        "What each component is worth to the circuit",
        f"Mean of {QUANTITIES[metric].words}, one component left out. {caption(prompts)}",
        gist="Left out: " + listed(f"{name} {mean:.3g}" for name, mean in means.iter_rows()) + ".",
    )


def completeness_figure(table: pl.DataFrame, metric: str = "among_answers") -> alt.LayerChart:
    """Points from the table `completeness`: the circuit and the model, both without the same part of the circuit."""
    means = (
        table.drop_nulls(metric)
        .group_by("knocked_out", "size", maintain_order=True)
        .agg(pl.col(metric).mean().alias("circuit"), pl.col(f"model_{metric}").mean().alias("model"))
    )
    # As far as the data reach: of many answers even the right one may get next to nothing.
    both = pl.concat([means["circuit"], means["model"]])
    low, high = min(0.0, *both), max(0.0, *both)
    line = (
        alt.Chart(alt.InlineData(values=[{"end": low}, {"end": high}]))
        .mark_line(color=GRAY, strokeDash=[4, 3], strokeWidth=1)
        .encode(x="end:Q", y="end:Q")
    )
    scale = alt.Scale(domain=[low, high])
    base = alt.Chart(values(means)).encode(
        x=alt.X("model:Q", title="the model without it", scale=scale).axis(tickCount=6),
        y=alt.Y("circuit:Q", title="the circuit without it", scale=scale).axis(tickCount=6),
        tooltip=[
            alt.Tooltip("knocked_out:N", title="knocked out"),
            alt.Tooltip("circuit:Q", title="circuit", format=".4g"),
            alt.Tooltip("model:Q", title="model", format=".4g"),
        ],
    )
    points = base.mark_circle(size=60, color=BLUE, opacity=0.9)
    # Larger parts have no names: these would lie over each other.
    single = means.filter(pl.col("size") == 1).drop_nulls()
    names = values(_named(single, _SQUARE[0] / (high - low or 1.0), _SQUARE[1] / (high - low or 1.0)))
    labels = (
        alt.Chart(names)
        .mark_text(align="left", dx=7, fontSize=11, color=INK)
        .encode(x=alt.X("model:Q", scale=scale), y=alt.Y("circuit:Q", scale=scale), text="name:N")
    )
    return dress(
        alt.LayerChart(layer=[line, points, labels], width=_SQUARE[0], height=_SQUARE[1]),
        "When parts of the circuit are knocked out",
        f"Mean of {QUANTITIES[metric].words}.",
        "On the dashed line circuit and model fall alike: nothing in the model stands in for the part.",
        "In the model the part is ablated.",
        gist=f"Circuit minus model: {strongest(means, pl.col('knocked_out'), pl.col('circuit') - pl.col('model'))}.",
    )


def _named(points: pl.DataFrame, across: float, up: float) -> pl.DataFrame:
    """The points' names, those that would lie over each other in one label. across, up: pixels of 1 along the axes."""
    labels = [
        (circuit, model, [name])
        for name, circuit, model in points.select("knocked_out", "circuit", "model").iter_rows()
    ]

    def text(names: list[str]) -> str:
        return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")

    def meet(one: tuple[float, float, list[str]], other: tuple[float, float, list[str]]) -> bool:
        left, right = sorted((one, other), key=lambda label: label[1])
        room = 10 + _LETTER * len(text(left[2]))
        return abs(one[0] - other[0]) * up < _LINE and (right[1] - left[1]) * across < room

    while pair := next(((a, b) for a, b in combinations(labels, 2) if meet(a, b)), None):
        labels = [label for label in labels if label not in pair]
        labels.append((pair[0][0], max(pair[0][1], pair[1][1]), pair[0][2] + pair[1][2]))
    rows = [(circuit, model, text(names)) for circuit, model, names in labels]
    return pl.DataFrame(rows, schema=["circuit", "model", "name"], orient="row")


def _ticks(most: int) -> list[int]:
    return [0, *(tick for tick in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if tick < 0.8 * most), most]
