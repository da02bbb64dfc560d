"""What every attention head would predict alone: layer by head, for the answer and for the subject."""

import altair as alt
import polars as pl

from vitro.figures.layers import HEAD_NAME, Grid, layer_by_head
from vitro.figures.look import OWN_COLORS, dress, panel_title, values
from vitro.figures.scales import amount_color, change_color, largest
from vitro.figures.spread import prompt_count, spread
from vitro.tables.labels import Said, the

_COUNTS = (("leads", "answer leads"), ("first", "subject leads"), ("last", "subject is last"))


def head_lens(table: pl.DataFrame, said: Said) -> alt.HConcatChart:
    """Heatmaps of table V4 (`head_lens`), averaged over prompts, layer 0 at the top.

    The answer's probability, that of what is wrong, the share of prompts in which the answer ranks above all other
    answers (1: the head selects, and is outlined everywhere), and, where there is a subject, the share in which it
    leads the task's other words minus that in which it is below all of them (1: the head copies; -1: it suppresses).
    Without a list of answers the answer ranks above what is wrong: by chance in half of the prompts, so the share in
    which it does is drawn minus that in which it does not. Each has its own colour scale, never clamped: the few heads
    that stand out are the news. Hovering gives all of it and the spread.
    """
    cells = _cells(table)
    copying = table["subject_rank_among_words"].null_count() == 0
    grid = layer_by_head(cells, panels=4 if copying else 3)
    prompts = prompt_count(table)
    shown = {
        the(said.right): _probability(grid, cells, "answer_mean"),
        the(said.wrong): _probability(grid, cells, "wrong_mean"),
    }
    if said.n_answers:
        shown["answer above all others"] = amount_color(1, "Share of prompts", "share", grid.width)
    else:
        shown["right above or below wrong"] = change_color(1, "Share above minus below", "balance", grid.width)
    if copying:
        shown["subject above or below all"] = change_color(1, "Share of prompts", "place", grid.width)
    selects = f"datum.leads === {prompts}"
    panels = [
        grid.heatmap(color, selects, _tooltip(said, prompts, copying), layers_named=number == 0)
        .properties(title=panel_title(title))
        .transform_calculate(
            name=HEAD_NAME,
            share=f"datum.leads / {prompts}",
            balance=f"2 * datum.leads / {prompts} - 1",
            place=f"(datum.first - datum.last) / {prompts}",
        )
        for number, (title, color) in enumerate(shown.items())
    ]
    return dress(
        alt.HConcatChart(data=values(cells), hconcat=panels, spacing=grid.GAP, resolve=OWN_COLORS),
        "What each head alone would predict",
        "Logit lens on the head's output at the final stream: final norm, unembedding, softmax; mean over "
        f"{prompts} prompts.",
        f"Outlined: heads that rank the answer above {said.rivals} in every prompt.",
        *[
            "Right: blue where the subject leads the task's other words (copying), red where it is below them all "
            "(suppressing)."
        ]
        * copying,
    )


def _cells(table: pl.DataFrame) -> pl.DataFrame:
    """A row per layer and head: both probabilities with their spread, and in how many prompts each is where."""
    counts = [
        (pl.col("answer_rank_among_answers") == 0).sum().alias("leads"),
        (pl.col("subject_rank_among_words") == 0).sum().alias("first"),
        pl.col("subject_last_among_words").sum().alias("last"),
    ]
    statistics = [*spread("answer_prob", "answer_"), *spread("wrong_prob", "wrong_"), *counts]
    return table.group_by("layer", "head").agg(statistics).sort("layer", "head")


def _probability(grid: Grid, cells: pl.DataFrame, mean: str) -> alt.Color:
    return amount_color(largest(cells[mean]), "Mean probability", mean, grid.width)


def _tooltip(said: Said, prompts: int, copying: bool) -> list[alt.Tooltip]:
    spreads = [
        alt.Tooltip(f"{token}_{statistic}:Q", title=f"{called}, {words}", format=".4g")
        for token, called in (("answer", the(said.right)), ("wrong", the(said.wrong)))
        for statistic, words in (("mean", "mean probability"), ("min", "lowest"), ("max", "highest"))
    ]
    counts = [
        alt.Tooltip(f"{name}:Q", title=f"{words}, of {prompts} prompts", format="d")
        for name, words in _COUNTS[: 3 if copying else 1]
    ]
    return [alt.Tooltip("name:N", title="head"), *spreads, *counts]
