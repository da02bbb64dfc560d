"""Shuffled orders: the control of every number that is to depend on the order of a cycle."""

import math
from functools import cache
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

ORDERS = 10_000
"""Shuffled orders behind a p-value, unless there are no more than that."""
_TIE = 1e-12
"""Scores this close are one score, summed in another order."""


@cache
def cyclic_orders(n: int, seed: int = 0) -> Int[Tensor, "order word"]:
    """Orders of n words around a cycle, their own first: all (n - 1)! if at most ORDERS, or else ORDERS drawn ones."""
    if math.factorial(n - 1) <= ORDERS:
        return torch.tensor([(0, *rest) for rest in permutations(range(1, n))])
    draw = torch.Generator().manual_seed(seed)
    return torch.cat([torch.arange(n)[None], torch.rand(ORDERS, n, generator=draw).argsort(-1)])


def p_values(scores: Float[Tensor, "order *rest"]) -> Float[Tensor, "*rest"]:
    """The share of the orders whose score is at least that of the first, the words' own; itself counted."""
    share: Tensor = (scores >= scores[0] - _TIE).double().mean(0)
    return share
