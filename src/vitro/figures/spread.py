"""The spread over prompts, without which no mean is shown."""

import polars as pl

DOTS = 24
"""Up to this many prompts each is drawn; more are drawn as the range that they span."""


def spread(column: str, prefix: str = "") -> list[pl.Expr]:
    """`mean`, `min` and `max` of a column over a group of prompts, named so after the prefix."""
    shown = pl.col(column)
    return [
        shown.mean().alias(f"{prefix}mean"),
        shown.min().alias(f"{prefix}min"),
        shown.max().alias(f"{prefix}max"),
    ]


def means_and_prompts(table: pl.DataFrame, by: list[str], column: str) -> pl.DataFrame:
    """A row per group with mean, min and max and, while prompts are few, one per group and prompt with `value`.

    They stand in one table, told apart by their columns: flattening a list inside a facet mixes up the panels in
    Vega-Lite 6.
    """
    means = table.group_by(by).agg(spread(column)).sort(by)
    if prompt_count(table) > DOTS:
        return means
    prompts = table.select(*by, "prompt", pl.col(column).alias("value")).sort(*by, "prompt")
    return pl.concat([means, prompts], how="diagonal")


def some_prompts(count: int, at_most: int = 12) -> list[int]:
    """The numbers of `count` prompts or, where they are more, of `at_most` of them, evenly spread."""
    return [count * number // at_most for number in range(at_most)] if count > at_most else [*range(count)]


def prompt_count(table: pl.DataFrame) -> int:
    """Over how many prompts a table goes."""
    return table["prompt"].n_unique()
