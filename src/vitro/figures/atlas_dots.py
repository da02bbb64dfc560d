"""Dots along a line for each of some things: how deep heads lie, what tasks share, what measurements take."""

import json
from collections.abc import Mapping

import altair as alt
import polars as pl

from vitro.figures.atlas_cells import (
    cells_of,
    families_of,
    filtered,
    hue,
    leads,
    of_cell,
    shape,
    some_models,
    tasks_of,
)
from vitro.figures.look import INK, dress, panel_title, values
from vitro.figures.spoken import listed, strongest
from vitro.figures.spread import some_prompts
from vitro.figures.tokens import readable
from vitro.tables.schemas.atlas import RULES

DEPTHS: Mapping[str, str] = {
    "ablation": "costs most when ablated",
    "selective": "says the answer by itself",
    "copying": "says the subject",
    "direct": "writes most of the difference",
    "circuit": "costs the circuit most",
    "successor": "best successor head",
}
"""The rules of the strongest heads in few words, for the rows of a figure."""
SHARED: Mapping[str, tuple[str, str, tuple[float, float]]] = {
    "effects": ("Effects of all heads", "correlation", (-1, 1)),
    "strongest": ("The ten strongest heads", "shared, over all", (0, 1)),
    "circuits": ("Nodes of the circuits", "shared, over all", (0, 1)),
}
_PAIRS = 60
_TICK = "Dark lines: medians."
_OF_CELL = ("model", "task", "family", "state", "size", "hue", "shape", "link")
_LEAST = 0.001
"""Seconds; what took less is drawn here, for a logarithm has no 0."""


def atlas_depths(atlas: pl.DataFrame) -> alt.LayerChart | None:
    """How deep the strongest head lies, by each rule, a dot for each cell; None where no head was found."""
    rules = [rule for rule in RULES if atlas[f"{rule}_depth"].null_count() < len(atlas)]
    if not rules:
        return None
    found = cells_of(atlas).filter(pl.any_horizontal(pl.col(f"{rule}_depth").is_not_null() for rule in rules))
    shown, note = some_models(found, len(rules))
    rows = shown.select(*_OF_CELL, *(f"{rule}_{what}" for rule in rules for what in ("depth", "head")))
    told = [
        alt.Tooltip("head:N", title="the head"),
        alt.Tooltip("what:N", title="of all the one that"),
        alt.Tooltip("value:Q", title="depth", format=".3f"),
    ]
    x = alt.X("at:Q", title="layer / number of layers (0: the first layer)").scale(domain=[-0.02, 1.02], nice=False)
    x = x.axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f", domain=False, ticks=False)
    names = {f"{rule}_depth": DEPTHS[rule] for rule in rules}
    medians = [f"{DEPTHS[rule]} {atlas[f'{rule}_depth'].drop_nulls().to_numpy().mean():.2f}" for rule in rules]
    chart = _strip(rows, names, x, atlas, told).transform_calculate(
        head="datum[replace(datum.column, '_depth', '_head')]"
    )
    return dress(
        chart,
        "How deep the strongest heads lie",
        " ".join(["A row is a rule for the strongest head, a dot a task on a model.", _TICK, note]).strip(),
        gist=f"Mean depths: {listed(medians)}.",
    )


def atlas_seconds(atlas: pl.DataFrame, seconds: pl.DataFrame) -> alt.LayerChart | None:
    """What each measurement of each cell took, a dot for each, the longest measurements first; None without any.

    seconds: table `seconds`.
    """
    totals = seconds.group_by("measurement", maintain_order=True).agg(pl.col("seconds").sum())
    totals = totals.sort("seconds", "measurement", descending=[True, False])
    if not totals.height:
        return None
    columns = {name: f"m{number}" for number, name in enumerate(totals["measurement"])}
    wide = seconds.with_columns(pl.col("measurement").replace_strict(columns)).pivot(
        "measurement", index=["model", "task"], values="seconds", aggregate_function="first"
    )
    timed = cells_of(atlas).join(wide, on=["model", "task"], how="inner", maintain_order="left")
    shown, note = some_models(timed, len(columns))
    took = seconds["seconds"].to_numpy()
    low, high = max(_LEAST, float(took.min())), max(_LEAST, float(took.max()))
    told = [alt.Tooltip("what:N", title="measurement"), alt.Tooltip("value:Q", title="seconds", format=".3~g")]
    x = alt.X("at:Q", title="seconds").scale(type="log", domain=[low / 1.4, high * 1.4], nice=False)
    powers = [10.0**power for power in range(-3, 7) if low / 1.4 <= 10.0**power <= high * 1.4]
    x = x.axis(values=powers or [low, high], format=".3~g", domain=False, ticks=False)
    names = {column: name.replace("_", " ") for name, column in columns.items()}
    least = f"What took less than {_LEAST} s is drawn there." if took.min() < _LEAST else ""
    chart = _strip(shown.select(*_OF_CELL, *columns.values()), names, x, atlas, told, at=f"max(datum.value, {_LEAST})")
    sums = [f"{name.replace('_', ' ')} {total:.3g} s" for name, total in totals.rows()]
    return dress(
        chart,
        "What it took",
        " ".join(
            filter(None, ["A dot is a cell's measurement; seconds are on a logarithmic scale.", least, _TICK, note])
        ),
        gist=f"All cells together: {listed(sums)}.",
    )


