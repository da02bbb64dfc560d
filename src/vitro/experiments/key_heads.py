"""V4 up close, the key heads: chosen by rule, not by name, so that any model has them; each shown in detail."""

import polars as pl

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS, lens_columns
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import head_top_tokens
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import (
    Tables,
    copying_heads,
    head_name,
    labels,
    said,
    selective_heads,
    strongest_heads,
    subject_heads,
    suppressing_heads,
)
from vitro.tasks import Task

AT_MOST = 8


def key_heads(setup: Setup) -> tuple[Head, ...]:
    """The options' heads, or those that stand out (see `reasons`), at most eight, without repeats.

    Pins and steering show the first of them most closely.
    """
    return tuple(Head(*head) for head in setup.options.heads or ()) or tuple(reasons(setup))[:AT_MOST]


def ranking(setup: Setup) -> list[Head]:
    """All heads by what the study's ablation of each does to its metric, the largest loss first."""
    return strongest_heads(setup.tables(HEAD_ABLATION)["head_ablation"], setup.ablation, setup.metric.name)


def reasons(setup: Setup) -> dict[Head, list[str]]:
    """The heads that stand out, each with the rules that selected it, in this order:

    1. the two most selective (the answer above all other answers in every prompt; if there is none, in all but one);
    2. the two whose ablation costs most of the metric, by the study's ablation and by random where that is another;
    3. the two most probable copying heads (`copying_heads`); where none copies, the two whose lens gives the subject
       most, as words of its kind ("subject"). A task without a subject has none.
    A chosen head that is also suppressing is marked so.
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
    return "+".join(map(str, heads))


def run(setup: Setup) -> Tables:
    """Table `key_heads`: layer, head and the reason, in the order in which all sections show them."""
    why: dict[Head, list[str]]
    if setup.options.heads is None:
        why = dict(list(reasons(setup).items())[:AT_MOST])
    else:
        why = {Head(*head): ["asked for"] for head in setup.options.heads}
    return {
        "key_heads": pl.DataFrame(
            {
                "layer": [layer for layer, _ in why],
                "head": [head for _, head in why],
                "why": [", ".join(rules) for rules in why.values()],
            }
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """Why each head was chosen and, by its lens, how often the answer leads and the mean of right and wrong."""
    by_head = tables["head_lens"].group_by("layer", "head").agg(lens_columns(said(tables)))
    rows = tables["key_heads"].join(by_head, on=["layer", "head"], how="left", maintain_order="left")
    return rows.select(head_name().alias("head"), pl.col("why").alias("chosen by"), pl.exclude("layer", "head", "why"))


def summary(tables: Tables) -> str:
    """Which heads are the key heads, and why."""
    heads = (f"{Head(layer, head)} ({why})" for layer, head, why in tables["key_heads"].iter_rows())
    return f"The key heads, shown one by one below: {', '.join(heads)}."


KEY_HEADS = Experiment(
    name="key_heads",
    title="The key heads",
    reading="A row is a key head, a column a prompt, and the cell the token that the head's own output makes most "
    "probable by the logit lens, the darker the more; table head_lens_top has its ten most probable tokens.",
    python="m.head_tokens()",
    tables=("key_heads",),
    run=run,
    figures=lambda tables: {
        "head_tokens": head_top_tokens(tables["head_lens_top"], tables["key_heads"], labels(tables))
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS, HEAD_LENS),
)


def head_tokens(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The key heads' top tokens (docs/method.md, V4; the post, "Logit lens applied to heads").

    Table `key_heads` has a row per key head: layer, head and why it was chosen (see `key_heads`). The figure shows each
    head's most probable token by the logit lens in every prompt.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.head_tokens(model, task).numbers["head", "chosen by"].row(0)
    ('a1.h1', 'selective, mean ablation, random ablation')
    """
    return KEY_HEADS.measure(model, task, options)
