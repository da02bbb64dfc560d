"""Activation patching: each activation in turn set to what it is on the prompt's partner."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from vitro.engine.activations import SiteError, activations
from vitro.engine.edit import Edit, Site, Variant, attn_out, mlp_out, pattern, resid_mid, resid_post, resid_pre, z
from vitro.engine.prompts import Prompts, checked_partners
from vitro.engine.results import Progress
from vitro.engine.sweep import Read, sweep
from vitro.models import Model

Patch = Literal["resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "pattern"]
PATCHES: tuple[Patch, ...] = get_args(Patch)
"""What can be patched: the stream at three places, what heads and MLPs write, and a head's values and attention."""

Positions = Sequence[int | Sequence[int]]
"""Positions, each the same in all prompts (negative ones counted from the end), or one of each prompt's own."""

_OF_LAYERS: dict[Patch, Callable[[int], Site]] = {
    "resid_pre": resid_pre,
    "resid_mid": resid_mid,
    "resid_post": resid_post,
    "attn_out": attn_out,
    "mlp_out": mlp_out,
}
_OF_HEADS: dict[Patch, Callable[[int, int], Site]] = {"z": z, "pattern": pattern}


def patch(
    model: Model,
    prompts: Prompts,
    partners: Prompts,
    what: Patch,
    read: Read,
    *,
    positions: Positions | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Set one activation at one position to the partner's, all else running on, and keep what `read` says.

    The result: name -> [layer, position, prompt, ...], of z and pattern [layer, head, position, prompt, ...]; of a
    pattern the position is the query's, whose whole row of attention is set. NaN where a prompt has no such position.
    prompts, partners: token ids, each partner exactly as long as its prompt; lengths may differ.
    positions: where to patch, in the order of the result, as (2, -1) or, for marks that stand elsewhere in each prompt,
    ((4, 6, 3),) with a number for each prompt; None: every position of the longest prompt.
    Raises SiteError for a place that the model does not have, and what `sweep` does.
    Source: Meng et al. 2022 (arXiv 2202.05262), "causal tracing"; Zhang & Nanda 2023 (arXiv 2309.16042).

    Example: `patch(model, [[0, 5, 9]], [[0, 6, 9]], "resid_pre", lambda finals: {"kl": finals.kl})["kl"]`
    """
    if what not in PATCHES:
        raise SiteError(f"{what!r} cannot be patched; what works: {', '.join(PATCHES)}")
    ids, others = checked_partners(model, prompts, partners)
    if positions is not None and not len(positions):
        raise SiteError("no position is named; what works: numbers, such as (2, -1), or None for all")
    lengths = [len(prompt) for prompt in ids]
    places = list(range(max(lengths)) if positions is None else positions)
    instead = activations(model, others, [what], memory)
    variants: list[Variant] = []
    for layer, name in enumerate(instead.names):
        # Beyond a prompt's end nothing is edited, and an edit's values are numbers.
        value = instead[name].nan_to_num(0.0)
        for site, own in _sites(model, what, layer, value):
            variants += [(Edit(site, own, positions=_of_prompts(place)),) for place in places]
    results = sweep(model, ids, variants, read, memory=memory, progress=progress)
    there = torch.tensor([[_is_in(place, length) for length in lengths] for place in places])
    nowhere = ~there.repeat(len(variants) // len(places), 1)
    heads = (model.shape.n_heads,) if what in _OF_HEADS else ()
    grid = (model.shape.n_layers, *heads, len(places))
    return {name: _without(value, nowhere).unflatten(0, grid) for name, value in results.items()}


def _sites(
    model: Model, what: Patch, layer: int, value: Float[Tensor, "prompt *axes"]
) -> Iterator[tuple[Site, Float[Tensor, "prompt position width"]]]:
    """The sites of a layer, each with its own part of the partners' activation."""
    if what in _OF_LAYERS:
        yield _OF_LAYERS[what](layer), value
        return
    # A pattern is [prompt, head, query, key], z is [prompt, position, head, d_head].
    for head, own in enumerate(value.unbind(1 if what == "pattern" else 2)):
        yield _OF_HEADS[what](layer, head), own


def _of_prompts(place: int | Sequence[int]) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """A place as an edit's positions."""
    return (place,) if isinstance(place, int) else tuple((at,) for at in place)


def _is_in(place: int | Sequence[int], length: int) -> bool:
    """Whether a prompt of this length has this position; one of its own it must have, or the edit is refused."""
    return -length <= place < length if isinstance(place, int) else True


def _without(
    values: Shaped[Tensor, "variant prompt *read"], nowhere: Bool[Tensor, "variant prompt"]
) -> Shaped[Tensor, "variant prompt *read"]:
    """NaN where nothing was patched; whole numbers have none, so they become float32 there."""
    if not bool(nowhere.any()):
        return values
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    return values.masked_fill(nowhere.view(*nowhere.shape, *(1,) * (values.ndim - 2)), torch.nan)
