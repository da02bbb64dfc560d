"""V12, MLP ablation: what happens to the answer when one MLP is taken out."""

import polars as pl

from vitro.engine import Variant, mlp_out
from vitro.experiments.ablation import ablation_table, by_method, costs_most
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, mlp_effects
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, said
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `mlp_ablation`: prompt, method, layer, and how every metric changes (see `effects`).

    Every MLP is ablated alone, at every position, by each of the study's ablations. Changes are ablated minus clean.
    """
    setup = setup.swept
    variants: dict[tuple[str | int, ...], Variant] = {
        (kind, layer): setup.ablate(mlp_out(layer), kind)
        for kind in setup.ablations
        for layer in range(setup.model.shape.n_layers)
    }
    return {"mlp_ablation": ablation_table(setup, variants, ("method", "layer"), "MLPs ablated")}


def numbers(tables: Tables) -> pl.DataFrame:
    """Every MLP's mean change of the metric, by method."""
    return by_method(tables, "mlp_ablation", ("layer",), pl.format("m{}", "layer"), "MLP").sort("layer").drop("layer")


def summary(tables: Tables) -> str:
    """The MLP whose ablation costs the answer most."""
    return costs_most(tables, "mlp_ablation", ("layer",), "m{}".format, "MLP")


def figures(tables: Tables) -> dict[str, Figure]:
    """The MLPs by the change of the metric, and by that of the answer's logit and probability."""
    columns = dict.fromkeys((said(tables).change, "answer_prob_change", "answer_logit_change"))
    return {f"mlp_ablation_{value}": mlp_effects(tables["mlp_ablation"], value) for value in columns}


MLP_ABLATION = Experiment(
    name="mlp_ablation",
    title="MLPs, each ablated alone",
    reading="Each bar is one MLP: below zero where the answer loses when the MLP is taken out (so the MLP helped), "
    "above zero where it gains.",
    python="m.ablate_mlps()",
    tables=("mlp_ablation",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def ablate_mlps(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every MLP ablated alone (docs/method.md, V12; the post, "Layer MLPs").

    Table `mlp_ablation` has a row per prompt, method (kind of ablation) and layer: how every metric changes, ablated
    minus clean, and kl = KL(clean || ablated) in nats.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.ablate_mlps(model, task).numbers["MLP"].to_list()
    ['m0', 'm1', 'm2']
    """
    return MLP_ABLATION.measure(model, task, options)
