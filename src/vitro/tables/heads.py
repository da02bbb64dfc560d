"""Heads as the tables rank them."""

import polars as pl

from vitro.heads import Head
from vitro.tables.statistics import RARE, luck

COPIES = pl.col("subject_rank_among_words") == 0
"""The subject leads the task's other words."""
SUPPRESSES = pl.col("subject_last_among_words")
"""The subject is below all of them."""


def selective_heads(head_lens: pl.DataFrame, misses: int = 0) -> list[Head]:
    """Heads that rank the answer above all other answers in every prompt but at most `misses`, best first.

    In one prompt they do so at least, however few there are.

    Source: the post, whose script finds [9.1] for days; for months [] and, with a miss allowed, [9.1].
    """
    by_head = head_lens.group_by("layer", "head").agg(
        (pl.col("answer_rank_among_answers") > 0).sum().alias("missed"), pl.len(), pl.col("answer_prob").mean()
    )
    selective = by_head.filter(pl.col("missed") <= misses, pl.col("missed") < pl.col("len"))
    return _heads(selective.sort("missed", "answer_prob", "layer", "head", descending=[False, True, False, False]))


def subject_heads(head_lens: pl.DataFrame) -> list[Head]:
    """All heads by the mean lens probability of the subject, highest first: the post's measure of copying.

    In a task without a subject, its wrong tokens take the subject's place.

    >>> rows = {"layer": [0, 1], "head": [2, 1], "wrong_prob": [0.1, 0.5]}
    >>> [str(head) for head in subject_heads(pl.DataFrame(rows))]
    ['a1.h1', 'a0.h2']
    """
    by_head = head_lens.group_by("layer", "head").agg(pl.col("wrong_prob").mean())
    return _heads(by_head.sort("wrong_prob", "layer", "head", descending=[True, False, False]))


def copying_heads(head_lens: pl.DataFrame) -> list[Head]:
    """Heads that say this subject and not its neighbours, by its mean probability, highest first; often none.

    The subject is above the task's other words in at least six of seven prompts. A head may make a subject probable
    because it promotes every weekday: that is not copying.
    """
    return _in_six_of_seven(head_lens, COPIES)


def suppressing_heads(head_lens: pl.DataFrame) -> list[Head]:
    """Heads that push the subject below all other words of the task in at least six of seven prompts."""
    return _in_six_of_seven(head_lens, SUPPRESSES)


def strongest_heads(head_ablation: pl.DataFrame, method: str, metric: str = "answer_prob") -> list[Head]:
    """All heads by the change of a metric's mean when they are ablated, the largest loss first.

    >>> rows = {"method": ["zero"] * 2, "layer": [0, 1], "head": [2, 1], "answer_prob_change": [-0.1, -0.5]}
    >>> [str(head) for head in strongest_heads(pl.DataFrame(rows), "zero")]
    ['a1.h1', 'a0.h2']
    """
    change = f"{metric}_change"
    by_head = head_ablation.filter(method=method).group_by("layer", "head").agg(pl.col(change).mean())
    return _heads(by_head.sort(change, "layer", "head"))


def _in_six_of_seven(head_lens: pl.DataFrame, holds: pl.Expr) -> list[Head]:
    """Heads for which a condition holds in six of seven prompts, so often that chance explains no head of the model.

    By chance, the condition (to be the first, or the last, of the task's words) holds with probability 1 / prompts.
    """
    counted = head_lens.group_by("layer", "head").agg(holds.sum().alias("n"), pl.len().alias("of"))
    often = {
        Head(layer, head)
        for layer, head, n, of in counted.iter_rows()
        if 7 * n >= 6 * of and luck(n, of, 1 / of) * len(counted) <= RARE
    }
    return [head for head in subject_heads(head_lens) if head in often]


def _heads(ranked: pl.DataFrame) -> list[Head]:
    return [Head(layer, head) for layer, head in ranked.select("layer", "head").iter_rows()]
