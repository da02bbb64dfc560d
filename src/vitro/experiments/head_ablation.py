"""V3, head ablation: what happens to the answer when one head is taken out."""

import polars as pl

from vitro.engine import Edit, Variant, z
from vitro.experiments.ablation import ablation_table
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, METHODS, Options, Setup, Tables
from vitro.experiments.statistics import leader
from vitro.figures import head_effects
from vitro.models import Model
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `head_ablation`: prompt, method, layer, head, and how the answer changes (see `effects`).

    Every head is ablated alone, at every position, by zero, random and mean.
    """
    shape = setup.model.shape
    variants: dict[tuple[str | int, ...], Variant] = {}
    for method in METHODS:
        positions = setup.ablated_positions(method)
        for layer in range(shape.n_layers):
            instead = setup.z_instead(method, layer)
            for head in range(shape.n_heads):
                variants[method, layer, head] = (Edit(z(layer, head), instead[:, head], positions=positions),)
    return {"head_ablation": ablation_table(setup, variants, ("method", "layer", "head"), "heads ablated")}


def numbers(tables: Tables) -> pl.DataFrame:
    """The ten heads whose mean ablation moves the mean answer probability most, with the other methods beside it."""
    by_head = (
        tables["head_ablation"]
        .with_columns(pl.format("a{}.h{}", "layer", "head").alias("head"))
        .group_by("head", "method")
        .agg(pl.col("answer_prob_change").mean())
        .pivot("method", index="head", values="answer_prob_change")
    )
    strongest = by_head.sort(pl.col("mean").abs(), "head", descending=[True, False]).head(10)
    return strongest.select("head", *(pl.col(method).alias(f"{method}: change of prob") for method in METHODS))


def summary(tables: Tables) -> str:
    """The head without which the answer loses most."""
    mine = tables["head_ablation"].filter(method="mean")
    first = leader(mine, ("layer", "head"), -pl.col("answer_prob_change"))
    if not first.stands_out:
        return f"Of the heads, mean-ablated one by one, which costs the answer most? Here {first.doubt}."
    return (
        "Of all single heads, mean ablation of a{}.h{} costs the answer most probability: ".format(*first.key)
        + f"{-first.mean:+.3g} on average over {first.n_prompts} prompts."
    )


HEAD_ABLATION = Experiment(
    name="head_ablation",
    title="Heads, each ablated alone",
    reading="Each cell is one head: red where the answer loses when the head is taken out (so the head helped), blue "
    "where it gains, on average over the prompts.",
    python="vitro.ablate_heads(model, task)",
    tables=("head_ablation",),
    run=run,
    figures=lambda tables: {
        f"head_ablation_{value}": head_effects(tables["head_ablation"], value)
        for value in ("answer_prob_change", "answer_logit_change")
    },
    numbers=numbers,
    summary=summary,
)


def ablate_heads(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every head ablated alone by zero, random and mean (method.md V3; the post, "Head ablation")."""
    return HEAD_ABLATION.measure(model, task, options)
