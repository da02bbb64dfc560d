"""The prediction as it forms: the logit lens at every depth."""

import altair as alt
import polars as pl

from vitro.figures.curves import caption, color, curves, right_and_wrong, token_color
from vitro.figures.look import BLUE, INK, OWN_COLORS, WIDTH, dress, panel_title, size, ticks, values
from vitro.figures.odds import NOTE, OddsAxis, at_log_odds
from vitro.figures.spread import means_and_prompts, prompt_count
from vitro.tables.labels import Said, the

_WIDTH = WIDTH - 90
_HEIGHT, _LOW_HEIGHT = 260, 70

_STAGE = (
    "datum.depth === 0 ? 'input' : floor(datum.depth) === datum.depth ? 'after layer ' + (datum.depth - 1) : "
    "'in layer ' + floor(datum.depth) + ', between attention and MLP'"
)


def layer_lens(table: pl.DataFrame, said: Said) -> alt.VConcatChart:
    """Curves of table V8 (`layer_lens`) over depth: the probability of right and wrong; below, where the answer leads.

    Probabilities stand at their log-odds: at most depths they are next to nothing, and what grows there is the news.

    Depth 0 is the input and depth l + 1 the end of layer l; halfway between, its attention has been added and its MLP
    has not. The stream before layer l + 1 is the one after layer l and is drawn once.
    """
    depths = _by_depth(table)
    layers = size(table["layer"])
    prompts = prompt_count(table)
    words = the(said.right), the(said.wrong)
    rows = means_and_prompts(right_and_wrong(depths, *words, "depth"), ["token", "depth"], "prob")
    rows = at_log_odds(rows, *(name for name in ("mean", "min", "max", "value") if name in rows.columns))
    odds = OddsAxis.over(rows, _HEIGHT)
    probabilities = curves(
        _depth(layers).title(None),
        alt.Y("at_mean:Q", scale=odds.scale, axis=odds.axis()),
        token_color(*words),
        [alt.Tooltip("token:N", title="of"), alt.Tooltip("stage:N", title="stream")],
        prompts=prompts,
        prompts_as="lines",
        at="at_",
    ).transform_calculate(stage=_STAGE)
    return dress(
        alt.VConcatChart(
            vconcat=[
                probabilities.properties(data=values(rows), width=_WIDTH, height=_HEIGHT),
                _leads(depths, layers, prompts, said),
            ],
            spacing=18,
            resolve=OWN_COLORS,
        ),
        "What the final stream predicts at every depth",
        "Logit lens on the final stream of the clean run: final norm, unembedding, softmax. "
        + caption(prompts, "lines"),
        NOTE,
        gist=_gist(depths, words),
    )


def _gist(depths: pl.DataFrame, words: tuple[str, str]) -> str:
    means = depths.group_by("depth").agg(pl.col("answer_prob", "wrong_prob").mean()).sort("depth")
    last, best = means.row(-1, named=True), means.sort("answer_prob").row(-1, named=True)
    return (
        f"At the end {words[0]} has {last['answer_prob']:.3g} and {words[1]} {last['wrong_prob']:.3g} on average; "
        f"{words[0]} has most, {best['answer_prob']:.3g}, {_called(best['depth'])}."
    )


def _called(depth: float) -> str:
    layer = int(depth)
    if layer < depth:
        return f"in layer {layer}, between attention and MLP"
    return f"after layer {layer - 1}" if layer else "at the input"


def _by_depth(table: pl.DataFrame) -> pl.DataFrame:
    """The table with `depth`, in layers, and each stream once."""
    step = pl.col("stage").replace_strict({"pre": 0.0, "mid": 0.5, "post": 1.0})
    twice = (pl.col("stage") == "pre") & (pl.col("layer") > 0)
    return table.filter(~twice).with_columns((pl.col("layer") + step).alias("depth"))


def _depth(layers: int) -> alt.X:
    labelled = [0, *(layer + 1 for layer in ticks(layers, _WIDTH / layers, room=20))]
    return alt.X(
        "depth:Q",
        scale=alt.Scale(domain=[0, layers], nice=False),
        title="after layer (halfway: after its attention, before its MLP)",
        axis=alt.Axis(
            values=labelled,
            labelExpr="datum.value === 0 ? 'input' : datum.value - 1",
            labelOverlap=False,
            labelFlush=False,
        ),
    )


def _leads(depths: pl.DataFrame, layers: int, prompts: int, said: Said) -> alt.Chart:
    """In how many prompts the answer is above what is wrong and, of a list, in how many above all other answers."""
    over_wrong, over_all = f"answer above {the(said.wrong)}", f"answer above {said.rivals}"
    leading, colors = [(pl.col("answer_rank_among_answers") == 0).sum().alias(over_all)], {over_all: BLUE}
    if said.n_answers:
        leading.append((pl.col("answer_prob") > pl.col("wrong_prob")).sum().alias(over_wrong))
        colors = {over_wrong: INK, over_all: BLUE}
    counted = depths.group_by("depth").agg(leading)
    leads = counted.unpivot(index="depth", variable_name="over", value_name="leads").sort("over", "depth")
    panel: alt.Chart = (
        alt.Chart(values(leads), width=_WIDTH, height=_LOW_HEIGHT, title=panel_title("in how many prompts it leads"))
        .transform_calculate(stage=_STAGE)
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(filled=True, size=34))
        .encode(
            x=_depth(layers),
            color=color("over", colors),
            y=alt.Y("leads:Q", title="prompts", scale=alt.Scale(domain=[0, prompts], nice=False)).axis(
                values=sorted({0, prompts}), domain=False, ticks=False, offset=6
            ),
            tooltip=[
                alt.Tooltip("over:N", title="above"),
                alt.Tooltip("stage:N", title="stream"),
                alt.Tooltip("leads:Q", title=f"answer leads, of {prompts} prompts", format="d"),
            ],
        )
    )
    return panel
