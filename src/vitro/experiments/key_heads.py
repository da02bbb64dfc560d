"""Which heads the sections on single heads show: chosen by rule and not by name, so that any model has them."""

from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.setup import Setup
from vitro.heads import Head
from vitro.tables import copying_heads, selective_heads, strongest_heads, subject_heads, suppressing_heads

AT_MOST = 8


def key_heads(setup: Setup) -> tuple[Head, ...]:
    """The options' heads, or those that stand out (see `reasons`), at most eight, each once.

    The first is the one that pins and steering look at most closely.
    """
    return tuple(Head(*head) for head in setup.options.heads or ()) or tuple(reasons(setup))[:AT_MOST]


def ranking(setup: Setup) -> list[Head]:
    """All heads by what the study's ablation of each does to its metric, the largest loss first."""
    return strongest_heads(setup.tables(HEAD_ABLATION)["head_ablation"], setup.ablation, setup.metric.name)


def reasons(setup: Setup) -> dict[Head, list[str]]:
    """The heads that stand out, and in a word or two each rule that says so, in this order:

    1. the two most selective (the answer above all other answers in every prompt; if there is none, in all but one);
    2. the two whose ablation costs most of the metric, by the study's ablation and by random where that is another;
    3. the two most probable copying heads (`copying_heads`); where none copies, the two whose lens gives the subject
       most, as words of its kind ("subject"). Of a task without a subject there are none.
    That a head is suppressing is said of those chosen.
    """
    lens, ablation = setup.tables(HEAD_LENS)["head_lens"], setup.tables(HEAD_ABLATION)["head_ablation"]
    by_rule = {"selective": (selective_heads(lens) or selective_heads(lens, misses=1))[:2]}
    for kind in dict.fromkeys((setup.ablation, *(["random"] if "random" in setup.ablations else []))):
        by_rule[f"{kind} ablation"] = strongest_heads(ablation, kind, setup.metric.name)[:2]
    if setup.varying:
        copying = copying_heads(lens)
        by_rule["copying" if copying else "subject"] = (copying or subject_heads(lens))[:2]
    chosen: dict[Head, list[str]] = {}
    for rule, heads in by_rule.items():
        for head in heads:
            chosen.setdefault(head, []).append(rule)
    for head in suppressing_heads(lens) if setup.varying else ():
        if head in chosen:
            chosen[head].append("suppressing")
    return chosen


def named(heads: tuple[Head, ...]) -> str:
    """Heads in the circuits' vocabulary: "a9.h1+a10.h3"."""
    return "+".join(f"a{layer}.h{head}" for layer, head in heads)
