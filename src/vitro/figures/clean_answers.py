"""The clean run: what the model answers before anything is touched."""

from typing import Literal

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, FAINT, INK, PALE, RED, WIDTH, dress, values
from vitro.figures.spoken import strongest
from vitro.figures.spread import some_prompts
from vitro.figures.tokens import readable, word
from vitro.tables.labels import Said, counted, the, with_kinds

_RIGHT, _WRONG = "the answer, as top token", "the answer, below another token"
_MOSTLY_RIGHT, _MOSTLY_WRONG = "the answer, in most prompts the top token", "the answer, in fewer"
_TOP = "the top token"

FEW = 24
"""Prompts that have a line each, where they are of several kinds."""
_LIST, _SAMPLE = 100, 40
"""Lines at most: of a list, which is read as a whole, and of all else."""
_BARS = 600.0
_LETTER, _LONGEST = 6.6, 240
"""Pixels of an average character of a label, and after which a label is cut."""
_TOKENS, _NUMBERS = 24, 220
"""Pixels from the end of the bars to where the columns of text begin and end."""


def clean_answers(clean: pl.DataFrame, questions: pl.DataFrame, said: Said) -> alt.LayerChart:
    """A line per prompt: how probable are its answer (bar), the top token (pale bar) and the wrong one (dot).

    `clean` is table V1. The top token stands beside the bars, so that wrong answers are read without a mouse.
    Of many prompts of several kinds a line is a kind, with means, and beside it how many of its prompts are right.
    Of more lines than a page shows some are drawn, evenly spread.
    """
    kinds = clean.height > FEW and said.n_groups > 1
    every = _by_kind(with_kinds(clean, questions)) if kinds else _rows(clean)
    lines = some_prompts(every.height, at_most=_LIST if said.n_answers else _SAMPLE)
    rows = every[lines]
    right = (clean["answer_rank"] == 0).sum()
    mean = clean["answer_prob"].to_numpy().mean()
    names = min(_LONGEST, _LETTER * max(map(len, rows["label"])))
    width = round(min(_BARS, WIDTH - _NUMBERS - names - 40))
    beside = "right above wrong" if kinds else "probability"
    layers = alt.LayerChart(
        data=values(rows),
        layer=[
            *_bars((_MOSTLY_RIGHT, _MOSTLY_WRONG) if kinds else (_RIGHT, _WRONG)),
            _wrong(the(said.wrong)),
            _column(alt.Text("top:N"), width + _TOKENS, "left"),
            _column(alt.Text("first:N") if kinds else alt.Text("top_prob:Q", format=".3f"), width + _NUMBERS, "right"),
            _heading("right on top" if kinds else "top token", width + _TOKENS, "left"),
            _heading(beside, width + _NUMBERS, "right"),
        ],
        width=width,
        height=alt.Step(26 if rows.height <= 24 else 16),
    )
    return dress(
        layers,
        "What the model answers when nothing is touched",
        f"The answer is the top token on {right} of {counted(clean.height)}; its mean probability is {mean:.4f}."
        + (" A line is a kind of prompt, with means." if kinds else "")
        + (f" {len(lines)} of {every.height} are drawn, evenly spread." if len(lines) < every.height else ""),
        gist="The most probable answers: "
        f"{strongest(every, pl.col('label').cast(pl.String), pl.col('answer_prob'), '.3g')}.",
    )


def _rows(clean: pl.DataFrame) -> pl.DataFrame:
    """What the figure draws and nothing else, prompts in order, every token readable, every label unique."""
    labels = pl.struct("label", "answer").map_elements(
        lambda pair: f"{word(pair['label'])} → {word(pair['answer'])}", return_dtype=pl.String
    )
    named = clean.sort("prompt").with_columns(labels.alias("label"))
    numbered = pl.format("{} (prompt {})", "label", "prompt")
    return named.select(
        pl.when(pl.col("label").is_duplicated()).then(numbered).otherwise("label").alias("label"),
        pl.when(pl.col("answer_rank") == 0).then(pl.lit(_RIGHT)).otherwise(pl.lit(_WRONG)).alias("outcome"),
        (pl.col("answer_rank") + 1).alias("place"),
        pl.col("top_token").map_elements(readable, return_dtype=pl.String).alias("top"),
        "answer_prob",
        "answer_logit",
        "wrong_prob",
        "top_prob",
    )


