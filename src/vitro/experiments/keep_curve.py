"""The keep-curve: how many of its heads, the strongest first, a model needs for the task."""

import numpy as np
import polars as pl

from vitro.circuits import Circuit
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.in_vitro import circuit_rows
from vitro.experiments.key_heads import strongest_heads
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.experiments.statistics import leader
from vitro.figures import keep_curve as figure
from vitro.models import Model
from vitro.tasks import Task

POINTS = 150
"""At most so many; where a model has fewer heads, each number of them is measured."""


def run(setup: Setup) -> Tables:
    """Table `keep_curve`: k, prompt, and the `MEASURES` of circuits.

    Only the k strongest heads are live (by what their mean ablation costs the answer), the others at their means.
    """
    order = strongest_heads(setup.tables(HEAD_ABLATION)["head_ablation"], "mean")
    # In larger models every number at first, then ever wider steps: it is the first heads that matter.
    some = (len(order) * np.linspace(0, 1, POINTS) ** 2).round().astype(int)
    counts = range(len(order) + 1) if len(order) < POINTS else sorted(set(some.tolist()))
    circuits = {str(k): Circuit.within(setup.model, order[:k], "mean") for k in counts}
    table = circuit_rows(setup, "k", circuits, "heads kept")
    return {"keep_curve": table.with_columns(pl.col("k").cast(pl.Int64))}


def numbers(tables: Tables) -> pl.DataFrame:
    """At some numbers of heads: mean answer probability, logit difference and divergence from the model."""
    table = tables["keep_curve"]
    known = table["k"].unique().sort().to_list()
    wanted = [min(known, key=lambda k: abs(k - at)) for at in (0, 1, 2, 4, 8, 16, 32, 64, known[-1])]
    means = table.group_by("k").agg(pl.col("answer_prob", "logit_diff", "kl").mean()).sort("k")
    chosen = means.filter(pl.col("k").is_in(wanted))
    return chosen.rename({"k": "heads kept", "answer_prob": "mean answer prob", "logit_diff": "mean logit difference"})


def summary(tables: Tables) -> str:
    """After how many heads of this order the answer has half of its probability, and whether fewer than all give more.

    It is no minimum: another order of the same heads may need fewer.
    """
    table = tables["keep_curve"]
    means = table.group_by("k").agg(pl.col("answer_prob").mean()).sort("k")
    whole = means["answer_prob"][-1]
    first = means.filter(pl.col("answer_prob") >= whole / 2)["k"][0]
    said = (
        "Of the heads in the order of what mean ablation of each alone costs, which need not be the best order, the "
        f"first {first}{_steps(means, first)} give the answer half of the model's own probability ({whole:.3g}), "
        "with all other heads at their means"
    )
    own = table.filter(k=means["k"][-1]).select("prompt", pl.col("answer_prob").alias("own"))
    gain = table.join(own, on="prompt").filter(pl.col("k") < means["k"][-1])
    best = leader(gain, ("k",), pl.col("answer_prob") - pl.col("own"))
    # Which k is the highest is not asked, but whether the highest is above the model beyond the prompts' spread.
    at = gain.filter(k=best.key[0])
    above = leader(at, ("k",), pl.col("answer_prob") - pl.col("own")).stands_out
    more = f"; the curve passes the model's own value (to {best.mean + whole:.3g} with {best.key[0]} heads)"
    return f"{said}{more if above else ''}."


def _steps(means: pl.DataFrame, first: int) -> str:
    """Of a curve that is not measured at each k: from which to which the answer is."""
    before = means.filter(pl.col("k") < first)["k"]
    return "" if before.is_empty() or before[-1] == first - 1 else f" (of those tried; {before[-1]} do not)"


KEEP_CURVE = Experiment(
    name="keep_curve",
    title="How many heads it takes",
    reading="The curve is the answer's probability when only the strongest heads stay live, from none on the left to "
    "all on the right, in the order of what each alone costs; the dashed line is the model's own value.",
    python="vitro.keep_heads(model, task)",
    tables=("keep_curve",),
    run=run,
    figures=lambda tables: {"keep_curve": figure(tables["keep_curve"])},
    numbers=numbers,
    summary=summary,
)


def keep_heads(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The k strongest heads kept, for k from none to all (the post, "Finding a subset under mean ablation")."""
    return KEEP_CURVE.measure(model, task, options)
