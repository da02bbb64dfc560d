"""MLPs as the tables rank them."""

import polars as pl


def on_the_spot(mlp_local: pl.DataFrame) -> pl.DataFrame:
    """The answer's mean probability by the lens before and after every MLP, the largest gain first."""
    before, after = pl.col("answer_prob_before"), pl.col("answer_prob_after")
    by_layer = mlp_local.group_by("layer").agg(
        before.mean().alias("mean prob before it"),
        after.mean().alias("after it"),
        (after - before).mean().alias("change of prob"),
    )
    return by_layer.sort("change of prob", "layer", descending=[True, False])


def best_to_worst(mlp_local: pl.DataFrame) -> list[int]:
    """The layers by their MLPs' immediate effect on the answer's probability, the largest gain first.

    >>> mlp_local = {"layer": [0, 1], "answer_prob_before": [0.1, 0.1], "answer_prob_after": [0.2, 0.4]}
    >>> best_to_worst(pl.DataFrame(mlp_local))
    [1, 0]
    """
    return on_the_spot(mlp_local)["layer"].to_list()