def _by_kind(clean: pl.DataFrame) -> pl.DataFrame:
    """The same of kinds of prompts, with means over each."""
    right, first = (pl.col("answer_rank") == 0).sum(), (pl.col("right_first") == 1).sum()
    return (
        clean.group_by("kind")
        .agg(
            pl.when(2 * right > pl.len()).then(pl.lit(_MOSTLY_RIGHT)).otherwise(pl.lit(_MOSTLY_WRONG)).alias("outcome"),
            (pl.col("answer_rank").median() + 1).alias("place"),
            pl.format("{} of {}", right, pl.len()).alias("top"),
            pl.format("{} of {}", first, pl.len()).alias("first"),
            pl.col("answer_prob", "answer_logit", "wrong_prob", "top_prob").mean(),
        )
        .sort("kind")
        .rename({"kind": "label"})
    )


def _lines() -> alt.Chart:
    """One line per prompt, in the order of the table, with everything that hovering shows."""
    y = alt.Y("label:N", sort=None, title=None, scale=alt.Scale(paddingInner=0.28, paddingOuter=0.14))
    return alt.Chart().encode(
        y=y.axis(labelLimit=_LONGEST, labelPadding=8, ticks=False, domain=False, labelFontSize=12),
        tooltip=[
            alt.Tooltip("label:N", title="prompt"),
            alt.Tooltip("answer_prob:Q", title="answer's probability", format=".4g"),
            alt.Tooltip("answer_logit:Q", title="answer's logit (nats)", format=".4g"),
            alt.Tooltip("place:Q", title="answer's rank (1 = top)"),
            alt.Tooltip("wrong_prob:Q", title="probability of what is wrong", format=".4g"),
            alt.Tooltip("top:N", title="top token"),
            alt.Tooltip("top_prob:Q", title="top token's probability", format=".4g"),
        ],
    )


def _bars(outcomes: tuple[str, str]) -> list[alt.Chart]:
    """The answer's bar over the top token's: what is pale is the lead of a wrong token."""
    kinds = alt.Fill(
        "outcome:N",
        scale=alt.Scale(domain=[*outcomes, _TOP], range=[BLUE, RED, PALE]),
        legend=_legend("square"),
    )
    x = alt.X("top_prob:Q", title="probability").axis(tickCount=6, labelFlush=False)
    return [
        _lines().mark_bar().encode(x=x, fill=alt.datum(_TOP)),
        _lines().mark_bar().encode(x="answer_prob:Q", fill=kinds),
    ]


def _wrong(name: str) -> alt.Chart:
    """A dot at the probability of what is wrong, ringed so that it shows on any bar."""
    color = alt.Color("wrong:N", scale=alt.Scale(domain=[name], range=[INK]), legend=_legend("circle"))
    dots: alt.Chart = (
        _lines()
        .transform_calculate(wrong=f"'{name}'")
        .mark_point(shape="circle", size=60, filled=True, opacity=1, stroke="white", strokeWidth=1.5)
        .encode(x="wrong_prob:Q", color=color)
    )
    return dots


def _legend(symbol: Literal["square", "circle"]) -> alt.Legend:
    return alt.Legend(orient="top", title=None, symbolType=symbol, symbolStrokeWidth=0, offset=8)


def _column(text: alt.Text, x: int, align: Literal["left", "right"]) -> alt.Chart:
    """A column of text to the right of the bars."""
    column: alt.Chart = (
        _lines().mark_text(align=align, color=INK, fontSize=12, limit=130).encode(x=alt.value(x), text=text)
    )
    return column


def _heading(title: str, x: int, align: Literal["left", "right"]) -> alt.Chart:
    """The title of a column of text. It has its own row of data: on the table's it would be drawn once a prompt."""
    heading: alt.Chart = (
        alt.Chart(alt.InlineData(values=[{}]))
        .mark_text(align=align, baseline="bottom", color=FAINT, fontSize=12)
        .encode(x=alt.value(x), y=alt.value(-4), text=alt.value(title))
    )
    return heading
