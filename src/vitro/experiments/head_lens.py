"""V4, the logit lens on every head: what each head pushes for by itself, at the final stream."""

import numpy as np
import polars as pl
import torch

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.labels import head_name
from vitro.experiments.lens import logit_lens
from vitro.experiments.setup import DEFAULT_OPTIONS, Head, Options, Setup, Tables
from vitro.figures import head_lens as figure
from vitro.models import Model
from vitro.progress import bar
from vitro.tasks import Task


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
            frames.append(pl.DataFrame({**where, **lens.answer_columns()}))
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
    return [(layer, head) for layer, head in order.select("layer", "head").iter_rows()]


def copying_heads(head_lens: pl.DataFrame) -> list[Head]:
    """All heads by the mean lens probability of the subject, highest first."""
    by_head = head_lens.group_by("layer", "head").agg(pl.col("subject_prob").mean())
    order = by_head.sort("subject_prob", "layer", "head", descending=[True, False, False])
    return [(layer, head) for layer, head in order.select("layer", "head").iter_rows()]


def numbers(tables: Tables) -> pl.DataFrame:
    """The heads that most often rank the answer first, and the five that copy most."""
    table = tables["head_lens"]
    chosen = dict.fromkeys([*selective_heads(table, misses=table["prompt"].n_unique())[:5], *copying_heads(table)[:5]])
    by_head = table.group_by("layer", "head").agg(
        (pl.col("answer_rank_among_answers") == 0).sum().alias("answer first in"),
        pl.col("answer_prob").mean().alias("mean answer prob"),
        pl.col("subject_prob").mean().alias("mean subject prob"),
    )
    wanted = pl.DataFrame(
        list(chosen), schema={"layer": table.schema["layer"], "head": table.schema["head"]}, orient="row"
    )
    rows = wanted.join(by_head, on=["layer", "head"], how="left", maintain_order="left")
    return rows.select(head_name().alias("head"), pl.exclude("layer", "head"))


def summary(tables: Tables) -> str:
    """Which heads are selective, and which one copies most."""
    table = tables["head_lens"]
    selective = [f"a{layer}.h{head}" for layer, head in selective_heads(table)]
    layer, head = copying_heads(table)[0]
    prob = table.filter(layer=layer, head=head).select(pl.col("subject_prob").mean()).item()
    listed = ", ".join(selective[:6]) + (f" and {len(selective) - 6} more" if len(selective) > 6 else "")
    verb = "ranks" if len(selective) == 1 else "rank"
    first = f"By the logit lens, {listed or 'no head'} {verb if selective else 'ranks'} the answer first"
    return f"{first} among the answers in every prompt; a{layer}.h{head} copies the subject most (mean {prob:.3g})."


HEAD_LENS = Experiment(
    name="head_lens",
    title="Logit lens on heads",
    reading="Each cell reads one head's output as if the model ended there: how probable the answer is, how probable "
    "the subject (copying), and in how many prompts the answer is above all other answers (selective heads).",
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
