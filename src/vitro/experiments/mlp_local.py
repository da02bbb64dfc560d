"""V11, what each MLP does on the spot: the lens after it minus the lens before it."""

import polars as pl

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.layer_lens import LAYER_LENS
from vitro.experiments.setup import Setup
from vitro.figures import mlp_local as figure
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, leader
from vitro.tables.mlps import on_the_spot
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `mlp_local`: prompt, layer, answer_prob_before, answer_prob_after: the lens at resid_mid and resid_post."""
    lens = setup.tables(LAYER_LENS)["layer_lens"].select("prompt", "layer", "stage", "answer_prob")
    before = lens.filter(stage="mid").select("prompt", "layer", pl.col("answer_prob").alias("answer_prob_before"))
    after = lens.filter(stage="post").select("prompt", "layer", pl.col("answer_prob").alias("answer_prob_after"))
    return {"mlp_local": before.join(after, on=["prompt", "layer"], how="inner", maintain_order="left")}


def numbers(tables: Tables) -> pl.DataFrame:
    """Every MLP's mean effect, best first."""
    return on_the_spot(tables["mlp_local"]).select(pl.format("m{}", "layer").alias("MLP"), pl.exclude("layer"))


def summary(tables: Tables) -> str:
    """Which MLP raises and which lowers the answer most, if any stands out."""
    change = pl.col("answer_prob_after") - pl.col("answer_prob_before")
    raises, lowers = (leader(tables["mlp_local"], ("layer",), effect) for effect in (change, -change))
    parts = [
        f"m{mlp.key[0]} {verb} the answer's probability most ({sign}{mlp.mean:.3g} on average)"
        if mlp.stands_out
        else f"of the MLPs that may {verb[:-1]} it, {mlp.doubt}"
        for mlp, verb, sign in ((raises, "raises", "+"), (lowers, "lowers", "-"))
    ]
    if not (raises.stands_out or lowers.stands_out):
        return f"Of what each MLP does to the answer's probability on the spot, {raises.doubt}."
    return f"By the lens on the spot, {parts[0]}; {parts[1]}."


MLP_LOCAL = Experiment(
    name="mlp_local",
    title="MLPs, on the spot",
    reading="Each bar goes from the answer's probability by the lens before an MLP to that after it, at their "
    "log-odds: blue where the MLP pushes the answer directly, also where it has next to no probability; the numbers "
    "say how much of it an MLP gives.",
    python="m.mlp_local()",
    tables=("mlp_local",),
    run=run,
    figures=lambda tables: {"mlp_local": figure(tables["mlp_local"])},
    numbers=numbers,
    summary=summary,
)


def mlp_local(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """What each MLP does on the spot (docs/method.md, V11; the post, "Layer MLPs").

    Table `mlp_local` has a row per prompt and layer: the answer's probability by the logit lens before the MLP and
    after it.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.mlp_local(model, task).numbers["MLP"].to_list()
    ['m2', 'm0', 'm1']
    """
    return MLP_LOCAL.measure(model, task, options)
