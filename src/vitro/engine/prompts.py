"""Prompts as every run of a model takes them: checked at the door, and cut into parts that fit into the memory."""

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
    """Consecutive prompts, as many as fit into one tree, each part with the model as it runs them.

    Where positions are turned by the length of the prompt, those of one part are turned alike (`Model.for_length`).
    MemoryBudgetError where one prompt does not fit.
    """
    start = 0
    for one, alike in groupby(prompts, lambda prompt: model.for_length(len(prompt))):
        here = list(alike)
        for part in budget.parts(here):
            yield slice(start + part.start, start + part.stop), one
        start += len(here)


def checked_prompts(model: Model, prompts: Prompts) -> list[list[int]]:
    """The prompts as lists of whole numbers.

    PromptError where there are none, or one is text, empty, longer than the model's context, or has a token that the
    model does not know: what indexing would take for another token, or leave out, without a word.
    """
    each = _in_order(prompts)
    if not each:
        raise PromptError(f"prompts are one or more lists of token ids, not {str(prompts)[:40]!r}; {_WHAT_WORKS}")
    return [_checked(model, number, prompt) for number, prompt in enumerate(each)]


def _in_order(values: Iterable[Any]) -> list[Any]:
    """What can be gone through in an order of its own; none of text, whose letters are no tokens, and of the rest."""
    unordered = isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable)
    return [] if unordered or (isinstance(values, Tensor) and not values.ndim) else list(values)


def of_one_length(model: Model, prompts: Prompts, why: str) -> list[list[int]]:
    """The same, and PromptError where the prompts differ in length, which says why they must not."""
    ids = checked_prompts(model, prompts)
    if len(lengths := sorted({len(prompt) for prompt in ids})) > 1:
        raise PromptError(
            f"{why}, so all must be of one length, and these have {lengths[0]} to {lengths[-1]} tokens; what works: "
            "counterfactual or zero ablation"
        )
    return ids


def checked_partners(model: Model, prompts: Prompts, partners: Prompts) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and the counterfactual of each. PromptError where one is not as long as its prompt."""
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
