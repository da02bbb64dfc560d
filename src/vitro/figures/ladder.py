"""The ladder to glass: how far a circuit can be taken out of the model and still answers."""

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, FAINT, INK, PALE_RED, WIDTH, dress, values
from vitro.figures.spoken import listed

_NAMES, _COUNTS = 380, 230
"""Pixels of the rungs' names on the left and of the counts on the right."""
_LARGEST_TILE, _ROW = 30.0, 30


def ladder_rungs(ladder: pl.DataFrame, ladder_answers: pl.DataFrame, questions: pl.DataFrame) -> alt.LayerChart:
    """The tables `ladder` and `ladder_answers`: a row for each rung, downwards, with a tile for each prompt.

    questions: as in the table of that name; hovering over a tile shows the prompt and its answer.
    """
    count = ladder_answers["prompt"].n_unique()
    rungs = ladder.sort("rung").with_columns(
        name=pl.format("{}  {}", "rung", "name"),
        said=pl.format(
            "{} of {} right, {}, {}{}",
            "right",
            pl.lit(count),
            _count("nodes", "node"),
            _count("edges", "edge"),
            pl.when("kept").then(pl.lit("")).otherwise(pl.lit(": failed")),
        ),
    )
    tiles = (
        ladder_answers.join(rungs.select("rung", "name", "kept"), on="rung")
        .join(questions.select("prompt", "label", "answer"), on="prompt", how="left")
        .select("name", "kept", "prompt", "label", "answer", "value", right=pl.col("rank") == 0)
    )
    side = min(_LARGEST_TILE, (WIDTH - _NAMES - _COUNTS) / max(count, 1))
    names, of_model = rungs["name"].to_list(), max([0, *rungs["model_right"]])
    y = alt.Y("name:N", sort=names, title=None).axis(
        labelLimit=_NAMES, ticks=False, domain=False, labelFontSize=12, labelPadding=8
    )
    drawn = (
        alt.Chart(values(tiles))
        .mark_rect(height=_ROW - 8, stroke="white", strokeWidth=min(2.0, side / 6))
        .encode(
            x=alt.X("prompt:O", axis=None),
            y=y,
            color=alt.when("datum.right").then(alt.value(BLUE)).otherwise(alt.value(PALE_RED)),
            opacity=alt.when("datum.kept").then(alt.value(1)).otherwise(alt.value(0.4)),
            tooltip=[
                alt.Tooltip("name:N", title="rung"),
                alt.Tooltip("label:N", title="prompt"),
                alt.Tooltip("answer:N"),
                alt.Tooltip("right:N"),
                alt.Tooltip("value:Q", title="metric", format=".4g"),
            ],
        )
    )
    counts = (
        alt.Chart(values(rungs.select("name", "said", "kept")))
        .mark_text(align="left", fontSize=12)
        .encode(
            x=alt.value(side * count + 12),
            y=y,
            text="said:N",
            color=alt.when("datum.kept").then(alt.value(INK)).otherwise(alt.value(FAINT)),
        )
    )
    return dress(
        alt.LayerChart(layer=[drawn, counts], width=round(side * count), height=alt.Step(_ROW)),
        f"Down the ladder: {len(rungs.filter('kept'))} of {len(rungs)} rungs hold",
        f"A tile for each prompt, blue where it is answered right; the model answers {of_model} right.",
        "Faint: rungs that failed; each rung stands on the last above it that holds.",
        gist=listed(f"{name}: {said}" for name, said in rungs.select("name", "said").iter_rows()) + ".",
    )


def _count(column: str, word: str) -> pl.Expr:
    """`1 node`, `22 nodes`."""
    return pl.format("{} {}", column, pl.when(pl.col(column) == 1).then(pl.lit(word)).otherwise(pl.lit(f"{word}s")))
