"""Work done a batch at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from vitro.engine.budget import MemoryBudgetError
from vitro.errors import VitroError

Values = Mapping[str, Tensor]
"""Results by name, each [row, prompt, ...]."""


class ReadError(VitroError):
    """A `read` function that returns anything but tensors [row, prompt, ...] by name."""


def checked_values(values: Values, n_rows: int, n_prompts: int) -> Values:
    """What was read, if each tensor has a row for every row of the batch and a column for every prompt; else ReadError.

    Anything else would be broadcast to other rows, or fail deep inside.
    """
    if not isinstance(values, Mapping):
        raise ReadError(f"read gives a {type(values).__name__}; it should give tensors by name, as {{'top': ...}}")
    for name, value in values.items():
        if not isinstance(value, Tensor) or value.shape[:2] != (n_rows, n_prompts):
            form = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ReadError(
                f"what is read as {name!r} is {form}; it should be a tensor [row, prompt, ...], here of "
                f"{n_rows} rows and {n_prompts} prompts"
            )
    return values


def in_batches(
    items: Sequence[int], size: int, work: Callable[[Sequence[int]], Values]
) -> Iterator[tuple[Sequence[int], Values]]:
    """Work on items, `size` at once; where the machine runs out of memory, half as many from there on.

    MemoryBudgetError where it does so on a single item.

    >>> [batch for batch, _ in in_batches(range(5), 2, lambda batch: {})]
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    while items:
        batch = items[:size]
        try:
            values = work(batch)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise MemoryBudgetError(
                    "this machine ran out of memory on a single run of the model; close what else uses it, or take "
                    "another device or number format"
                ) from error
            size = len(batch) // 2
            continue
        yield batch, values
        items = items[len(batch) :]


def picked(numbers: Sequence[int], device: torch.device) -> Int[Tensor, " number"]:
    """Whole numbers as a tensor that is made on the device itself: to receive it from the CPU, a GPU would wait."""
    every = torch.arange(max(numbers) + 1, device=device)
    return torch.stack([every[number] for number in numbers])


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory; on the CPU only the words of its error say so."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "allocate memory" in str(error)
        or "not enough memory" in str(error)
    )
