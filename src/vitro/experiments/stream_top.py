"""V9, what a stream looks like as the input of a layer: its top tokens by the logit lens."""

import numpy as np
import polars as pl
import torch

from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.labels import positions
from vitro.experiments.lens import logit_lens
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.figures import stream_top_tokens as figure
from vitro.models import Model
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `stream_top`: prompt, layer, position, rank, token: the ten most probable tokens of every stream."""
    vectors = setup.streams.resid_pre
    prompt, layer, position = (index.ravel() for index in np.indices(vectors.shape[:3]))
    lens = logit_lens(setup, vectors.flatten(0, 2), torch.from_numpy(prompt))
    table = lens.top_table(setup, {"prompt": prompt, "layer": layer, "position": position})
    return {"stream_top": table.drop("prob")}


def numbers(tables: Tables) -> pl.DataFrame:
    """The subject's stream at the input of every layer: its top three tokens in each of the first seven prompts."""
    prompts = tables["prompts"]
    subject = prompts.filter(role="subject")["position"].first()
    final = prompts["position"].max()
    mine = tables["stream_top"].filter(
        pl.col("position") == (final if subject is None else subject), pl.col("rank") < 3, pl.col("prompt") < 7
    )
    by_prompt = mine.group_by("prompt", "layer", maintain_order=True).agg(pl.col("token").str.join(", "))
    wide = by_prompt.pivot("prompt", index="layer", values="token").sort("layer")
    return wide.rename({name: f"prompt {name}" for name in wide.columns if name != "layer"})


STREAM_TOP = Experiment(
    name="stream_top",
    title="What the streams hold",
    reading="Each cell is one stream of the first prompt as it enters a layer, read by the logit lens: its top token; "
    "below, the first three of the subject's stream, in up to seven prompts.",
    python="vitro.stream_tokens(model, task)",
    tables=("stream_top",),
    run=run,
    figures=lambda tables: {"stream_top": figure(tables["stream_top"].filter(prompt=0), positions(tables))},
    numbers=numbers,
    needs=(PROMPTS,),
)


def stream_tokens(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Top tokens of every stream at the input of every layer (method.md V9; the post, "Attention patterns")."""
    return STREAM_TOP.measure(model, task, options)
