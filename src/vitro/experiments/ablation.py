"""What the ablations of single components share: a sweep, its effects as a table, and the sentence about it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from torch import Tensor

from vitro.engine import Variant
from vitro.experiments.effects import CHANGES, effects
from vitro.experiments.setup import Setup
from vitro.tables import Tables, counted, leader, said


def ablation_table(
    setup: Setup, variants: Mapping[tuple[str | int, ...], Variant], keys: Sequence[str], what: str
) -> pl.DataFrame:
    """One row per prompt and variant: prompt, the variant's keys under their names, and its `effects`."""
    read = setup.sweep(variants.values(), effects(setup), what)
    n_prompts = len(setup.questions)
    named = zip(keys, zip(*variants, strict=True), strict=True)
    return pl.DataFrame(
        {
            "prompt": np.tile(setup.prompt_numbers, len(variants)),
            **{name: np.repeat(np.array(values), n_prompts) for name, values in named},
            **metric_columns(read, (*CHANGES, "kl"), n_prompts * len(variants)),
        }
    )


def metric_columns(read: Mapping[str, Tensor], names: Sequence[str], n_rows: int) -> dict[str, pl.Series]:
    """The values as columns of these names; null where the task lacks what a metric needs."""
    return {
        name: pl.Series(read[name].float().numpy().ravel() if name in read else [None] * n_rows, dtype=pl.Float32)
        for name in names
    }


def by_method(tables: Tables, table: str, keys: Sequence[str], name: pl.Expr, kind: str) -> pl.DataFrame:
    """The mean change of the metric for every component, a column for each way of ablating."""
    spoken = said(tables)
    means = (
        tables[table]
        .with_columns(name.alias(kind))
        .group_by(*keys, kind, "method", maintain_order=True)
        .agg(pl.col(spoken.change).mean())
    )
    methods = means["method"].unique(maintain_order=True).to_list()
    wide = means.pivot("method", index=[*keys, kind], values=spoken.change)
    return wide.select(*keys, kind, *(pl.col(m).alias(f"{m}: change of {spoken.quantity.short}") for m in methods))


def costs_most(tables: Tables, table: str, keys: Sequence[str], name: Callable[..., object], kind: str) -> str:
    """A sentence on the component whose ablation costs the answer most; `name` names it, given its keys."""
    spoken = said(tables)
    loss = leader(tables[table].filter(method=spoken.ablation), keys, -pl.col(spoken.change))
    if not loss.stands_out:
        return f"Of the {kind}s, {spoken.ablation}-ablated one by one, which costs the answer most? Here {loss.doubt}."
    return (
        f"Of all single {kind}s, {spoken.ablation} ablation of {name(*loss.key)} lowers the "
        f"{spoken.quantity.short} most: {-loss.mean:+.3g} on average over {counted(loss.n_prompts)}."
    )
