"""V9, the streams as inputs of the layers: their top tokens by the logit lens."""

import numpy as np
import polars as pl
import torch

from vitro.engine import clean_runs
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.lens import logit_lens
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import stream_top_tokens as figure
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, first_prompt, labels
from vitro.tasks import FINAL, Task

STREAMS = 20_000
"""The most streams that are read; a task with more is read on its first prompts."""
LISTED = 7
"""The most prompts in the report's numbers."""


@torch.inference_mode()
def run(setup: Setup) -> Tables:
    """Table `stream_top`: prompt, layer, position, rank, token: the ten most probable tokens of every stream."""
    n_layers = setup.model.shape.n_layers
    read = np.cumsum(setup.questions.lengths) * n_layers
    prompts = setup.questions.tokens[: max(1, int((read <= STREAMS).sum()))]
    vectors, where = [], []
    for part, clean in clean_runs(setup.model, prompts, setup.options.memory):
        for number, path in enumerate(clean.there.paths):
            nodes = path[: len(prompts[part.start + number])]
            vectors.append(torch.cat([layer.resid_pre[nodes] for layer in clean.layers]))
            layer, position = (index.ravel() for index in np.indices((n_layers, len(nodes))))
            where.append((np.full(len(layer), part.start + number), layer, position))
    prompt, layer, position = (np.concatenate(index) for index in zip(*where, strict=True))
    lens = logit_lens(setup, torch.cat(vectors), torch.from_numpy(prompt))
    table = lens.top_table(setup, {"prompt": prompt, "layer": layer, "position": position})
    return {"stream_top": table.drop("prob")}


def numbers(tables: Tables) -> pl.DataFrame:
    """One stream at the input of every layer, its top three tokens in each of the first prompts.

    The stream is the subject's; where there is none, that of the first mark.
    """
    marks = tables["prompts"].drop_nulls("mark").sort("prompt", "position")
    named = [name for name in marks["mark"].unique(maintain_order=True) if name != FINAL]
    mark = "subject" if "subject" in named else (named or [FINAL])[0]
    streams = (
        tables["stream_top"]
        .filter(pl.col("rank") < 3, pl.col("prompt") < LISTED)
        .join(marks.filter(mark=mark).select("prompt", "position"), on=["prompt", "position"])
    )
    by_prompt = streams.group_by("prompt", "layer", maintain_order=True).agg("token")
    wide = by_prompt.pivot("prompt", index="layer", values="token").sort("layer")
    names = {str(prompt): f"{mark} of {label}" for prompt, label in enumerate(labels(tables))}
    # Two prompts may have one label.
    twins = len(set(names.values())) < len(names)
    return wide.rename({n: f"{name} (prompt {n})" if twins else name for n, name in names.items()}, strict=False)


STREAM_TOP = Experiment(
    name="stream_top",
    title="What the streams hold",
    reading="Each cell is one stream of the first prompt as it enters a layer, read by the logit lens: its top token; "
    "below, the first three of one stream (the subject's, or the first mark's), in up to seven prompts.",
    python="m.stream_tokens()",
    tables=("stream_top",),
    run=run,
    figures=lambda tables: {
        "stream_top": figure(tables["stream_top"].filter(prompt=0), first_prompt(tables)),
    },
    numbers=numbers,
    needs=(PROMPTS,),
)


def stream_tokens(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """Top tokens of every stream at the input of every layer (docs/method.md, V9; the post, "Attention patterns").

    Table `stream_top` has a row per prompt, layer, position and rank (0 to 9): the token, by the logit lens.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.stream_tokens(model, task).table.columns
    ['prompt', 'layer', 'position', 'rank', 'token']
    """
    return STREAM_TOP.measure(model, task, options)
