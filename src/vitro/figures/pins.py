"""What becomes of the answer when a head is made to look at one position."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from vitro.figures.axes import across, name_of
from vitro.figures.bars import bars_and_prompts, caption
from vitro.figures.look import GRAY, WIDTH, dress, panel_title, values
from vitro.figures.spoken import strongest
from vitro.figures.spread import means_and_prompts, prompt_count
from vitro.figures.tokens import word
from vitro.tables.labels import Said
from vitro.tables.quantities import QUANTITIES

_CLEAN = -2
"""Where the clean bar stands: one place is left free between it and position 0."""

_HEIGHT = 150
_WIDEST_COLUMN = 42.0
_AXIS = 60
_ONE_MEASURE = alt.Resolve(scale=alt.ScaleResolveMap(y="shared"))
_GAP = 24


def pins(table: pl.DataFrame, tokens: Sequence[str], said: Said) -> alt.ConcatChart:
    """Bars of table V7 (`attention_pin`), averaged over prompts, with the prompts over them: a panel for each `heads`.

    `tokens` name the places (column `place`; null: the clean run), in order. The clean run stands first, grey, and its
    mean goes across as a line. A bar is blue where the metric is higher than in the clean run and red where it is less;
    so is each dot, compared with its own prompt's clean run.
    """
    prompts = prompt_count(table)
    places = ["clean", "", *tokens]
    half = WIDTH / 2 - _AXIS - _GAP
    abreast, room = (2, half) if len(places) * 24 <= half else (1, WIDTH - _AXIS - _GAP)
    column = min(_WIDEST_COLUMN, room / len(places))
    x = alt.X(
        "place:O",
        axis=across(places, column, first=_CLEAN, title="pinned to"),
        scale=alt.Scale(domain=list(range(_CLEAN, len(tokens))), paddingInner=0.25),
    )
    drawn = bars_and_prompts(
        x,
        alt.Y("mean:Q", title=QUANTITIES[said.metric].axis),
        [alt.Tooltip("heads:N", title="pinned"), alt.Tooltip("to:N", title="to")],
        prompts=prompts,
        column=column,
        digits=".4g",
        lost="datum.lost",
        clean=f"datum.place === {_CLEAN}",
    )
    level = (
        alt.Chart()
        .transform_filter(f"isValid(datum.mean) && datum.place === {_CLEAN}")
        .mark_rule(color=GRAY, strokeDash=[4, 3])
        .encode(y="mean:Q")
    )
    panels = [
        alt.LayerChart(
            data=values(rows),
            layer=[drawn, level],
            title=panel_title(heads),
            width=round(len(places) * column),
            height=_HEIGHT,
        ).transform_calculate(to=name_of("datum.place", places, first=_CLEAN))
        for heads, rows in _rows(table, said.metric).items()
    ]
    return dress(
        alt.ConcatChart(concat=panels, columns=abreast, spacing=_GAP, resolve=_ONE_MEASURE),
        f"Heads made to look at one place: {said.words}",
        "Pinned: the head's attention from the final stream is 1 there and 0 elsewhere; all else is live.",
        f"{caption(prompts)} Blue: above the clean run (dashed), red: below.",
        gist=_gist(table, places, said.metric),
    )


def _gist(table: pl.DataFrame, places: Sequence[str], metric: str) -> str:
    means = table.group_by("heads", "place", maintain_order=True).agg(pl.col(metric).mean())
    clean = means.filter(pl.col("place").is_null())[metric].mean()
    pinned = means.drop_nulls("place").with_columns(change=pl.col(metric) - clean)
    to = (pl.col("place").cast(pl.Int64) - _CLEAN).replace_strict(range(len(places)), [word(place) for place in places])
    return f"Farthest from the clean run: {strongest(pinned, pl.format('{} to {}', 'heads', to), pl.col('change'))}."


def _rows(table: pl.DataFrame, metric: str) -> dict[str, pl.DataFrame]:
    """For each `heads`, in the order of the table: means and prompts, `lost` where they are below the clean run's."""
    placed = table.with_columns(pl.col("place").cast(pl.Int64).fill_null(_CLEAN).alias("place"))
    return {
        heads: _against_clean(means_and_prompts(part, ["heads", "place"], metric))
        for (heads,), part in placed.group_by("heads", maintain_order=True)
    }


def _against_clean(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with `lost`: a mean is compared with the clean mean, a prompt with its own clean run."""
    if "value" not in rows.columns:
        rows = rows.with_columns(value=None, prompt=None)
    prob = pl.coalesce("mean", "value")
    # The rows of means have no prompt: they are a group of their own.
    clean = prob.filter(pl.col("place") == _CLEAN).first().over("prompt")
    return rows.with_columns((prob < clean).alias("lost"))
