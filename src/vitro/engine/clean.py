"""The clean run of any number of prompts, tree by tree."""

from collections.abc import Iterator

import torch

from vitro.engine.finite import alone, clean_begins, refuse_broken
from vitro.engine.forward import Clean
from vitro.engine.prepared import Prepared
from vitro.engine.prompts import Prompts
from vitro.models import Model


def clean_runs(model: Model, prompts: Prompts, memory: int | None = None) -> Iterator[tuple[slice, Clean]]:
    """The prompts in consecutive parts, each with its clean run, so that only one part is in memory at a time.

    Raises PromptError for prompts that the model cannot be run on and, when all are run, NotFiniteError where one
    holds NaN or infinity.

    >>> [clean.resid_final.shape for _, clean in clean_runs(model, [[0, 5, 9], [0, 5, 8]])]
    [torch.Size([4, 64])]
    """
    prepared, broken = Prepared.of(model, prompts, memory), []
    for part in prepared.parts():
        tree = part.clean.there
        broken.append(((~part.clean.resid_final.isfinite().all(-1))[tree.paths] & (tree.paths >= 0)).any(-1))
        yield part.prompts, part.clean
    refuse_broken(
        model,
        torch.cat(broken)[None].cpu(),
        lambda row, prompt: clean_begins(alone(model, prepared.prompts[prompt])),
        lambda row: "the model's run",
    )
