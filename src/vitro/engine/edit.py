"""Interventions as values: what is changed, where, and to what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from operator import index
from typing import Literal, SupportsIndex

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.errors import VitroError


class EditError(VitroError):
    """An edit that fits neither the model nor the prompts."""


class Hook(IntEnum):
    """The places within a block that can be edited, in the order in which a block computes them."""

    resid_pre = 0
    pattern = 1
    z = 2
    attn_out = 3
    resid_mid = 4
    expert_out = 5
    mlp_out = 6
    resid_post = 7


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model, such as head 9.1's z. Write `z(9, 1)`, `mlp_out(0)`, `resid_post(8)`, `pattern(9, 1)`.

    >>> z(9, 1) == Site(9, Hook.z, 1)
    True
    """

    layer: int
    hook: Hook
    head: int | None = None
    """Of heads, a head's number; of experts, an expert's."""

    def __post_init__(self) -> None:
        if not isinstance(self.hook, Hook):
            raise EditError(f"a site's place is one of {', '.join(map(str, Hook.__members__))}, not {self.hook!r}")
        # A bool would index as a mask, and not as the number that it is equal to.
        object.__setattr__(self, "layer", _whole(self.layer, "a site's layer"))
        if self.head is not None:
            object.__setattr__(self, "head", _whole(self.head, "a site's head"))

    def __str__(self) -> str:
        """TransformerLens' name, with the head: `blocks.9.attn.hook_z[1]`."""
        within = "attn." if self.hook in (Hook.pattern, Hook.z) else "mlp." if self.hook is Hook.expert_out else ""
        head = "" if self.head is None else f"[{self.head}]"
        return f"blocks.{self.layer}.{within}hook_{self.hook.name}{head}"


def z(layer: int, head: int) -> Site:
    """A head's values mixed by its attention, before W_O: d_head numbers at every position (`hook_z`).

    >>> str(z(9, 1))
    'blocks.9.attn.hook_z[1]'
    """
    return Site(layer, Hook.z, head)


def pattern(layer: int, head: int) -> Site:
    """A head's attention: at every position, a weight for each position (`hook_pattern`).

    >>> str(pattern(9, 1))
    'blocks.9.attn.hook_pattern[1]'
    """
    return Site(layer, Hook.pattern, head)


def attn_out(layer: int) -> Site:
    """What a block's heads write to the stream together, b_O included (`hook_attn_out`).

    >>> str(attn_out(9))
    'blocks.9.hook_attn_out'
    """
    return Site(layer, Hook.attn_out)


def mlp_out(layer: int) -> Site:
    """What an MLP writes to the stream (`hook_mlp_out`).

    >>> str(mlp_out(0))
    'blocks.0.hook_mlp_out'
    """
    return Site(layer, Hook.mlp_out)


def expert_out(layer: int, expert: int) -> Site:
    """What one expert of a mixture writes to the stream, its weight in the router's choice included.

    Set to zero, the expert is ablated: the router chooses as before, and the others' weights stay.

    >>> str(expert_out(3, 5))
    'blocks.3.mlp.hook_expert_out[5]'
    """
    return Site(layer, Hook.expert_out, expert)


def resid_pre(layer: int) -> Site:
    """The stream as it enters a block.

    >>> str(resid_pre(3))
    'blocks.3.hook_resid_pre'
    """
    return Site(layer, Hook.resid_pre)


def resid_mid(layer: int) -> Site:
    """The stream between a block's heads and its MLP; a parallel block has none.

    >>> str(resid_mid(3))
    'blocks.3.hook_resid_mid'
    """
    return Site(layer, Hook.resid_mid)


def resid_post(layer: int) -> Site:
    """The stream as it leaves a block.

    >>> str(resid_post(8))
    'blocks.8.hook_resid_post'
    """
    return Site(layer, Hook.resid_post)


