"""V2, the drawn sentences over which random and mean ablation take their means."""

import numpy as np
import polars as pl

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Setup
from vitro.tables import Tables


def run(setup: Setup) -> Tables:
    """Table `datasets`: dataset (random, mean), sample, position, token_id."""
    frames = []
    for name, sentences in setup.datasets.items():
        sample, position = np.indices(sentences.shape)
        columns = {"sample": sample.ravel(), "position": position.ravel(), "token_id": sentences.ravel()}
        frames.append(pl.DataFrame({"dataset": [name] * sentences.size, **columns}))
    return {"datasets": pl.concat(frames)}


def numbers(tables: Tables) -> pl.DataFrame:
    """For every dataset: how many sentences, of what length, and which positions differ between them."""
    by_position = (
        tables["datasets"]
        .group_by("dataset", "position")
        .agg(pl.len().alias("sentences"), pl.col("token_id").n_unique().alias("tokens"))
    )
    drawn = pl.col("position").filter(pl.col("tokens") > 1).sort().cast(pl.String).str.join(", ")
    return (
        by_position.group_by("dataset")
        .agg(pl.col("sentences").first(), pl.len().alias("length"), drawn.alias("drawn positions"))
        .sort("dataset", descending=True)
    )


DATASETS = Experiment(
    name="datasets",
    title="Sentences for means",
    reading="Random ablation puts in a component's place its mean output over sentences whose subject and content "
    "words are drawn at random; mean ablation over sentences whose subject alone is drawn or, where a task has "
    "counterfactual prompts, over these.",
    python='vitro.EXPERIMENTS["datasets"].measure(model, task, options)',
    tables=("datasets",),
    run=run,
    figures=lambda tables: {},
    numbers=numbers,
    asks=("sentences",),
)
