"""Prompts that share beginnings, packed into a tree of tokens: what is the same is computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Tree:
    """The distinct beginnings of some prompts. A node is a token after a beginning; its position is its depth.

    Seven day prompts of 8 tokens make 32 nodes. A node attends to its ancestors and to itself, which is causal
    attention within each prompt, exactly, and needs no padding where prompts differ in length.
    """

    tokens: Int[Tensor, " node"]
    positions: Int[Tensor, " node"]
    visible: Bool[Tensor, "node node"]
    """visible[i, j]: node i attends to node j."""
    paths: Int[Tensor, "prompt position"]
    """The node of each prompt's token; -1 after the prompt's end."""
    finals: Int[Tensor, " prompt"]
    """The node of each prompt's last token, where the answer is predicted."""

    def to(self, device: torch.device) -> "Tree":
        """The same tree on a device."""
        return Tree(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def pack(prompts: Sequence[Sequence[int]], apart: int | None = None, *, positions: int = 0) -> Tree:
    """The tree of some prompts' token ids. Prompts are kept apart from position `apart` on, even where they agree.

    An edit that differs between two prompts (a value of its own for each) needs them apart from there on. positions:
    the least width of the paths, so that what is read by position is as wide as for the prompts on other trees.

    >>> tree = pack([[0, 5, 9], [0, 5, 8]])
    >>> tree.tokens.tolist(), tree.paths.tolist()
    ([0, 5, 9, 8], [[0, 1, 2], [0, 1, 3]])
    """
    node_of: dict[tuple[int, int, int], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    paths: list[list[int]] = []
    for number, prompt in enumerate(prompts):
        path: list[int] = []
        for depth, token in enumerate(prompt):
            owner = number if apart is not None and depth >= apart else -1
            parent = path[-1] if path else -1
            node = node_of.setdefault((parent, token, owner), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                parents.append(parent)
                depths.append(depth)
            path.append(node)
        paths.append(path)
    visible = torch.eye(len(tokens), dtype=torch.bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            visible[node] |= visible[parent]
    longest = max(positions, *map(len, paths))
    return Tree(
        tokens=torch.tensor(tokens),
        positions=torch.tensor(depths),
        visible=visible,
        paths=torch.tensor([path + [-1] * (longest - len(path)) for path in paths]),
        finals=torch.tensor([path[-1] for path in paths]),
    )
