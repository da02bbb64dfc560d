"""The clean run: what the model answers before anything is touched."""

from typing import Literal

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, FAINT, INK, PALE, RED, dress, values
from vitro.figures.tokens import readable, word

_RIGHT, _WRONG = "the answer, as top token", "the answer, below another token"
_TOP, _SUBJECT = "the top token", "the subject"

_BARS = 600
_TOKENS, _NUMBERS = _BARS + 24, _BARS + 220
"""Pixels from the left where the bars end, the top tokens begin and their probabilities end."""


def clean_answers(clean: pl.DataFrame) -> alt.LayerChart:
    """A line per prompt: how probable are its answer (bar), the top token (pale bar) and the subject (dot).

    `clean` is table V1. The top token stands beside the bars, so that wrong answers are read without a mouse.
    A hundred prompts make a tall figure rather than an illegible one.
    """
    rows = _rows(clean)
    right = rows["outcome"].eq(_RIGHT).sum()
    mean = clean["answer_prob"].to_numpy().mean()
    layers = alt.LayerChart(
        data=values(rows),
        layer=[
            *_bars(),
            _subjects(),
            _column(alt.Text("top:N"), _TOKENS, "left"),
            _column(alt.Text("top_prob:Q", format=".3f"), _NUMBERS, "right"),
            _heading("top token", _TOKENS, "left"),
            _heading("probability", _NUMBERS, "right"),
        ],
        width=_BARS,
        height=alt.Step(26 if rows.height <= 24 else 16),
    )
    return dress(
        layers,
        "What the model answers when nothing is touched",
        f"The answer is the top token on {right} of {rows.height} prompts; its mean probability is {mean:.4f}.",
    )


def _rows(clean: pl.DataFrame) -> pl.DataFrame:
    """What the figure draws and nothing else, prompts in order, every token readable, every label unique."""
    labels = pl.struct("subject", "answer").map_elements(
        lambda pair: f"{word(pair['subject'])} → {word(pair['answer'])}", return_dtype=pl.String
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
        "subject_prob",
        "top_prob",
    )


def _lines() -> alt.Chart:
    """One line per prompt, in the order of the table, with everything that hovering shows."""
    y = alt.Y("label:N", sort=None, title=None, scale=alt.Scale(paddingInner=0.28, paddingOuter=0.14))
    return alt.Chart().encode(
        y=y.axis(labelLimit=240, labelPadding=8, ticks=False, domain=False, labelFontSize=12),
        tooltip=[
            alt.Tooltip("label:N", title="prompt"),
            alt.Tooltip("answer_prob:Q", title="answer's probability", format=".4g"),
            alt.Tooltip("answer_logit:Q", title="answer's logit (nats)", format=".4g"),
            alt.Tooltip("place:Q", title="answer's rank (1 = top)"),
            alt.Tooltip("subject_prob:Q", title="subject's probability", format=".4g"),
            alt.Tooltip("top:N", title="top token"),
            alt.Tooltip("top_prob:Q", title="top token's probability", format=".4g"),
        ],
    )


def _bars() -> list[alt.Chart]:
    """The answer's bar over the top token's: what is pale is the lead of a wrong token."""
    kinds = alt.Fill(
        "outcome:N",
        scale=alt.Scale(domain=[_RIGHT, _WRONG, _TOP], range=[BLUE, RED, PALE]),
        legend=_legend("square"),
    )
    x = alt.X("top_prob:Q", title="probability").axis(tickCount=6, labelFlush=False)
    return [
        _lines().mark_bar().encode(x=x, fill=alt.datum(_TOP)),
        _lines().mark_bar().encode(x="answer_prob:Q", fill=kinds),
    ]


def _subjects() -> alt.Chart:
    """A dot at the subject's probability, ringed so that it shows on any bar."""
    color = alt.Color("subject:N", scale=alt.Scale(domain=[_SUBJECT], range=[INK]), legend=_legend("circle"))
    dots: alt.Chart = (
        _lines()
        .transform_calculate(subject=f"'{_SUBJECT}'")
        .mark_point(shape="circle", size=60, filled=True, opacity=1, stroke="white", strokeWidth=1.5)
        .encode(x="subject_prob:Q", color=color)
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
