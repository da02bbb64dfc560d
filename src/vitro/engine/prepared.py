"""Prompts ready for any number of runs: checked, cut into trees that fit into memory, and run clean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from vitro.engine.budget import Budget
from vitro.engine.forward import Clean, run
from vitro.engine.prompts import Prompts, checked_prompts, in_parts
from vitro.engine.readout import Unembedded
from vitro.engine.tree import Tree, pack
from vitro.models import Model

Apart = Callable[[Tree, slice], int | None]
"""The position from which prompts of a tree with a common beginning are kept apart; None: they share all of it.
The slice says which of all prompts they are."""


def together(tree: Tree, prompts: slice) -> None:
    """Prompts share all of their common beginnings."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the prompts on a tree, and their clean run, from which every variant starts."""

    prompts: slice
    """Which of all prompts they are."""
    clean: Clean

    @cached_property
    def unedited(self) -> Unembedded:
        """The clean run's final stream of each prompt."""
        return Unembedded(self.clean.model, self.clean.resid_final[self.clean.there.finals])


@dataclass(frozen=True, eq=False)
class Prepared:
    """Prompts that a model can be run on, and how many of them at once.

    >>> [len(part.clean.tree.tokens) for part in Prepared.of(model, [[0, 5, 9], [0, 6]]).parts()]
    [4]
    """

    model: Model
    prompts: list[list[int]]
    budget: Budget

    @classmethod
    def of(cls, model: Model, prompts: Prompts, memory: int | None = None) -> "Prepared":
        """PromptError for prompts that the model cannot be run on; memory: bytes, as for `Budget`."""
        return cls(model, checked_prompts(model, prompts), Budget.of(model, memory))

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> list[int]:
        """How many tokens each prompt has."""
        return [len(prompt) for prompt in self.prompts]

    def parts(self, apart: Apart = together) -> Iterator[Part]:
        """The prompts in consecutive parts, each run clean when its turn comes, so that one is in memory at a time.

        The trees' paths are as wide as the longest of all prompts.
        """
        longest = max(self.lengths)
        for prompts, here in in_parts(self.model, self.prompts, self.budget):
            tree = pack(self.prompts[prompts], positions=longest)
            if (position := apart(tree, prompts)) is not None:
                tree = pack(self.prompts[prompts], position, positions=longest)
            yield Part(prompts, run(here, tree))
