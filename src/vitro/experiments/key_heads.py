"""Which heads the sections on single heads show: chosen by rule and not by name, so that any model has them."""

import polars as pl

from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS, copying_heads, selective_heads, subject_heads, suppressing_heads
from vitro.experiments.setup import Head, Setup

AT_MOST = 8


def key_heads(setup: Setup) -> tuple[Head, ...]:
    """The options' heads, or those that stand out, at most eight, each once, in this order:

    1. the two most selective (the answer above all other answers in every prompt; if there is none, in all but one);
    2. the two whose ablation costs the answer most probability, by mean and by random;
    3. the two most probable copying heads (`copying_heads`); where none copies, the two whose lens gives the subject
       most, as words of its kind ("subject").
    The first is the one that pins and steering look at most closely.
    """
    if setup.options.heads is not None:
        return tuple(Head(*head) for head in setup.options.heads)
    return tuple(reasons(setup.tables(HEAD_LENS)["head_lens"], setup.tables(HEAD_ABLATION)["head_ablation"]))[:AT_MOST]


def reasons(head_lens: pl.DataFrame, head_ablation: pl.DataFrame) -> dict[Head, list[str]]:
    """The heads that stand out, and in a word or two each rule that says so; that one is suppressing is said too."""
    copying = copying_heads(head_lens)
    by_rule = {
        "selective": (selective_heads(head_lens) or selective_heads(head_lens, misses=1))[:2],
        "mean ablation": strongest_heads(head_ablation, "mean")[:2],
        "random ablation": strongest_heads(head_ablation, "random")[:2],
        "copying" if copying else "subject": (copying or subject_heads(head_lens))[:2],
    }
    found: dict[Head, list[str]] = {}
    for rule, heads in by_rule.items():
        for head in heads:
            found.setdefault(head, []).append(rule)
    for head in suppressing_heads(head_lens):
        if head in found:
            found[head].append("suppressing")
    return found


def strongest_heads(head_ablation: pl.DataFrame, method: str) -> list[Head]:
    """All heads by what their ablation does to the mean answer probability, the largest loss first."""
    by_head = head_ablation.filter(method=method).group_by("layer", "head").agg(pl.col("answer_prob_change").mean())
    order = by_head.sort("answer_prob_change", "layer", "head")
    return [Head(layer, head) for layer, head in order.select("layer", "head").iter_rows()]


def named(heads: tuple[Head, ...]) -> str:
    """Heads in the circuits' vocabulary: "a9.h1+a10.h3"."""
    return "+".join(map(str, heads))
