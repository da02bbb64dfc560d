"""V4, the logit lens on every head: what each head pushes for by itself, at the final stream."""

import numpy as np
import polars as pl
import torch

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.lens import logit_lens
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import head_lens as figure
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.progress import bar
from vitro.tables import (
    COPIES,
    SUPPRESSES,
    Said,
    Tables,
    copying_heads,
    counted,
    head_name,
    said,
    selective_heads,
    subject_heads,
    suppressing_heads,
    the,
    varies,
)
from vitro.tasks import Task

LISTED = 6
"""The most heads that a sentence names."""


def run(setup: Setup) -> Tables:
    """Tables `head_lens` and `head_lens_top` (the ten most probable tokens), per prompt, layer and head.

    The lens reads the head's own output, without b_O, and without its folded value bias unless the options
    include it.
    """
    shape, n_prompts = setup.model.shape, len(setup.questions)
    frames, tops = [], []
    prompt, head = (index.ravel() for index in np.indices((n_prompts, shape.n_heads)))
    with bar("lens on heads") as progress:
        for layer in range(shape.n_layers):
            lens = logit_lens(setup, setup.head_out(layer).flatten(0, 1), torch.from_numpy(prompt))
            where = {"prompt": prompt, "layer": np.full_like(prompt, layer), "head": head}
            columns = lens.answer_columns() | lens.rank_columns(setup, prompt) | lens.subject_columns()
            frames.append(pl.DataFrame(where | columns))
            tops.append(lens.top_table(setup, where))
            progress(layer + 1, shape.n_layers)
    return {"head_lens": pl.concat(frames), "head_lens_top": pl.concat(tops)}


def numbers(tables: Tables) -> pl.DataFrame:
    """Heads that most often rank the answer first, that copy, show the subject, or suppress it; five of each."""
    table, spoken = tables["head_lens"], said(tables)
    groups = [selective_heads(table, misses=spoken.n_prompts)]
    columns = lens_columns(spoken)
    if varies(tables):
        groups += [copying_heads(table), subject_heads(table), suppressing_heads(table)]
        columns += [COPIES.sum().alias("subject first of the words in"), SUPPRESSES.sum().alias("last in")]
    chosen = dict.fromkeys(head for heads in groups for head in heads[:5])
    by_head = table.group_by("layer", "head").agg(columns)
    order = pl.DataFrame(
        list(chosen), schema={"layer": table.schema["layer"], "head": table.schema["head"]}, orient="row"
    )
    rows = order.join(by_head, on=["layer", "head"], how="left", maintain_order="left")
    return rows.select(head_name().alias("head"), pl.exclude("layer", "head"))


def lens_columns(spoken: Said) -> list[pl.Expr]:
    """Aggregates of heads' lenses: in how many prompts the answer leads, and the mean of right and wrong."""
    return [
        (pl.col("answer_rank_among_answers") == 0).sum().alias(f"answer above {spoken.rivals} in"),
        (pl.col("answer_rank").median() + 1).alias("median place of the answer"),
        pl.col("answer_prob").mean().alias("mean answer prob"),
        pl.col("wrong_prob").mean().alias(f"mean prob of {the(spoken.wrong)}"),
    ]


def summary(tables: Tables) -> str:
    """Which heads are selective, which copy, and which suppress the subject; how many prompts say so."""
    table, selective = tables["head_lens"], selective_heads(tables["head_lens"])
    puts = f"{_listed(selective)}, each alone, put" if len(selective) > 1 else f"{_listed(selective)} alone puts"
    parts = [
        f"By the logit lens, {puts} the answer above {said(tables).rivals} in every one of "
        f"{counted(said(tables).n_prompts)}"
    ]
    if varies(tables):
        copies = _most(table, copying_heads(table), COPIES, "copies the subject (above the task's other words")
        suppresses = _most(table, suppressing_heads(table), SUPPRESSES, "suppresses it (below all of them")
        none = "no head copies the subject, which would lead the task's other words in six of seven prompts"
        parts += [copies or none, suppresses]
    return "; ".join(part for part in parts if part) + "."


def _listed(heads: list[Head]) -> str:
    names = list(map(str, heads)) or ["no head"]
    *others, last = names if len(names) <= LISTED else [*names[:LISTED], f"{len(names) - LISTED} more"]
    return f"{', '.join(others)} and {last}" if others else last


def _most(table: pl.DataFrame, heads: list[Head], holds: pl.Expr, does: str) -> str:
    """Words on the head for which the condition holds in the most prompts; empty where there are no heads."""
    if not heads:
        return ""
    counts = [table.filter(layer=layer, head=head).select(holds.sum()).item() for layer, head in heads]
    count = max(counts)
    most = heads[counts.index(count)]
    prob = table.filter(layer=most.layer, head=most.head)["wrong_prob"].to_numpy().mean()
    others = f", as do {len(heads) - 1} more in six of seven or more" if len(heads) > 1 else ""
    n_prompts = table["prompt"].n_unique()
    return f"{most} {does} in {count} of {counted(n_prompts)}, mean probability {prob:.2g}){others}"


HEAD_LENS = Experiment(
    name="head_lens",
    title="Logit lens on heads",
    reading="Each cell reads one head's output as if the model ended there: which place among all tokens has what is "
    "right, which what is wrong, and in how many prompts right is above all that it is held against (selective heads); "
    "where prompts differ in a subject, also whether it is above the task's other words (copying) or below them all "
    "(suppressing).",
    python="m.head_lens()",
    tables=("head_lens", "head_lens_top"),
    run=run,
    figures=lambda tables: {"head_lens": figure(tables["head_lens"], said(tables))},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def head_lens(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The logit lens on every head (docs/method.md, V4; the post, "Logit lens applied to heads").

    Table `head_lens` has a row per prompt, layer and head: the probabilities and ranks of right and wrong as if the
    model ended with the head's output at the final stream, and the ranks of the answer and of the subject among the
    answers and the task's words. Table `head_lens_top`
    has the ten most probable tokens.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.head_lens(model, task).numbers["head", "answer above all other answers in"].row(0)
    ('a1.h1', 7)
    """
    return HEAD_LENS.measure(model, task, options)
