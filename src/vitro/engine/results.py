"""What is read off runs in batches, put together: by name, a row for each run and a column for each prompt."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vitro.engine.batches import ReadError, Values, picked
from vitro.engine.finite import refuse_broken
from vitro.models import Model

BROKEN = "not finite"
"""The name under which a batch says, for each row and prompt, whether the final stream holds NaN or infinity."""

Progress = Callable[[int, int], None]
"""Called with how many runs (of a variant on a prompt) are done, and of how many."""


class Results:
    """The results of some runs (variants, circuits, edges) of some prompts, on the device until all are run."""

    def __init__(self, n_rows: int, n_prompts: int, progress: Progress | None = None) -> None:
        self.n_rows, self.n_prompts, self.progress = n_rows, n_prompts, progress
        self.done = 0
        self.kept: dict[str, Tensor] = {}

    def put(self, values: Values, rows: Sequence[int], prompts: slice) -> None:
        """Put a batch's results, of some rows and a part of the prompts, in their place among the results."""
        for name, value in values.items():
            if name not in self.kept:
                self.kept[name] = value.new_empty((self.n_rows, self.n_prompts, *value.shape[2:]))
            kept = self.kept[name]
            if value.shape[2:] != kept.shape[2:]:
                raise ReadError(
                    f"what is read as {name!r} is of shape {tuple(value.shape)}, and was {tuple(kept.shape)} in an "
                    "earlier batch; all axes after row and prompt must stay as they are"
                )
            kept[picked(rows, value.device), prompts] = value
        self.done += len(rows) * (prompts.stop - prompts.start)
        if self.progress is not None:
            self.progress(self.done, self.n_rows * self.n_prompts)

    def finished(
        self, model: Model, begins: Callable[[int, int], str | None], row_name: Callable[[int], str]
    ) -> dict[str, Tensor]:
        """All of it on the CPU: name -> [row, prompt, ...]. NotFiniteError where a run is broken."""
        results = {name: value.cpu() for name, value in self.kept.items()}
        broken = results.pop(BROKEN, torch.zeros(self.n_rows, self.n_prompts, dtype=torch.bool))
        refuse_broken(model, broken, begins, row_name)
        return results
