"""V3, head ablation: what happens to the answer when one head is taken out."""

import polars as pl

from vitro.engine import Variant, z
from vitro.experiments.ablation import ablation_table, by_method, costs_most
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, head_effects
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, head_name, said
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `head_ablation`: prompt, method, layer, head, and how every metric changes (see `effects`).

    Every head is ablated alone, at every position, by each of the study's ablations.
    """
    shape = setup.model.shape
    setup = setup.swept
    variants: dict[tuple[str | int, ...], Variant] = {
        (kind, layer, head): setup.ablate(z(layer, head), kind)
        for kind in setup.ablations
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
    }
    return {"head_ablation": ablation_table(setup, variants, ("method", "layer", "head"), "heads ablated")}


def numbers(tables: Tables) -> pl.DataFrame:
    """The ten heads whose ablation changes the mean metric most, with all kinds of ablation."""
    by_head = by_method(tables, "head_ablation", (), head_name(), "head")
    spoken = said(tables)
    by = pl.col(f"{spoken.ablation}: change of {spoken.quantity.short}").abs()
    return by_head.sort(by, "head", descending=[True, False]).head(10)


def summary(tables: Tables) -> str:
    """The head whose ablation costs the answer most."""
    return costs_most(tables, "head_ablation", ("layer", "head"), Head, "head")


def figures(tables: Tables) -> dict[str, Figure]:
    """The heads by the change of the metric, and by that of the answer's logit and probability."""
    columns = dict.fromkeys((said(tables).change, "answer_prob_change", "answer_logit_change"))
    return {f"head_ablation_{value}": head_effects(tables["head_ablation"], value) for value in columns}


HEAD_ABLATION = Experiment(
    name="head_ablation",
    title="Heads, each ablated alone",
    reading="Each cell is one head: red where the answer loses when the head is taken out (so the head helped), blue "
    "where it gains, on average over the prompts.",
    python="m.ablate_heads()",
    tables=("head_ablation",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def ablate_heads(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every head ablated alone (docs/method.md, V3; the post, "Head ablation").

    Table `head_ablation` has a row per prompt, method (kind of ablation), layer and head: how every metric changes,
    ablated minus clean, and kl = KL(clean || ablated) in nats. `numbers` are the ten heads that matter most.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> heads = vitro.ablate_heads(model, task)
    >>> heads.numbers["head"][0], heads.table["method"].unique().sort().to_list()
    ('a1.h1', ['mean', 'random', 'zero'])
    """
    return HEAD_ABLATION.measure(model, task, options)
