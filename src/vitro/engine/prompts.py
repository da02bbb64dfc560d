"""Prompts as every run of a model takes them: checked first, and cut into parts that fit into memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from itertools import groupby
from operator import index
from typing import Any

from torch import Tensor

from vitro.engine.budget import Budget
from vitro.errors import VitroError
from vitro.models import Model

Prompts = Sequence[Sequence[int]]
"""The token ids of each prompt, BOS included where the model wants one; lengths may differ."""


class PromptError(VitroError):
    """Prompts that a model cannot be run on."""


def in_parts(model: Model, prompts: Prompts, budget: Budget) -> Iterator[tuple[slice, Model]]:
    """Consecutive prompts, as many as fit into a tree, each part with the model as it runs them.

    Where rotation depends on the length of the prompt, it is the same within a part (`Model.for_length`).
    MemoryBudgetError where a single prompt does not fit.
    """
    start = 0
    for part_model, group in groupby(prompts, lambda prompt: model.for_length(len(prompt))):
        members = list(group)
        for part in budget.parts(members):
            yield slice(start + part.start, start + part.stop), part_model
        start += len(members)


def checked_prompts(model: Model, prompts: Prompts) -> list[list[int]]:
    """The prompts as lists of whole numbers.

    PromptError where there are none, or a prompt is text, empty, longer than the model's context, or has a token that
    the model does not know (which indexing would silently take for another).

    >>> checked_prompts(model, [(0, 5, 9), [0, 6]])
    [[0, 5, 9], [0, 6]]
    """
    items = _in_order(prompts)
    if not items:
        raise PromptError(f"prompts are one or more lists of token ids, not {str(prompts)[:40]!r}; {_WHAT_WORKS}")
    return [_checked(model, number, prompt) for number, prompt in enumerate(items)]


def _in_order(values: Iterable[Any]) -> list[Any]:
    """The items of an ordered collection; none for text, whose letters are no tokens, and for all else."""
    unordered = isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable)
    return [] if unordered or (isinstance(values, Tensor) and not values.ndim) else list(values)


def of_one_length(model: Model, prompts: Prompts, why: str) -> list[list[int]]:
    """Checked prompts of equal length; else PromptError, which says why lengths may not differ.

    >>> of_one_length(model, [(0, 5), (0, 6)], "a mean is taken position by position")
    [[0, 5], [0, 6]]
    """
    ids = checked_prompts(model, prompts)
    if len(lengths := sorted({len(prompt) for prompt in ids})) > 1:
        raise PromptError(
            f"{why}, so all must be of one length, and these have {lengths[0]} to {lengths[-1]} tokens; what works: "
            "counterfactual or zero ablation"
        )
    return ids


def checked_partners(model: Model, prompts: Prompts, partners: Prompts) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and the counterfactual of each. PromptError where a counterfactual is not as long as its prompt.

    >>> checked_partners(model, [(0, 5)], [(0, 6)])
    ([[0, 5]], [[0, 6]])
    """
    ids, others = checked_prompts(model, prompts), checked_prompts(model, partners)
    if len(ids) != len(others):
        raise PromptError(f"there are {len(ids)} prompts and {len(others)} counterfactuals; each prompt has one")
    for number, (prompt, other) in enumerate(zip(ids, others, strict=True)):
        if len(prompt) != len(other):
            raise PromptError(
                f"prompt {number} has {len(prompt)} tokens and its counterfactual {len(other)}; what works: "
                "counterfactuals as long as their prompts, so that positions correspond"
            )
    return ids, others


def _checked(model: Model, number: int, prompt: Sequence[int]) -> list[int]:
    if isinstance(prompt, str):
        raise PromptError(f"prompt {number} is text ({prompt[:40]!r}), not token ids; {_WHAT_WORKS}")
    if isinstance(prompt, Sized) and not len(prompt):
        raise PromptError(f"prompt {number} is empty; a prompt has one token or more")
    try:
        tokens = [int(index(token)) for token in _in_order(prompt)]
    except TypeError:
        tokens = []
    if not tokens:
        raise PromptError(f"prompt {number} is no list of token ids ({str(prompt)[:40]}); {_WHAT_WORKS}")
    if len(tokens) > model.shape.n_ctx:
        raise PromptError(
            f"prompt {number} has {len(tokens)} tokens, and the model's context is {model.shape.n_ctx}; shorten it"
        )
    for token in tokens:
        if not 0 <= token < model.shape.d_vocab:
            raise PromptError(
                f"prompt {number} has the token {token}, and the model knows 0 to {model.shape.d_vocab - 1}"
            )
    return tokens


_WHAT_WORKS = "what works: [model.tokenizer(text).input_ids]"
