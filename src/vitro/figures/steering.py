"""What becomes of the answer, and of where heads look, when the stream is pushed in a direction."""

import altair as alt
import polars as pl

from vitro.figures.curves import caption, color, curves, level, right_and_wrong, token_color
from vitro.figures.look import HEAD_COLORS, OWN_COLORS, dress, panel_title, values
from vitro.figures.spoken import listed
from vitro.figures.spread import means_and_prompts, prompt_count
from vitro.figures.tokens import word
from vitro.tables.labels import Said, the

_WIDTH, _HEIGHT = 405, 260


_BOTH = "right - wrong"
"""The direction from each prompt's wrong tokens to its right ones."""
_WHERE = {"final": "the final stream", "all": "every stream"}


def steering(table: pl.DataFrame, attention: pl.DataFrame, vector: pl.DataFrame, said: Said) -> alt.HConcatChart:
    """Curves of the tables V10 over alpha: probabilities on the left (`steering`), attention on the right.

    `attention` is `steering_attention`: each head's weight from the final stream to a mark, such as the subject;
    `vector` is `steering_vector`: whose direction is added, and where. The alphas stand at equal distances, in order,
    because -5 and 100 on one measure would leave nothing of what lies between. From the ninth head on colours come
    again; hovering names the head.
    """
    prompts, pushed = prompt_count(table), vector.row(0, named=True)
    words = the(said.right), the(said.wrong)
    named = attention.sort("layer", "head").with_columns(pl.format("a{}.h{}", "layer", "head").alias("name"))
    heads = named["name"].unique(maintain_order=True).to_list()
    colors = {head: HEAD_COLORS[number % len(HEAD_COLORS)] for number, head in enumerate(heads)}
    x = alt.X("alpha:O", title="alpha (multiples of the direction; not to scale)")
    x = x.axis(labelAngle=0, ticks=False, labelExpr="replace(datum.label, '-', '−')")
    alpha = alt.Tooltip("alpha:O", title="alpha")
    probabilities = curves(
        x,
        level("probability"),
        token_color(*words),
        [alt.Tooltip("token:N", title="of"), alpha],
        prompts=prompts,
        prompts_as="dots",
    )
    weights = curves(
        x,
        level("attention weight"),
        color("name", colors),
        [alt.Tooltip("name:N", title="head"), alpha],
        prompts=prompts,
        prompts_as="dots",
    )
    tokens = means_and_prompts(right_and_wrong(table, *words, "alpha"), ["token", "alpha"], "prob")
    panels = [
        (probabilities, tokens, "what is predicted"),
        (
            weights,
            means_and_prompts(named, ["name", "alpha"], "weight"),
            f"attention from the final stream to {the(pushed['mark'])}",
        ),
    ]
    if pushed["token"] == _BOTH:
        along = "pushed from wrong to right"
        vectors = f"each prompt's {pushed['direction']} unembedding vector of right minus that of wrong"
    else:
        along = f"pushed along '{word(pushed['token'])}'"
        vectors = f"the {pushed['direction']} unembedding vector"
    figure = alt.HConcatChart(
        hconcat=[
            panel.properties(data=values(rows), width=_WIDTH, height=_HEIGHT, title=panel_title(title))
            for panel, rows, title in panels
        ],
        spacing=40,
        resolve=OWN_COLORS,
    )
    return dress(
        figure,
        f"Steering: the stream after layer {pushed['layer']} {along}",
        f"Alpha times {vectors} is added at {_WHERE[pushed['positions']]}. " + caption(prompts, "dots"),
        gist=f"Mean probability of {words[0]}: "
        + listed(
            f"{prob:.3g} at alpha {alpha:g}"
            for alpha, prob in table.group_by("alpha").agg(pl.col("answer_prob").mean()).sort("alpha").iter_rows()
        )
        + ".",
    )
