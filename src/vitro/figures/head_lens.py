"""What every attention head would predict alone: layer by head, for the answer and for the subject."""

import altair as alt
import polars as pl

from vitro.figures.layers import HEAD_NAME, layer_by_head
from vitro.figures.look import OWN_COLORS, dress, panel_title, values
from vitro.figures.scales import amount_color, change_color, place_color
from vitro.figures.spoken import listed
from vitro.figures.spread import prompt_count
from vitro.tables.labels import Said, counted, the

_TOKENS = ("answer", "wrong")
_COUNTS = (("leads", "answer leads"), ("first", "subject leads"), ("last", "subject is last"))


def head_lens(table: pl.DataFrame, said: Said) -> alt.HConcatChart:
    """Heatmaps of table V4 (`head_lens`), over prompts, layer 0 at the top.

    The answer's place among all tokens, that of what is wrong, the share of prompts in which the answer ranks above all
    other answers (1: the head selects, and is outlined everywhere), and, where there is a subject, the share in which
    it leads the task's other words minus that in which it is below all of them (1: the head copies; -1: it suppresses).
    Without a list of answers the answer ranks above what is wrong: by chance in half of the prompts, so the share in
    which it does is drawn minus that in which it does not. A head alone leaves most probability to other tokens, so
    places are drawn, medians on a logarithmic scale; hovering gives the probabilities and the spread too.
    """
    cells = _cells(table)
    copying = table["subject_rank_among_words"].null_count() == 0
    ranked = {the(said.right): "answer_place", the(said.wrong): "wrong_place"}
    ranked = {title: field for title, field in ranked.items() if cells[field].null_count() < len(cells)}
    grid = layer_by_head(cells, panels=len(ranked) + (2 if copying else 1))
    prompts = prompt_count(table)
    last = max(cells[field].drop_nulls().to_numpy().max() for field in ranked.values())
    shown = {title: place_color(last, "Median place", field, grid.width) for title, field in ranked.items()}
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
        "Logit lens on the head's output at the final stream (final norm, unembedding), over "
        f"{counted(prompts)}. Place 1: the top of all tokens.",
        f"Outlined: heads that rank the answer above {said.rivals} in every prompt.",
        *[
            "Right: blue where the subject leads the task's other words (copying), red where it is below them all "
            "(suppressing)."
        ]
        * copying,
        gist=f"Heads that put the answer highest: {_highest(cells)}.",
    )


def _cells(table: pl.DataFrame) -> pl.DataFrame:
    """A row per layer and head: places and probabilities with their spread, and in how many prompts each is where."""
    counts = [
        (pl.col("answer_rank_among_answers") == 0).sum().alias("leads"),
        (pl.col("subject_rank_among_words") == 0).sum().alias("first"),
        pl.col("subject_last_among_words").sum().alias("last"),
    ]
    places = [
        statistic.alias(f"{token}_{name}")
        for token in _TOKENS
        for place in [pl.col(f"{token}_rank") + 1]
        for name, statistic in (("place", place.median()), ("best", place.min()), ("worst", place.max()))
    ]
    means = [pl.col(f"{token}_prob").mean().alias(f"{token}_mean") for token in _TOKENS]
    return table.group_by("layer", "head").agg(*places, *means, *counts).sort("layer", "head")


def _highest(cells: pl.DataFrame) -> str:
    best = cells.sort("answer_place", "layer", "head").head(3).select("layer", "head", "answer_place")
    return listed(f"a{layer}.h{head} at place {place:g}" for layer, head, place in best.iter_rows())


def _tooltip(said: Said, prompts: int, copying: bool) -> list[alt.Tooltip]:
    spreads = [
        alt.Tooltip(f"{token}_{statistic}:Q", title=f"{called}, {words}", format=digits)
        for token, called in zip(_TOKENS, (the(said.right), the(said.wrong)), strict=True)
        for statistic, words, digits in (
            ("place", "median place", ",~f"),
            ("best", "best", ",d"),
            ("worst", "worst", ",d"),
            ("mean", "mean probability", ".4g"),
        )
    ]
    counts = [
        alt.Tooltip(f"{name}:Q", title=f"{words}, of {counted(prompts)}", format="d")
        for name, words in _COUNTS[: 3 if copying else 1]
    ]
    return [alt.Tooltip("name:N", title="head"), *spreads, *counts]
