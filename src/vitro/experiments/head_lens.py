"""V4, the logit lens on every head: what each head pushes for by itself, at the final stream."""

import numpy as np
import polars as pl
import torch

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.labels import head_name
from vitro.experiments.lens import logit_lens
from vitro.experiments.setup import DEFAULT_OPTIONS, Head, Options, Setup, Tables
from vitro.experiments.statistics import RARE, luck
from vitro.figures import head_lens as figure
from vitro.models import Model
from vitro.progress import bar
from vitro.tasks import Task

COPIES = pl.col("subject_rank_among_words") == 0
"""The subject leads the task's other words."""
SUPPRESSES = pl.col("subject_last_among_words")
"""It is below all of them."""


def run(setup: Setup) -> Tables:
    """Tables `head_lens` and `head_lens_top` (the ten most probable tokens), per prompt, layer and head.

    The lens reads the head's own output, without b_O, and without its folded value bias unless the options
    include it.
    """
    shape, n_prompts = setup.model.shape, len(setup.prompts.tokens)
    frames, tops = [], []
    prompt, head = (index.ravel() for index in np.indices((n_prompts, shape.n_heads)))
    with bar("lens on heads") as progress:
        for layer in range(shape.n_layers):
            lens = logit_lens(setup, setup.head_out(layer).flatten(0, 1), torch.from_numpy(prompt))
            where = {"prompt": prompt, "layer": np.full_like(prompt, layer), "head": head}
            frames.append(pl.DataFrame({**where, **lens.answer_columns(), **lens.subject_columns()}))
            tops.append(lens.top_table(setup, where))
            progress(layer + 1, shape.n_layers)
    return {"head_lens": pl.concat(frames), "head_lens_top": pl.concat(tops)}


def selective_heads(head_lens: pl.DataFrame, misses: int = 0) -> list[Head]:
    """Heads that rank the answer above all other answers in every prompt but at most `misses`, best first.

    Source: the post, whose script finds [9.1] for days; for months [] and, with one miss allowed, [9.1].
    """
    by_head = head_lens.group_by("layer", "head").agg(
        (pl.col("answer_rank_among_answers") > 0).sum().alias("missed"), pl.col("answer_prob").mean()
    )
    found = by_head.filter(pl.col("missed") <= misses)
    order = found.sort("missed", "answer_prob", "layer", "head", descending=[False, True, False, False])
    return [Head(layer, head) for layer, head in order.select("layer", "head").iter_rows()]


def subject_heads(head_lens: pl.DataFrame) -> list[Head]:
    """All heads by the mean lens probability of the subject, highest first: the post's measure of copying."""
    by_head = head_lens.group_by("layer", "head").agg(pl.col("subject_prob").mean())
    order = by_head.sort("subject_prob", "layer", "head", descending=[True, False, False])
    return [Head(layer, head) for layer, head in order.select("layer", "head").iter_rows()]


def copying_heads(head_lens: pl.DataFrame) -> list[Head]:
    """Heads that say this subject and not its neighbours, by its mean probability, highest first; often none.

    The subject is above the task's other words in at least six of seven prompts. A head may make a subject probable
    because it promotes every weekday: that is no copying.
    """
    return _in_six_of_seven(head_lens, COPIES)


def suppressing_heads(head_lens: pl.DataFrame) -> list[Head]:
    """Heads that push the subject below all other words of the task in at least six of seven prompts."""
    return _in_six_of_seven(head_lens, SUPPRESSES)


def _in_six_of_seven(head_lens: pl.DataFrame, holds: pl.Expr) -> list[Head]:
    """Heads of which it holds in six of seven prompts, which of so few prompts chance gives no head of the model.

    By chance one word of the task in as many as there are prompts would be the one that leads, or the last.
    """
    counted = head_lens.group_by("layer", "head").agg(holds.sum().alias("n"), pl.len().alias("of"))
    mine = {
        Head(layer, head)
        for layer, head, n, of in counted.iter_rows()
        if 7 * n >= 6 * of and luck(n, of, 1 / of) * len(counted) <= RARE
    }
    return [head for head in subject_heads(head_lens) if head in mine]


def numbers(tables: Tables) -> pl.DataFrame:
    """Heads that most often rank the answer first, that copy, show the subject, or suppress it; five of each."""
    table = tables["head_lens"]
    groups = selective_heads(table, misses=table["prompt"].n_unique()), copying_heads(table), subject_heads(table)
    chosen = dict.fromkeys(head for heads in (*groups, suppressing_heads(table)) for head in heads[:5])
    by_head = table.group_by("layer", "head").agg(
        (pl.col("answer_rank_among_answers") == 0).sum().alias("answer first in"),
        pl.col("answer_prob").mean().alias("mean answer prob"),
        pl.col("subject_prob").mean().alias("mean subject prob"),
        COPIES.sum().alias("subject first of the words in"),
        SUPPRESSES.sum().alias("last in"),
    )
    wanted = pl.DataFrame(
        list(chosen), schema={"layer": table.schema["layer"], "head": table.schema["head"]}, orient="row"
    )
    rows = wanted.join(by_head, on=["layer", "head"], how="left", maintain_order="left")
    return rows.select(head_name().alias("head"), pl.exclude("layer", "head"))


def summary(tables: Tables) -> str:
    """Which heads are selective, which copy, and which suppress the subject; how many prompts say so."""
    table = tables["head_lens"]
    selective = _listed(selective_heads(table))
    copies = _most(table, copying_heads(table), COPIES, "copies the subject (above the task's other words")
    suppresses = _most(table, suppressing_heads(table), SUPPRESSES, "suppresses it (below all of them")
    parts = [
        f"By the logit lens, {selective or 'no head'} alone puts the answer above all other answers in every one of "
        f"{table['prompt'].n_unique()} prompts",
        copies or "no head copies the subject, which would lead the task's other words in six of seven prompts",
        suppresses,
    ]
    return "; ".join(part for part in parts if part) + "."


def _listed(heads: list[Head]) -> str:
    names = [f"a{layer}.h{head}" for layer, head in heads]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _most(table: pl.DataFrame, heads: list[Head], holds: pl.Expr, does: str) -> str:
    """The head of a kind of which it holds in the most prompts, with both its numbers; empty where there is none."""
    if not heads:
        return ""
    counted = [table.filter(layer=layer, head=head).select(holds.sum()).item() for layer, head in heads]
    count = max(counted)
    layer, head = heads[counted.index(count)]
    prob = table.filter(layer=layer, head=head)["subject_prob"].to_numpy().mean()
    others = f", as do {len(heads) - 1} more in six of seven or more" if len(heads) > 1 else ""
    n_prompts = table["prompt"].n_unique()
    return f"a{layer}.h{head} {does} in {count} of {n_prompts} prompts, mean probability {prob:.2g}){others}"


HEAD_LENS = Experiment(
    name="head_lens",
    title="Logit lens on heads",
    reading="Each cell reads one head's output as if the model ended there: how probable the answer is, how probable "
    "the subject, in how many prompts the answer is above all other answers (selective heads), and the subject above "
    "the task's other words (copying) or below them all (suppressing).",
    python="vitro.head_lens(model, task)",
    tables=("head_lens", "head_lens_top"),
    run=run,
    figures=lambda tables: {"head_lens": figure(tables["head_lens"])},
    numbers=numbers,
    summary=summary,
)


def head_lens(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The logit lens on every head (method.md V4; the post, "Logit lens applied to heads")."""
    return HEAD_LENS.measure(model, task, options)
