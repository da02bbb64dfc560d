"""A seeded source of all that is drawn: the same kind and seed give the same case on every machine."""

import random
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Draw:
    """Random choices and tensors of one case."""

    def __init__(self, kind: str, seed: int) -> None:
        self._random = random.Random(f"{kind} {seed}")
        self.generator = torch.Generator().manual_seed(self._random.getrandbits(48))

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._random.randint(low, high)

    def real(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one_of(self, options: Sequence[T]) -> T:
        return self._random.choice(options)

    def sample(self, options: Sequence[T], at_least: int = 1, at_most: int | None = None) -> list[T]:
        """Some of the options, none twice, in an order of their own."""
        most = min(len(options), len(options) if at_most is None else at_most)
        return self._random.sample(options, self.integer(min(at_least, most), most))

    def shuffled(self, options: Sequence[T]) -> list[T]:
        return self._random.sample(options, len(options))

    def normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self.generator)
