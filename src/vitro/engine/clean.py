"""The clean run of any number of prompts, tree by tree."""

from collections.abc import Iterator, Sequence

from vitro.engine.budget import Budget
from vitro.engine.forward import Clean, run
from vitro.engine.tree import pack
from vitro.models import Model


def clean_runs(
    model: Model, prompts: Sequence[Sequence[int]], memory: int | None = None
) -> Iterator[tuple[slice, Clean]]:
    """The prompts in consecutive parts, each with its clean run, so that one part at a time is held in memory."""
    for part in Budget.of(model, memory).parts(prompts):
        yield part, run(model, pack(prompts[part]))