@dataclass(frozen=True, eq=False)
class Edit:
    """An intervention: at `site`, the activation is set to `value`, or `value` is added to it.

    value: [width], [position, width] or [prompt, position, width], each axis full or 1, as in broadcasting. Position p
    of the value belongs to position p of the prompt. Width is d_head at a head's z and d_model at an MLP or the
    stream; at a pattern it holds the weights on positions 0, 1, ..., and those that it leaves out are 0. It may be on
    any device and in any number format: what of it is used is converted to the model's, once.
    Positions beyond a prompt's end are not edited, so where prompts differ in length a value is as long as the longest.
    positions: which positions are edited, negative ones counted from each prompt's end; None: all. A tuple of tuples
    gives each prompt positions of its own, as ((3,), (5,), ()).
    prompts: which prompts are edited; None: all.
    EditError for arguments that make no edit. Whether it fits the model and the prompts is checked when it is run.

    >>> print(Edit(mlp_out(0), torch.zeros(64), positions=(-1,)))
    set blocks.0.hook_mlp_out at positions (-1,)
    """

    site: Site
    value: Float[Tensor, "..."]
    how: Literal["set", "add"] = "set"
    positions: tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None
    prompts: tuple[int, ...] | None = None

    def __str__(self) -> str:
        """In words, for a log or an error."""
        where = "every position" if self.positions is None else f"positions {self.positions}"
        whose = "" if self.prompts is None else f" of prompts {self.prompts}"
        return f"{self.how} {self.site} at {where}{whose}"

    def __post_init__(self) -> None:
        if not isinstance(self.site, Site):
            raise EditError(f"an edit is made at a site, as z(9, 1) or resid_post(8), not at {self.site!r}")
        if self.how not in ("set", "add"):
            raise EditError(f"edit of {self.site}: how must be set or add, not {self.how!r}")
        if not isinstance(self.value, Tensor) or not self.value.ndim:
            raise EditError(f"edit of {self.site}: its value must be a tensor [..., width], not {str(self.value)[:40]}")
        object.__setattr__(self, "prompts", _numbers(self.prompts, f"edit of {self.site}: prompts"))
        object.__setattr__(self, "positions", _positions(self.positions, f"edit of {self.site}: positions"))

    def rows(self, lengths: Sequence[int]) -> Int[Tensor, "prompt position"]:
        """The row of `flat_value` that each prompt's positions get; -1 where nothing is edited.

        lengths: every prompt's number of tokens. EditError where the value's shape does not fit the prompts, or a
        prompt or position is named that does not exist.
        """
        n_prompts, longest = len(lengths), max(lengths)
        _check_named(self, "prompt", self.prompts, 0, n_prompts)
        by_prompt, by_position = (1, 1, *self.value.shape[:-1])[-2:]
        if by_prompt not in (1, n_prompts) or (by_position != 1 and by_position < longest) or self.value.ndim > 3:
            raise EditError(
                f"edit ({self}): a value of shape {tuple(self.value.shape)} does not fit {n_prompts} prompts of up to "
                f"{longest} positions"
            )
        prompt = torch.arange(n_prompts)[:, None]
        position = torch.arange(longest)[None]
        row = (prompt if by_prompt > 1 else 0 * prompt) * by_position + (position if by_position > 1 else 0 * position)
        edited = self._at_positions(lengths)
        if self.prompts is not None:
            edited &= torch.isin(prompt, torch.tensor(self.prompts, dtype=torch.long))
        return torch.where(edited, row, -1)

    def _at_positions(self, lengths: Sequence[int]) -> Bool[Tensor, "prompt position"]:
        """Whether each position of each prompt is among `positions`."""
        longest = max(lengths)
        position, length = torch.arange(longest)[None], torch.tensor(lengths)[:, None]
        if self.positions is None:
            return position < length
        rows = [row for row in self.positions if isinstance(row, tuple)]
        if not rows:
            rows = [tuple(at for at in self.positions if isinstance(at, int))]
            _check_named(self, "position", rows[0], -longest, longest)
        elif len(rows) != len(lengths):
            raise EditError(f"edit ({self}): it has positions of {len(rows)} prompts, and there are {len(lengths)}")
        else:
            _check_named(self, "position", tuple(chain(*rows)), -longest, longest)
            for number, (row, end) in enumerate(zip(rows, lengths, strict=True)):
                _check_named(self, "position", row or None, -end, end, where=f" in prompt {number}")
        # Shorter rows are filled up with a position beyond every prompt.
        widest = max(map(len, rows))
        edited = torch.tensor([[*row, *[longest] * (widest - len(row))] for row in rows])[:, None]
        is_edited = (position[..., None] == edited) | ((position - length)[..., None] == edited)
        return is_edited.any(-1) & (position < length)

    @property
    def flat_value(self) -> Float[Tensor, "row width"]:
        """The value with its prompt and position axes flattened."""
        return self.value.reshape(-1, self.value.shape[-1])


