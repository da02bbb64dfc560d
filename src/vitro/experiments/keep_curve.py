"""The keep-curve: how many of its heads, the strongest first, a model needs for the task."""

import numpy as np
import polars as pl

from vitro.circuits import Circuit
from vitro.experiments.circuits import circuit_rows
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.key_heads import ranking
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import keep_curve as figure
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, leader, said
from vitro.tables.quantities import QUANTITIES
from vitro.tasks import Task

POINTS = 150
"""The most numbers of heads measured; where a model has fewer heads, every number is."""
FEW, FEWER = 24, 40
"""With more than FEW prompts, at most FEWER points are measured: each is a full pass."""


def run(setup: Setup) -> Tables:
    """Table `keep_curve`: k, prompt, and every metric.

    Only the k strongest heads are live (by what ablation of each alone costs), the others ablated.
    """
    order, setup = ranking(setup), setup.swept
    points = POINTS if len(setup.questions) <= FEW else FEWER
    # In larger models every number at first, then wider and wider steps: the first heads matter most.
    steps = (len(order) * np.linspace(0, 1, points) ** 2).round().astype(int)
    counts = range(len(order) + 1) if len(order) < points else sorted(set(steps.tolist()))
    circuits = {str(k): Circuit.within(setup.model, order[:k], setup.ablation) for k in counts}
    table = circuit_rows(setup, "k", circuits, "heads kept")
    return {"keep_curve": table.with_columns(pl.col("k").cast(pl.Int64))}


def numbers(tables: Tables) -> pl.DataFrame:
    """At some numbers of heads: the mean metric, answer probability and divergence from the model."""
    table, metric = tables["keep_curve"], said(tables).metric
    known = table["k"].unique().sort().to_list()
    wanted = [min(known, key=lambda k: abs(k - at)) for at in (0, 1, 2, 4, 8, 16, 32, 64, known[-1])]
    names = [
        name for name in dict.fromkeys((metric, "answer_prob", "logit_diff", "kl")) if not table[name].null_count()
    ]
    columns = (pl.col(name).mean().alias(f"mean {QUANTITIES[name].short}") for name in names)
    means = table.group_by("k").agg(columns).sort("k")
    return means.filter(pl.col("k").is_in(wanted)).rename({"k": "heads kept"})


def summary(tables: Tables) -> str:
    """After how many heads of this order half of the metric is back, and whether fewer than all give more.

    It is no minimum: another order of the same heads may need fewer. Half way is between the value with no head (at
    most 0) and the value with all heads.
    """
    spoken = said(tables)
    table = tables["keep_curve"].select("k", "prompt", pl.col(spoken.metric).alias("value"))
    means = table.group_by("k").agg(pl.col("value").mean()).sort("k")
    all_heads, no_head = means["value"][-1], means["value"][0]
    half = (all_heads + min(no_head, 0.0)) / 2
    first = means.filter(pl.col("value") >= half)["k"][0]
    sentence = (
        f"Of the heads in the order of what {spoken.ablation} ablation of each alone costs, which need not be the best "
        f"order, {_first(means, first)} the {spoken.quantity.short} half way to the "
        f"model's own ({spoken.quantity.amount(all_heads)}), with all other heads ablated"
    )
    own = table.filter(k=means["k"][-1]).select("prompt", pl.col("value").alias("own"))
    gain = table.join(own, on="prompt").filter(pl.col("k") < means["k"][-1])
    best = leader(gain, ("k",), pl.col("value") - pl.col("own"))
    # The question is whether the highest point is above the model beyond the prompts' spread, not which k it is at.
    at = gain.filter(k=best.key[0])
    above = leader(at, ("k",), pl.col("value") - pl.col("own")).stands_out
    heads = "1 head" if best.key[0] == 1 else f"{best.key[0]} heads"
    more = f"; the curve passes the model's own value (to {best.mean + all_heads:.3g} with {heads})"
    return f"{sentence}{more if above else ''}."


def _first(means: pl.DataFrame, first: int) -> str:
    """How many heads bring it; of a curve that is not measured at each k, also the last k before, which does not."""
    if first < 2:
        return "the first brings" if first else "none is needed to bring"
    before = means.filter(pl.col("k") < first)["k"]
    tried = "" if before[-1] == first - 1 else f" (of those tried; {before[-1]} do not)"
    return f"the first {first}{tried} bring"


KEEP_CURVE = Experiment(
    name="keep_curve",
    title="How many heads it takes",
    reading="The curve is the metric when only the strongest heads stay live, from none on the left to "
    "all on the right, in the order of what each alone costs; the dashed line is the model's own value.",
    python="m.keep_heads()",
    tables=("keep_curve",),
    run=run,
    figures=lambda tables: {"keep_curve": figure(tables["keep_curve"], said(tables))},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def keep_heads(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The k strongest heads kept, for k from none to all (the post, "Finding a subset under mean ablation").

    Table `keep_curve` has a row per k and prompt: every metric when all heads but the k strongest are ablated.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.keep_heads(model, task).numbers["heads kept"].to_list()
    [0, 1, 2, 4, 8, 12]
    """
    return KEEP_CURVE.measure(model, task, options)
