"""Means with their uncertainty, comparison with chance, and whether a component is the strongest."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import polars as pl

from vitro.tables.labels import counted

RESAMPLES = 2000
"""Samples of the bootstrap."""
FLOOR = 1e-4
"""Changes of a probability below this count as nothing: well above float32's rounding, too small to matter."""
RIVALS = 500
"""The number of components with the largest means among which the bootstrap looks for the first."""
RARE = 0.05
"""The largest probability by chance of a finding, among everything that was looked at together."""
FEWEST = 5
"""The fewest prompts for a finding: with fewer, even perfect agreement is not rare (1 in 16 for four signs)."""


def interval(values: Sequence[np.ndarray], random: np.random.Generator) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval of a number measured in several templates, each on its prompts.

    Templates are drawn with replacement, and prompts within each of them.

    >>> interval([np.array([0.5, 0.5]), np.array([0.5])], np.random.default_rng(0))
    (0.5, 0.5, 0.5)
    """
    draws = (RESAMPLES, len(values))
    within = np.stack(
        [numbers[random.integers(len(numbers), size=(*draws, len(numbers)))].mean(-1) for numbers in values]
    )
    templates = random.integers(len(values), size=draws)
    means = np.take_along_axis(within, templates[None], axis=0)[0].mean(-1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean([numbers.mean() for numbers in values])), float(low), float(high)


def resampled_means(values: np.ndarray) -> np.ndarray:
    """Means over prompts in bootstrap samples of the prompts: [..., prompt] to [..., sample], the same samples in each.

    >>> resampled_means(np.array([[1.0, 1.0], [0.0, 0.0]])).mean(1).tolist()
    [1.0, 0.0]
    """
    n_prompts = values.shape[-1]
    drawn = np.random.default_rng(0).multinomial(n_prompts, [1 / n_prompts] * n_prompts, size=RESAMPLES)
    means: np.ndarray = values @ drawn.T / n_prompts
    return means


def chance(random_circuits: pl.DataFrame, column: str) -> tuple[float, int]:
    """The share of circuits that do at least as well as number 0, itself included (p), and its rank from 1.

    >>> chance(pl.DataFrame({"number": [0, 1, 2, 3], "answer_prob": [0.5, 0.1, 0.2, 0.3]}), "answer_prob")
    (0.25, 1)
    """
    means = random_circuits.group_by("number").agg(pl.col(column).mean())
    own_mean = means.filter(number=0)[column].item()
    as_good = int((means.filter(pl.col("number") > 0)[column] >= own_mean).sum())
    return (1 + as_good) / len(means), 1 + as_good


def luck(hits: int, tries: int, chance: float) -> float:
    """The probability of at least so many hits by chance alone (binomial).

    >>> luck(2, 2, 0.5)
    0.25
    """
    return sum(comb(tries, k) * chance**k * (1 - chance) ** (tries - k) for k in range(hits, tries + 1))


def too_few(n_prompts: int) -> str:
    """That prompts are fewer than a finding takes.

    >>> too_few(1), too_few(2)
    ('1 prompt is too few to tell', '2 prompts are too few to tell')
    """
    return f"{counted(n_prompts)} {'is' if n_prompts == 1 else 'are'} too few to tell"


@dataclass(frozen=True)
class Leader:
    """The component whose mean effect is the largest, and whether another set of prompts would name it too."""

    key: tuple[Any, ...]
    mean: float
    n_prompts: int
    stands_out: bool

    @property
    def doubt(self) -> str:
        """Why no component is named."""
        if self.n_prompts < FEWEST:
            return too_few(self.n_prompts)
        return f"none stands out from the rest beyond the spread of the {counted(self.n_prompts)}"


def leader(table: pl.DataFrame, keys: Sequence[str], effect: pl.Expr, floor: float = FLOOR) -> Leader:
    """The component with the largest mean `effect` over prompts; each of the `keys` has a row for every prompt.

    It stands out if its mean is above `floor` and if, in 95 % of bootstrap samples of the prompts, it is first again
    and above the floor. A sample has the same prompts for all components, so effects that they share cancel.

    >>> rows = {"layer": [0] * 5 + [1] * 5, "prompt": [*range(5)] * 2, "effect": [0.5] * 5 + [0.1] * 5}
    >>> leader(pl.DataFrame(rows), ["layer"], pl.col("effect"))
    Leader(key=(0,), mean=0.5, n_prompts=5, stands_out=True)
    """
    rows = table.select(*keys, "prompt", effect.cast(pl.Float64).alias("effect")).sort(*keys, "prompt")
    n_prompts = rows["prompt"].n_unique()
    values = rows["effect"].to_numpy().reshape(-1, n_prompts)
    means = values.mean(-1)
    # Of tens of thousands of edges only the strongest can come first.
    near = np.sort(np.argsort(-means, kind="stable")[:RIVALS])
    values, means = values[near], means[near]
    first = int(means.argmax())
    resampled = resampled_means(values)
    # A tie is no win.
    wins = resampled[first] > np.delete(resampled, first, 0).max(0, initial=floor)
    stands_out = n_prompts >= FEWEST and means[first] > floor and wins.mean() >= 1 - RARE
    key = rows.select(keys).row(int(near[first]) * n_prompts)
    return Leader(key, float(means[first]), n_prompts, bool(stands_out))
