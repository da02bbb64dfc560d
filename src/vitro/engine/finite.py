"""Runs whose numbers leave their format: noticed at the end of the run, and located."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from vitro.engine.cone import plan
from vitro.engine.forward import Clean, run
from vitro.engine.place import Placed
from vitro.engine.tree import pack
from vitro.engine.variants import Group, run_blocks
from vitro.errors import NoValueError
from vitro.models import Model


class NotFiniteError(NoValueError):
    """A run that comes to NaN or infinity, so that its results mean nothing."""


def refuse_broken(
    model: Model,
    broken: Bool[Tensor, "row prompt"],
    begins: Callable[[int, int], str | None],
    row_name: Callable[[int], str],
) -> None:
    """NotFiniteError where a run's end holds NaN or infinity; it says which run, on which prompt, and where it began.

    broken: on the CPU. begins: where a row's run of one prompt alone first holds such a number; None where it does not.
    In a tree of prompts NaN spreads to the other prompts (0 x NaN is NaN), so each prompt is run alone to find its own.
    """
    pairs = broken.nonzero().tolist()
    for row, prompt in pairs:
        if (where := begins(row, prompt)) is not None:
            raise not_finite(model, f"{row_name(row)}, prompt {prompt}", f"from {where} on")
    if pairs:
        row, prompt = pairs[0]
        raise not_finite(model, f"{row_name(row)}, prompt {prompt}", "at its end")


def not_finite(model: Model, what: str, where: str) -> NotFiniteError:
    """The error that says what holds NaN or infinity, where, and what would work."""
    dtype = str(model.dtype).removeprefix("torch.")
    works = f"what is put into the model there leaves {dtype}: look at its values"
    if model.dtype is torch.float16:
        works = "float16 ends at 65504; what works: --dtype bfloat16, or float32"
    return NotFiniteError(f"{what}: NaN or infinity {where}, so its logits say nothing; {works}")


def alone(model: Model, prompt: Sequence[int]) -> Clean:
    """The clean run of a single prompt.

    >>> alone(model, prompts[0]).resid_final.shape
    torch.Size([7, 64])
    """
    return run(model.for_length(len(prompt)), pack([prompt]))


def clean_begins(clean: Clean) -> str | None:
    """Where a clean run first holds NaN or infinity.

    >>> clean_begins(alone(model, prompts[0])) is None
    True
    """
    streams = [layer.resid_pre for layer in clean.layers]
    for layer, stream in enumerate((*streams, clean.resid_final)):
        if not is_finite(stream):
            return f"layer {layer - 1}" if layer else "the embedding"
    return None if is_finite(clean.model.final_norm(clean.resid_final)) else "the final norm"


def variant_begins(clean: Clean, placed: Placed) -> str | None:
    """Where a variant of a clean run first holds NaN or infinity."""
    if (where := clean_begins(clean)) is not None:
        return f"{where} of the model itself"
    group = Group.of(clean.model, plan(clean.model, clean.tree, placed.signature), [placed], {})
    for layer in run_blocks(clean, [group], {}):
        assert group.resid is not None
        if not is_finite(group.resid):
            return f"layer {layer}"
    normed = None if group.resid is None else clean.model.final_norm(group.resid)
    return None if normed is None or is_finite(normed) else "the final norm"


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinity; a GPU has to be waited for.

    >>> is_finite(torch.tensor([1.0, torch.nan]))
    False
    """
    return bool(values.isfinite().all())
