"""V8, the logit lens on every layer: how the prediction grows along the final stream."""

import numpy as np
import polars as pl
import torch

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.lens import logit_lens
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import layer_lens as curves
from vitro.figures import layer_top_tokens
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import FLOOR, Tables, counted, labels, leader, said, the
from vitro.tasks import Task

STAGES = ("pre", "mid", "post")


def run(setup: Setup) -> Tables:
    """Tables `layer_lens` and `layer_lens_top`: per prompt, layer and stage (before heads, before MLP, after)."""
    streams = setup.streams
    shape, n_prompts = setup.model.shape, len(setup.questions)
    vectors = torch.stack([streams.resid_pre, streams.resid_mid, streams.resid_post], dim=2)
    prompt, layer, stage = (index.ravel() for index in np.indices((n_prompts, shape.n_layers, len(STAGES))))
    lens = logit_lens(setup, vectors.flatten(0, 2), torch.from_numpy(prompt))
    where = {"prompt": prompt, "layer": layer, "stage": np.array(STAGES)[stage]}
    return {
        "layer_lens": pl.DataFrame({**where, **lens.answer_columns()}),
        "layer_lens_top": lens.top_table(setup, where),
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """After every layer: mean probabilities, and in how many prompts the answer leads the answers, or what is wrong."""
    spoken = said(tables)
    columns = [
        pl.col("answer_prob").mean().alias("mean answer prob"),
        pl.col("wrong_prob").mean().alias(f"mean prob of {the(spoken.wrong)}"),
        (pl.col("answer_rank_among_answers") == 0).sum().alias(f"answer above {spoken.rivals} in"),
    ]
    if spoken.n_answers:
        over_wrong = (pl.col("answer_prob") > pl.col("wrong_prob")).sum()
        columns.append(over_wrong.alias(f"answer above {the(spoken.wrong)} in"))
    return tables["layer_lens"].filter(stage="post").group_by("layer").agg(columns).sort("layer")


def summary(tables: Tables) -> str:
    """Where the answer's probability peaks, and from where on the answer leads."""
    # Where the answer has next to no probability, which token leads is an accident.
    table = numbers(tables).filter(pl.col("mean answer prob") > FLOOR)
    after = tables["layer_lens"].filter(stage="post")
    n_prompts = after["prompt"].n_unique()
    if table.is_empty():
        return f"After no layer does the lens give the answer a mean probability above {FLOOR:g}."
    peak = leader(after, ("layer",), pl.col("answer_prob"))
    peaks = (
        f"the answer is most probable after layer {peak.key[0]} (mean {peak.mean:.3g} over {counted(n_prompts)})"
        if peak.stands_out
        else f"where the answer is most probable is not clear ({peak.doubt})"
    )
    spoken = said(tables)
    since = [
        f"{words} first after layer {min(layers)}"
        if len(layers := table.filter(pl.col(f"answer above {words} in") > n_prompts / 2)["layer"])
        else f"{words} after none"
        for words in ([the(spoken.wrong)] if spoken.n_answers else []) + [spoken.rivals]
    ]
    return (
        f"Along the layers, {peaks}; of those that give it a mean above {FLOOR:g} (from layer {table['layer'][0]} on), "
        f"in most prompts it leads {' and '.join(since)}."
    )


LAYER_LENS = Experiment(
    name="layer_lens",
    title="Logit lens on layers",
    reading="The curves read the final stream as if the model ended there: before each block's heads, between heads "
    "and MLP, and after, probabilities at their log-odds; the grid shows the top token after each layer.",
    python="m.layer_lens()",
    tables=("layer_lens", "layer_lens_top"),
    run=run,
    figures=lambda tables: {
        "layer_lens": curves(tables["layer_lens"], said(tables)),
        "layer_lens_top": layer_top_tokens(tables["layer_lens_top"], labels(tables)),
    },
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def layer_lens(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """The logit lens on every layer (docs/method.md, V8; the post, "Logit lens applied to layers").

    Table `layer_lens` has a row per prompt, layer and stage (pre, mid, post): the probabilities of right and wrong as
    if the model ended there, and the answer's rank. Table `layer_lens_top` has the ten most probable tokens.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.layer_lens(model, task).numbers["layer", "answer above all other answers in"].rows()
    [(0, 0), (1, 7), (2, 7)]
    """
    return LAYER_LENS.measure(model, task, options)
