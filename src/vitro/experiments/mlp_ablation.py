"""V12, MLP ablation: what happens to the answer when one MLP is taken out."""

import polars as pl

from vitro.engine import Edit, Variant, mlp_out
from vitro.experiments.ablation import ablation_table
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, METHODS, Options, Setup, Tables
from vitro.experiments.statistics import leader
from vitro.figures import mlp_effects
from vitro.models import Model
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `mlp_ablation`: prompt, method, layer, answer_prob_change, answer_logit_change.

    Every MLP is ablated alone, at every position, by zero, random and mean. Changes are ablated minus clean.
    """
    variants: dict[tuple[str | int, ...], Variant] = {
        (method, layer): (
            Edit(mlp_out(layer), setup.mlp_instead(method, layer), positions=setup.ablated_positions(method)),
        )
        for method in METHODS
        for layer in range(setup.model.shape.n_layers)
    }
    table = ablation_table(setup, variants, ("method", "layer"), "MLPs ablated")
    return {"mlp_ablation": table.select("prompt", "method", "layer", "answer_prob_change", "answer_logit_change")}


def numbers(tables: Tables) -> pl.DataFrame:
    """Every MLP's mean change of the answer's probability, by method."""
    by_layer = tables["mlp_ablation"].group_by("layer", "method").agg(pl.col("answer_prob_change").mean())
    wide = by_layer.pivot("method", index="layer", values="answer_prob_change").sort("layer")
    return wide.select(
        pl.format("m{}", "layer").alias("MLP"),
        *(pl.col(method).alias(f"{method}: change of prob") for method in METHODS),
    )


def summary(tables: Tables) -> str:
    """The MLP without which the answer loses most."""
    mine = tables["mlp_ablation"].filter(method="mean")
    first = leader(mine, ("layer",), -pl.col("answer_prob_change"))
    if not first.stands_out:
        return f"Of the MLPs, mean-ablated one by one, which costs the answer most? Here {first.doubt}."
    return (
        f"Of all single MLPs, mean ablation of m{first.key[0]} costs the answer most probability: {-first.mean:+.3g} "
        f"on average over {first.n_prompts} prompts."
    )


MLP_ABLATION = Experiment(
    name="mlp_ablation",
    title="MLPs, each ablated alone",
    reading="Each bar is one MLP: below zero where the answer loses when the MLP is taken out (so the MLP helped); "
    "the dots are the single prompts.",
    python="vitro.ablate_mlps(model, task)",
    tables=("mlp_ablation",),
    run=run,
    figures=lambda tables: {
        f"mlp_ablation_{value}": mlp_effects(tables["mlp_ablation"], value)
        for value in ("answer_prob_change", "answer_logit_change")
    },
    numbers=numbers,
    summary=summary,
)


def ablate_mlps(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every MLP ablated alone by zero, random and mean (method.md V12; the post, "Layer MLPs")."""
    return MLP_ABLATION.measure(model, task, options)
