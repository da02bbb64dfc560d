"""What circuits answer on their own, beside the model they were taken from."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from vitro.figures.look import BLUE, GRAY, INK, RED, dress, values
from vitro.figures.odds import NOTE, OddsAxis, at_log_odds
from vitro.figures.spoken import listed
from vitro.figures.spread import DOTS, prompt_count
from vitro.figures.tokens import readable
from vitro.tables.labels import counted

_WIDTH, _ROW = 560, 30
MODEL = "the whole model"


def circuit_answers(circuits: pl.DataFrame, clean: pl.DataFrame, words: Mapping[str, str]) -> alt.LayerChart:
    """A row per circuit of the table `circuits`: the answer's probability in every prompt, as a dot, and its mean.

    The model itself (`clean`, V1) stands first. A dot is blue where the answer is the top token. `words` describes
    each circuit by name. Probabilities stand at their log-odds: small circuits leave most of it to other tokens.
    """
    shared = ["prompt", "answer_prob", "answer_rank", "top_token", "top_prob"]
    rows = pl.concat(
        [
            clean.select(pl.lit(MODEL).alias("circuit"), *shared),
            circuits.select("circuit", *shared),
        ],
        how="vertical_relaxed",
    )
    names = pl.col("circuit").replace_strict({name: f"{name}: {text}" for name, text in words.items()}, default=None)
    rows = rows.with_columns(
        names.fill_null(pl.col("circuit")).alias("name"),
        pl.col("top_token").map_elements(readable, return_dtype=pl.String).alias("top"),
        (pl.col("answer_rank") == 0).alias("right"),
    )
    means = rows.group_by("name", maintain_order=True).agg(
        pl.col("answer_prob").mean().alias("mean"), pl.col("right").sum()
    )
    rows, means = at_log_odds(rows, "answer_prob"), at_log_odds(means, "mean")
    order = means["name"].to_list()
    prompts = prompt_count(clean)
    y = alt.Y("name:N", sort=order, title=None).axis(labelLimit=320, ticks=False, domain=False, labelFontSize=12)
    odds = OddsAxis.over(pl.concat([means.select("at_mean"), rows.select(at_mean="at_answer_prob")]), _WIDTH, room=56)
    x = alt.X("at_mean:Q", scale=odds.scale, axis=odds.axis("answer's probability"))
    ticks = (
        alt.Chart(values(means))
        .mark_tick(thickness=4, size=20, opacity=1)
        .encode(
            y=y,
            x=x,
            color=alt.when(f"datum.name === '{MODEL}'").then(alt.value(INK)).otherwise(alt.value(GRAY)),
            tooltip=[
                alt.Tooltip("name:N", title="circuit"),
                alt.Tooltip("mean:Q", title="mean answer probability", format=".4g"),
                alt.Tooltip("right:Q", title="prompts with the answer on top"),
            ],
        )
    )
    counts = (
        alt.Chart(values(means))
        .transform_calculate(label=f"datum.right + ' of {prompts} right'")
        .mark_text(align="left", color=INK, fontSize=12)
        .encode(y=y, x=alt.value(_WIDTH + 12), text="label:N")
    )
    dots = (
        alt.Chart(values(rows.select("name", "prompt", "answer_prob", "at_answer_prob", "right", "top", "top_prob")))
        .mark_circle(size=34 if prompts <= DOTS else 12, opacity=0.75)
        .encode(
            y=y,
            x="at_answer_prob:Q",
            color=alt.when("datum.right").then(alt.value(BLUE)).otherwise(alt.value(RED)),
            tooltip=[
                alt.Tooltip("name:N", title="circuit"),
                alt.Tooltip("prompt:Q", title="prompt", format="d"),
                alt.Tooltip("answer_prob:Q", title="answer's probability", format=".4g"),
                alt.Tooltip("top:N", title="top token"),
                alt.Tooltip("top_prob:Q", title="top token's probability", format=".4g"),
            ],
        )
    )
    return dress(
        alt.LayerChart(layer=[ticks, dots, counts], width=_WIDTH, height=alt.Step(_ROW)),
        "What circuits answer on their own",
        f"Ticks: mean over {counted(prompts)}; dots: the prompts, blue where the answer is the top token, else red.",
        NOTE,
        gist="Right: "
        + listed(f"{name} {right} of {prompts}" for name, right in means.select("name", "right").iter_rows())
        + ".",
    )
