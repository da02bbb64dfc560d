"""The gist of a figure in words, for who hears it."""

from collections.abc import Iterable

import polars as pl

_NAMED = 3
"""Items that a sentence names."""


def strongest(rows: pl.DataFrame, name: pl.Expr, number: pl.Expr, digits: str = "+.3g") -> str:
    """The three largest numbers in size, with their names: "a9.h1 -0.4, a0.h2 +0.2, m3 +0.1".

    >>> strongest(pl.DataFrame({"layer": [0, 1], "mean": [0.1, -0.5]}), pl.format("m{}", "layer"), pl.col("mean"))
    'm1 -0.5, m0 +0.1'
    """
    numbers = rows.select(name.alias("name"), number.cast(pl.Float64).fill_nan(None).alias("number")).drop_nulls()
    first = numbers.sort(pl.col("number").abs(), descending=True, maintain_order=True).head(_NAMED)
    return listed(f"{name} {number:{digits}}" for name, number in first.iter_rows())


def listed(words: Iterable[str], most: int = 12) -> str:
    """The words with commas between them; of more than `most`, the number of the others.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    every = list(words)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(every[:most]) or "nothing") + more
