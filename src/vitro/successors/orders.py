"""Shuffled orders of a cycle: the control for every number that should depend on the order."""

import math
from functools import cache
from itertools import permutations

import torch
from jaxtyping import Float, Int
from torch import Tensor

ORDERS = 10_000
"""Shuffled orders behind a p-value; where there are fewer orders, all of them."""
_TIE = 1e-12
"""Scores this close are equal: they are the same sum in another order."""


@cache
def cyclic_orders(n: int, seed: int = 0) -> Int[Tensor, "order word"]:
    """Orders of n words around a cycle, the true one first: all (n - 1)! if at most ORDERS, else ORDERS drawn ones."""
    if math.factorial(n - 1) <= ORDERS:
        return torch.tensor([(0, *rest) for rest in permutations(range(1, n))])
    draw = torch.Generator().manual_seed(seed)
    return torch.cat([torch.arange(n)[None], torch.rand(ORDERS, n, generator=draw).argsort(-1)])


def p_values(scores: Float[Tensor, "order *rest"]) -> Float[Tensor, "*rest"]:
    """The share of orders that score at least as high as the first, which is the true order and is counted too."""
    share: Tensor = (scores >= scores[0] - _TIE).double().mean(0)
    return share
