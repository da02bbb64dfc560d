"""The spread over prompts: no mean is shown without it."""

import polars as pl

DOTS = 24
"""Up to this many prompts are drawn one by one; more are drawn as their range."""


def spread(column: str, prefix: str = "") -> list[pl.Expr]:
    """`mean`, `min` and `max` of a column over a group of prompts, with a prefix before these names."""
    shown = pl.col(column)
    return [
        shown.mean().alias(f"{prefix}mean"),
        shown.min().alias(f"{prefix}min"),
        shown.max().alias(f"{prefix}max"),
    ]


def means_and_prompts(table: pl.DataFrame, by: list[str], column: str) -> pl.DataFrame:
    """A row per group with mean, min and max and, where prompts are few, a row per group and prompt with `value`.

    Both kinds are in one table and differ in their columns: flattening a list inside a facet mixes up the panels in
    Vega-Lite 6.
    """
    means = table.group_by(by).agg(spread(column)).sort(by)
    if prompt_count(table) > DOTS:
        return means
    prompts = table.select(*by, "prompt", pl.col(column).alias("value")).sort(*by, "prompt")
    return pl.concat([means, prompts], how="diagonal")


def some_prompts(count: int, at_most: int = 12) -> list[int]:
    """The numbers of `count` prompts; where there are more than `at_most`, of that many, evenly spread.

    >>> some_prompts(100, at_most=4)
    [0, 25, 50, 75]
    """
    return [count * number // at_most for number in range(at_most)] if count > at_most else [*range(count)]


def prompt_count(table: pl.DataFrame) -> int:
    """The number of prompts in a table."""
    return table["prompt"].n_unique()