Variant = tuple[Edit, ...]
"""Edits made together in one run of the model; the empty variant is the clean run."""


def _check_named(edit: Edit, what: str, named: Sequence[int] | None, first: int, end: int, *, where: str = "") -> None:
    """EditError where an edit names what does not exist: it would edit nothing, silently."""
    if named is None:
        return
    if not named:
        raise EditError(f"edit ({edit}): it names no {what}, so it edits nothing; None stands for all")
    if wrong := [number for number in named if not first <= number < end]:
        raise EditError(f"edit ({edit}): there is no {what} {wrong[0]}{where}; there are {first} to {end - 1}")


def pin(layer: int, head: int, to: int | Sequence[int], *, at: int = -1) -> Edit:
    """The edit that makes a head at position `at` (default: the final stream) attend to position `to` alone.

    to: the same position in all prompts, or a position for each, as of a mark. Other rows of the pattern are untouched.
    Source: the post, "setting the k-th stream's attention to 1 w.r.t. the final stream".

    >>> print(pin(9, 1, to=4))
    set blocks.9.attn.hook_pattern[1] at positions (-1,)
    """
    what = "the position that a head is pinned to"
    targets = [_whole(position, what) for position in (to if isinstance(to, Iterable) else [to])]
    if not targets or min(targets) < 0:
        raise EditError(f"a head is pinned to a position from 0 on, not to {min(targets, default='none')}")
    rows = torch.eye(max(targets) + 1)[targets]
    return Edit(pattern(layer, head), rows[:, None] if isinstance(to, Iterable) else rows[0], positions=(at,))


def _whole(number: SupportsIndex, what: str) -> int:
    """A whole number as an int, also a number of another library."""
    try:
        return int(index(number))
    except TypeError as error:
        raise EditError(f"{what} must be a whole number, not {str(number)[:40]!r}") from error


def _positions(
    positions: Iterable[SupportsIndex | Iterable[SupportsIndex]] | None, what: str
) -> tuple[int, ...] | tuple[tuple[int, ...], ...] | None:
    """Positions, the same in all prompts or each prompt's own, as tuples; None stands for all."""
    rows = list(positions) if isinstance(positions, Iterable) and not isinstance(positions, str | Tensor) else []
    if not any(isinstance(row, list | tuple) for row in rows):
        return _numbers(positions, what)  # type: ignore[arg-type]
    if not all(isinstance(row, list | tuple) for row in rows):
        raise EditError(f"{what} must be the same for all prompts, as (3,), or a tuple for each, as ((3,), (5,))")
    return tuple(tuple(_whole(at, f"{what}: each") for at in row) for row in rows)  # type: ignore[union-attr]


def _numbers(numbers: Iterable[SupportsIndex] | None, what: str) -> tuple[int, ...] | None:
    """Whole numbers as a tuple; None stands for all."""
    if numbers is None:
        return None
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        raise EditError(f"{what} must be whole numbers, as (3,), or None for all, not {str(numbers)[:40]!r}")
    return tuple(_whole(number, what) for number in numbers)
