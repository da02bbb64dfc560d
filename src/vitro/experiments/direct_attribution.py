"""Direct attribution: what every component adds by itself to the logit difference, beside what ablating it costs."""

import numpy as np
import polars as pl

from vitro.engine import direct_attribution as shares_of
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.mlp_ablation import MLP_ABLATION
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import Figure, direct_heads, direct_layers
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, head_name, leader, said
from vitro.tasks import Task

SHOWN = 12
_KINDS = {"head": "heads", "MLP": "MLPs", "bias": "biases", "embedding": "the embedding"}
NATS = 1e-3
"""Shares below this count as zero."""


def run(setup: Setup) -> Tables:
    """Table `direct_attribution`: prompt, component, kind, layer, head, share (nats of logit difference).

    component: embed, pos_embed, a9.h1, b9 (the bias of a layer's heads), m9, norm, unembed (biases). Over all
    components of a prompt the shares sum to its logit difference.
    """
    questions = setup.questions
    shares = shares_of(
        setup.model,
        questions.tokens,
        questions.right,
        questions.wrong,
        value_bias=setup.options.value_bias,
        memory=setup.options.memory,
    )
    n_prompts = len(questions)
    component = np.repeat(np.array(shares.names), n_prompts)
    table = pl.DataFrame(
        {
            "prompt": np.tile(np.arange(n_prompts), len(shares.names)),
            "component": component,
            "share": shares.values.float().numpy().ravel(),
        }
    )
    number = pl.col("component").str.extract(r"^[abm](\d+)").cast(pl.Int64)
    head = pl.col("component").str.extract(r"\.h(\d+)$").cast(pl.Int64)
    kinds = {"a": "head", "m": "MLP", "b": "bias", "e": "embedding", "p": "embedding", "n": "bias", "u": "bias"}
    return {
        "direct_attribution": table.select(
            "prompt",
            "component",
            pl.col("component").str.head(1).replace_strict(kinds).alias("kind"),
            number.alias("layer"),
            head.alias("head"),
            "share",
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """The components with the largest mean shares, and beside each what its ablation changes."""
    spoken = said(tables)
    shares = tables["direct_attribution"].group_by("component", maintain_order=True).agg(pl.col("share").mean())
    names = {"head_ablation": head_name(), "mlp_ablation": pl.format("m{}", "layer")}
    ablated = pl.concat(
        tables[table]
        .filter(method=spoken.ablation)
        .group_by(name.alias("component"), maintain_order=True)
        .agg(pl.col("logit_diff_change").mean().alias(f"change by {spoken.ablation} ablation"))
        for table, name in names.items()
    )
    return (
        shares.join(ablated, on="component", how="left", maintain_order="left")
        .sort(pl.col("share").abs(), descending=True, maintain_order=True)
        .head(SHOWN)
        .rename({"share": "share of the logit difference"})
    )


def summary(tables: Tables) -> str:
    """Which component adds most to the logit difference, and how much of it all of its kind add."""
    table = tables["direct_attribution"]
    total = table.group_by("prompt").agg(pl.col("share").sum())["share"].to_numpy().mean()
    kinds = table.group_by("kind", "prompt").agg(pl.col("share").sum()).group_by("kind").agg(pl.col("share").mean())
    parts = ", ".join(
        f"{_KINDS[kind]} {share:+.3g}" for kind, share in kinds.sort("share", descending=True).iter_rows()
    )
    first = leader(table, ("component",), pl.col("share"), floor=NATS)
    most = (
        f"{first.key[0]} adds most, {first.mean:+.3g}" if first.stands_out else f"which adds most? Here {first.doubt}"
    )
    return f"Read directly off the final stream, the logit difference of {total:.3g} nats is made of: {parts}; {most}."


def figures(tables: Tables) -> dict[str, Figure]:
    """The heads' shares as a grid, all others as bars."""
    table = tables["direct_attribution"]
    return {"direct_heads": direct_heads(table), "direct_layers": direct_layers(table)}


DIRECT_ATTRIBUTION = Experiment(
    name="direct_attribution",
    title="What each component adds directly",
    reading="What every head and MLP writes into the final stream is read as its own share of the logit difference, "
    "right minus wrong, with the final norm's scale of the clean run; all shares sum to it (where the model caps its "
    "logits, before the cap). A component that matters when ablated and adds nothing here works through others.",
    python="m.direct_attribution()",
    tables=("direct_attribution",),
    run=run,
    figures=figures,
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS, HEAD_ABLATION, MLP_ABLATION),
    asks=("wrong",),
)


def direct_attribution(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Every component's share of the logit difference at the final stream (docs/method.md, section 5.4).

    Table `direct_attribution` has a row per prompt and component (embeddings, heads, MLPs, biases): its share in nats.
    The shares of a prompt sum to its logit difference.

    Raises `OptionError` where a prompt has no wrong answer, or an option does not fit the task or the model.

    >>> vitro.direct_attribution(model, task).numbers["component"].to_list()[:2]
    ['a1.h1', 'a0.h2']
    """
    return DIRECT_ATTRIBUTION.measure(model, task, options)
