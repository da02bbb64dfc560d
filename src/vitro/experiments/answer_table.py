"""V5, answer tables (the post's "day distribution"): how a component ranks the answers against each other."""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from vitro.experiments.clean import CLEAN
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.kept import setup_of
from vitro.experiments.key_heads import key_heads
from vitro.experiments.lens import logit_lens
from vitro.experiments.mlp_local import MLP_LOCAL
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import answer_tables as figure
from vitro.heads import Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, OptionError, Options
from vitro.tables import Tables, answers, best_to_worst, labels, said
from vitro.tasks import Task

_NAMES = re.compile(r"a?(?P<at>\d+)\.h?(?P<head>\d+)|m(?P<mlp>\d+)|resid_(?P<stage>pre|mid|post)(?P<layer>\d+)|logits")


def run(setup: Setup) -> Tables:
    """Table `answer_table` of the key heads, of the stream around the best and the worst MLP, and of the model."""
    order = best_to_worst(setup.tables(MLP_LOCAL)["mlp_local"])
    heads = map(str, key_heads(setup))
    around = [f"resid_{stage}{layer}" for layer in dict.fromkeys((order[0], order[-1])) for stage in ("mid", "post")]
    return {"answer_table": table_of(setup, [*heads, *around, "logits"])}


def table_of(setup: Setup, components: Sequence[str]) -> pl.DataFrame:
    """Per prompt, component and answer: the lens logit, and normalized: minus the table's mean, over its deviation."""
    prompt = torch.arange(len(setup.questions))
    logits = [logit_lens(setup, _output(setup, component), prompt).answer_logits for component in components]
    return pl.concat(map(partial(answer_rows, setup.questions.among_words), components, logits))


def answer_rows(words: Sequence[str], component: str, logits: Float[Tensor, "prompt answer"]) -> pl.DataFrame:
    """One component's rows of the table."""
    logits = logits.double()
    # A component that gives all answers the same logit has no spread, so its table is level; for a task without a
    # closed list of answers the table is empty.
    deviation = logits - logits.mean()
    spread = deviation.square().mean().sqrt().clamp_min(torch.finfo(torch.float64).tiny)
    normalized = deviation / spread
    n_prompts, n_answers = logits.shape
    return pl.DataFrame(
        {
            "prompt": np.repeat(np.arange(n_prompts), n_answers),
            "component": [component] * logits.numel(),
            "answer": list(words) * n_prompts,
            "logit": logits.float().flatten().numpy(),
            "normalized": normalized.float().flatten().numpy(),
        }
    )


def _output(setup: Setup, component: str) -> Float[Tensor, "prompt d_model"]:
    """A component's output at the final stream, by its name."""
    match = _NAMES.fullmatch(component)
    shape, streams = setup.model.shape, setup.streams
    layer = int(match["at"] or match["mlp"] or match["layer"] or shape.n_layers - 1) if match else -1
    head = int(match["head"] or 0) if match else 0
    if match is None or not (0 <= layer < shape.n_layers and head < shape.n_heads):
        raise OptionError(
            f"there is no component {component!r} in this model; there are heads (a0.h0 to "
            f"{Head(shape.n_layers - 1, shape.n_heads - 1)}), MLPs (m0), the stream (resid_pre0, resid_mid0, "
            "resid_post0) and logits"
        )
    if match["at"]:
        return setup.head_out(layer)[:, head]
    if match["mlp"]:
        return streams.mlp_out[:, layer]
    stage = {"pre": streams.resid_pre, "mid": streams.resid_mid, "post": streams.resid_post}
    return stage[match["stage"] or "post"][:, layer]


def leading(answer_table: pl.DataFrame, key: str = "component") -> pl.DataFrame:
    """The answer above all others by each component (or circuit) and prompt; no row where two are level."""
    place = pl.col("logit").rank("max", descending=True).over(key, "prompt")
    return answer_table.filter(place == 1).select(key, "prompt", "answer")


def numbers(tables: Tables) -> pl.DataFrame:
    """For every component: in how many prompts the correct answer, and in how many the subject, has the top logit."""
    tops = leading(tables["answer_table"]).join(
        tables["clean"].select("prompt", "wrong", pl.col("answer").alias("correct")), on="prompt"
    )
    order = tables["answer_table"]["component"].unique(maintain_order=True).to_frame()
    counted = tops.group_by("component").agg(
        (pl.col("answer") == pl.col("correct")).sum().alias("answer on top in"),
        (pl.col("answer") == pl.col("wrong")).sum().alias(f"{said(tables).wrong} on top in"),
    )
    return order.join(counted, on="component", how="left", maintain_order="left").fill_null(0)


ANSWER_TABLE = Experiment(
    name="answer_table",
    title="Answer tables",
    reading="Each table is one component: a row for each prompt, a column for each answer, coloured by how much the "
    "component pushes it, relative to the table's mean and spread; the correct answer is marked.",
    python="m.answer_tables()",
    tables=("answer_table",),
    run=run,
    figures=lambda tables: {
        "answer_table": figure(tables["answer_table"], subjects=labels(tables), answers=answers(tables))
    },
    numbers=numbers,
    needs=(PROMPTS, CLEAN),
    asks=("among",),
)


def answer_tables(
    model: Model, task: Task | str, components: Sequence[str] | None = None, options: Options = DEFAULT_OPTIONS
) -> Measurement:
    """Answer tables of any components (docs/method.md, V5; the post, "Day distribution").

    components: "a9.h1" or "9.1" (a head), "m9" (an MLP), "resid_pre9", "resid_mid9", "resid_post9" (the stream),
    "logits"; None: those that a study chooses.

    Table `answer_table` has a row per prompt, component and answer of the task's closed list: the answer's logit by the
    lens (in nats), and `normalized`, the logit minus the mean of the component's table, divided by its deviation.

    Raises `OptionError` for a component that the model does not have, and for a task without a closed list of answers.

    >>> vitro.answer_tables(model, task, ["a1.h1", "logits"]).numbers.rows()
    [('a1.h1', 7, 0), ('logits', 7, 0)]
    """
    return answer_tables_in(setup_of(model, task, options), components)


def answer_tables_in(setup: Setup, components: Sequence[str] | None) -> Measurement:
    """`answer_tables` in a setup."""
    if components is None:
        return ANSWER_TABLE.of(setup)
    setup.check()
    return ANSWER_TABLE.of(setup.with_tables({ANSWER_TABLE.name: {"answer_table": table_of(setup, components)}}))
