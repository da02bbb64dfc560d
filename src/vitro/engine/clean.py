"""The clean run of any number of prompts, tree by tree."""

from collections.abc import Iterator

import torch

from vitro.engine.budget import Budget
from vitro.engine.finite import alone, clean_begins, refuse_broken
from vitro.engine.forward import Clean, run
from vitro.engine.prompts import Prompts, checked_prompts, in_parts
from vitro.engine.tree import pack
from vitro.models import Model


def clean_runs(model: Model, prompts: Prompts, memory: int | None = None) -> Iterator[tuple[slice, Clean]]:
    """The prompts in consecutive parts, each with its clean run, so that one part at a time is held in memory.

    Raises PromptError for prompts that the model cannot be run on and, when all are run, NotFiniteError where one
    holds NaN or infinity.
    """
    ids = checked_prompts(model, prompts)
    broken, longest = [], max(map(len, ids))
    for part, here in in_parts(model, ids, Budget.of(model, memory)):
        clean = run(here, pack(ids[part], positions=longest))
        tree = clean.there
        broken.append(((~clean.resid_final.isfinite().all(-1))[tree.paths] & (tree.paths >= 0)).any(-1))
        yield part, clean
    refuse_broken(
        model,
        torch.cat(broken)[None].cpu(),
        lambda row, prompt: clean_begins(alone(model, ids[prompt])),
        lambda row: "the model's run",
    )
