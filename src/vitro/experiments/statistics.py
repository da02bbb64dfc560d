"""Means with their uncertainty, and comparison with chance."""

from collections.abc import Sequence

import numpy as np
import polars as pl

RESAMPLES = 2000
"""Of the bootstrap."""


def interval(values: Sequence[np.ndarray], random: np.random.Generator) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval of a number measured in several templates, each on its prompts.

    Templates are drawn again with replacement, and in each of them its prompts.
    """
    draws = (RESAMPLES, len(values))
    within = np.stack([one[random.integers(len(one), size=(*draws, len(one)))].mean(-1) for one in values])
    chosen = random.integers(len(values), size=draws)
    means = np.take_along_axis(within, chosen[None], axis=0)[0].mean(-1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([one.mean() for one in values])), float(low), float(high)


def chance(random_circuits: pl.DataFrame, column: str) -> tuple[float, int]:
    """The share of the circuits that do as well as number 0, itself among them (p), and its rank from 1."""
    means = random_circuits.group_by("number").agg(pl.col(column).mean())
    mine = means.filter(number=0)[column].item()
    as_good = int((means.filter(pl.col("number") > 0)[column] >= mine).sum())
    return (1 + as_good) / len(means), 1 + as_good