def atlas_overlaps(atlas: pl.DataFrame, overlaps: pl.DataFrame) -> alt.ConcatChart | None:
    """What two tasks share in each model, a row for each pair, a panel for each measure.

    None where nothing was compared. overlaps: table `overlaps`.
    """
    measures = [name for name in SHARED if overlaps[name].null_count() < len(overlaps)]
    if not measures:
        return None
    facts = cells_of(atlas).unique("model", keep="first", maintain_order=True).select("model", "family", "size", "hue")
    order = {model: number for number, model in enumerate(facts["model"])}
    pairs = overlaps.select(pair=pl.struct("task", "other"))["pair"].unique(maintain_order=True)
    kept = [pairs[number] for number in some_prompts(len(pairs), at_most=_PAIRS)]
    names = [f"{readable(pair['task'])} – {readable(pair['other'])}" for pair in kept]
    numbers = pl.DataFrame(
        {
            "task": [p["task"] for p in kept],
            "other": [p["other"] for p in kept],
            "what": names,
            "place": range(len(kept)),
        }
    )
    rows = (
        overlaps.join(numbers, on=["task", "other"], how="inner", maintain_order="left")
        .join(facts, on="model", how="left", maintain_order="left")
        .with_columns(state=pl.lit("done"), at=pl.col("model").replace_strict(order, return_dtype=pl.Int64))
        .sort("at", "place", maintain_order=True)
        .drop("at")
    )
    drawn, note = some_models(rows, len(measures))
    notes = [
        f"{len(kept):,} of {len(pairs):,} pairs are drawn, evenly spread." if len(kept) < len(pairs) else "",
        note,
    ]
    panels = []
    for number, name in enumerate(measures):
        title, axis, (low, high) = SHARED[name]
        margin = 0.03 * (high - low)
        x = alt.X(f"{name}:Q", title=axis).scale(domain=[low - margin, high + margin], nice=False)
        x = x.axis(values=[low, (low + high) / 2, high], domain=False, ticks=False)
        y = _rows_axis(longest=200 if number == 0 else 0)
        base = alt.Chart().transform_filter(f"isValid(datum.{name})").encode(x=x, y=y)
        dots = base.mark_circle(size=46, opacity=0.75).encode(
            color=hue(families_of(atlas), "Family", drawn["hue"]),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("family:N"),
                alt.Tooltip("size:N", title="parameters"),
                alt.Tooltip("task:N"),
                alt.Tooltip("other:N", title="other task"),
                *(alt.Tooltip(f"{each}:Q", title=SHARED[each][0].lower(), format=".3f") for each in measures),
            ],
        )
        panels.append(
            alt.LayerChart(
                layer=[dots, _median(base, name, y)],
                width=round((960 - 200) / 3) if len(measures) > 1 else 420,
                height=alt.Step(22),
                title=panel_title(title),
            )
        )
    said = strongest(
        rows.group_by("what", maintain_order=True).agg(pl.col(measures[0]).drop_nulls().median()).drop_nulls(),
        pl.col("what"), pl.col(measures[0]), ".3g",
    )  # fmt: skip
    one_order = alt.Resolve(scale=alt.ScaleResolveMap(y="shared"))
    chart = alt.ConcatChart(concat=panels, columns=len(panels), data=values(drawn), spacing=18, resolve=one_order)
    return dress(
        filtered(chart),
        "What two tasks share in a model",
        " ".join(["A row is a pair of tasks, a dot a model.", _TICK, *filter(None, notes)]),
        gist=f"Largest medians of {SHARED[measures[0]][0].lower()}: {said}.",
    )


def _strip(
    rows: pl.DataFrame,
    names: Mapping[str, str],
    x: alt.X,
    atlas: pl.DataFrame,
    told: list[alt.Tooltip],
    at: str = "datum.value",
) -> alt.LayerChart:
    """A line for each column of the rows that has a name; on it a lane for each task, and a dot for each row at `at`.

    `at`: a Vega expression of `value`, the column's. Hovering tells of the cell, and what is `told`.
    """
    lanes = rows["shape"].n_unique()
    y = _rows_axis(longest=240)
    base = alt.Chart().encode(x=x, y=y)
    dots = base.mark_point(filled=True, size=42, opacity=0.8, stroke="white", strokeWidth=0.5).encode(
        yOffset=alt.YOffset("shape:N", sort=list(tasks_of(atlas).look_of)),
        color=hue(families_of(atlas), "Family", rows["hue"]),
        shape=shape(tasks_of(atlas), rows["shape"]),
        href=leads(),
        tooltip=of_cell(*told),
    )
    step = {"step": max(26, 8 * lanes + 10), "for": "position"}
    chart = alt.LayerChart(layer=[dots, _median(base, "at", y)], data=values(rows), width=640, height=step)
    columns: list[str | alt.FieldName] = [*names]
    return (
        filtered(chart)
        .transform_fold(columns, as_=["column", "value"])
        .transform_filter("isValid(datum.value)")
        .transform_calculate(
            at=at,
            what=f"{json.dumps(dict(names))}[datum.column]",
            place=f"indexof({json.dumps(columns)}, datum.column)",
        )
    )


def _rows_axis(longest: int) -> alt.Y:
    y = alt.Y("what:N", sort=alt.EncodingSortField("place", op="min"), title=None, scale=alt.Scale(type="band"))
    if not longest:
        return y.axis(labels=False, ticks=False, domain=False, grid=True)
    return y.axis(labelLimit=longest, labelOverlap=False, ticks=False, domain=False, grid=True)


def _median(base: alt.Chart, field: str, y: alt.Y) -> alt.Chart:
    """A line at the median of a row, as high as the row."""
    # The median keeps the name of what it is of, and so its axis.
    lines: alt.Chart = (
        base.transform_aggregate(
            [
                alt.AggregatedFieldDef(op="median", field=field, **{"as": field}),
                alt.AggregatedFieldDef(op="min", field="place", **{"as": "place"}),
            ],
            groupby=["what"],
        )
        .mark_rule(color=INK, strokeWidth=2)
        .encode(y=y.bandPosition(0.1), y2=alt.Y2("what:N", bandPosition=0.9))
    )
    return lines
