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
"""What can be patched: the stream at three places, what heads and MLPs write, and a head's z and attention."""

Positions = Sequence[int | Sequence[int]]
"""Positions, each the same in all prompts (negative: counted from the end) or a tuple with each prompt's own."""

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
    """Set an activation at a position to the partner's, let the rest run on, and keep what `read` says.

    The result: name -> [layer, position, prompt, ...], of z and pattern [layer, head, position, prompt, ...]; of a
    pattern the position is the query's, and its whole row of attention is set. NaN where a prompt has no such position.
    prompts, partners: token ids, each partner exactly as long as its prompt; lengths may differ.
    positions: where to patch, in the order of the result, as (2, -1) or, for marks that differ from prompt to prompt,
    ((4, 6, 3),) with a position for each prompt; None: every position of the longest prompt.
    Raises SiteError for a place that the model does not have, and what `sweep` does.
    Source: Meng et al. 2022 (arXiv 2202.05262), "causal tracing"; Zhang & Nanda 2023 (arXiv 2309.16042).

    >>> patch(model, [[0, 5, 9]], [[0, 6, 9]], "resid_pre", lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([3, 3, 1])
    """
    if what not in PATCHES:
        raise SiteError(f"{what!r} cannot be patched; what works: {', '.join(PATCHES)}")
    ids, partner_ids = checked_partners(model, prompts, partners)
    if positions is not None and not len(positions):
        raise SiteError("no position is named; what works: numbers, such as (2, -1), or None for all")
    lengths = [len(prompt) for prompt in ids]
    at_positions = list(range(max(lengths)) if positions is None else positions)
    partner_values = activations(model, partner_ids, [what], memory)
    variants: list[Variant] = []
    for layer, name in enumerate(partner_values.names):
        # Beyond a prompt's end nothing is edited, and an edit's values are numbers.
        value = partner_values[name].nan_to_num(0.0)
        for site, own_value in _sites(model, what, layer, value):
            variants += [(Edit(site, own_value, positions=_of_prompts(position)),) for position in at_positions]
    results = sweep(model, ids, variants, read, memory=memory, progress=progress)
    has_position = torch.tensor([[_is_in(position, length) for length in lengths] for position in at_positions])
    absent = ~has_position.repeat(len(variants) // len(at_positions), 1)
    heads = (model.shape.n_heads,) if what in _OF_HEADS else ()
    grid = (model.shape.n_layers, *heads, len(at_positions))
    return {name: _without(value, absent).unflatten(0, grid) for name, value in results.items()}


def _sites(
    model: Model, what: Patch, layer: int, value: Float[Tensor, "prompt *axes"]
) -> Iterator[tuple[Site, Float[Tensor, "prompt position width"]]]:
    """The sites of a layer, each with its own part of the partners' activation."""
    if what in _OF_LAYERS:
        yield _OF_LAYERS[what](layer), value
        return
    # A pattern is [prompt, head, query, key], z is [prompt, position, head, d_head].
    for head, own_value in enumerate(value.unbind(1 if what == "pattern" else 2)):
        yield _OF_HEADS[what](layer, head), own_value


def _of_prompts(position: int | Sequence[int]) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """A position in the form that an edit takes."""
    return (position,) if isinstance(position, int) else tuple((at,) for at in position)


def _is_in(position: int | Sequence[int], length: int) -> bool:
    """Whether a prompt of this length has this position; where it lacks its own, the edit is refused."""
    return -length <= position < length if isinstance(position, int) else True


def _without(
    values: Shaped[Tensor, "variant prompt *read"], absent: Bool[Tensor, "variant prompt"]
) -> Shaped[Tensor, "variant prompt *read"]:
    """NaN where nothing was patched; whole numbers have no NaN, so they become float32 there."""
    if not bool(absent.any()):
        return values
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    return values.masked_fill(absent.view(*absent.shape, *(1,) * (values.ndim - 2)), torch.nan)
