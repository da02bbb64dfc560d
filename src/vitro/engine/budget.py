"""How much is done at once, so that a sweep of any size runs in the same memory."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from vitro.errors import VitroError
from vitro.models import Experts, Model

# Nodes (streams) times rows of one batch. On two CPU cores, GPT-2-small size, a head sweep of 7 prompts took 13.8 s
# with 256, 12.4 s with 512, 10.4 s with 1024, 12.1 s with 2048: small products are slow, large ones leave the caches.
# A GPU has no such limit: its batches are filled as the memory allows.
BATCH_NODES = {"cpu": 1024}
# Prompts are cut into trees of so many nodes, because attention costs their square.
TREE_NODES = 256
# Final streams unembedded at once: the logits of a whole vocabulary soon leave the caches.
READ_OUT = 512
CPU_MEMORY = 2**30


class MemoryBudgetError(VitroError):
    """A memory budget in which not even one prompt under one variant can be run."""


@dataclass(frozen=True)
class Budget:
    """Bytes that a sweep may use besides the model's weights, and the sizes of batches that follow.

    By default 1 GiB on a CPU and a quarter of a GPU's memory: shares of what the machine has, not of what is free
    at the moment, because the size of a batch decides the last bits of its results, and the same command should give
    the same tables.

    >>> Budget.of(model, memory=10**8).rows(held=10, nodes=20, prompts=2)
    102
    """

    memory: int
    batch_nodes: int
    kept_per_node: int
    """The clean run's activations."""
    used_per_node: int
    """A row's activations within one block."""
    used_per_pair: int
    """A row's attention between two nodes. torch's own keeps little of it; where it is made by hand, it and copies."""
    used_per_prompt: int
    """A row's logits, if all of them are read: themselves and three temporary copies."""

    @classmethod
    def of(cls, model: Model, memory: int | None = None) -> "Budget":
        """The budget for a model, from a number of bytes or by default."""
        shape, size, device = model.shape, model.dtype.itemsize, model.device
        if memory is None:
            cuda = device.type == "cuda"
            memory = torch.cuda.get_device_properties(device).total_memory // 4 if cuda else CPU_MEMORY
        attention = (shape.n_heads + 2 * shape.n_kv_heads) * shape.d_head
        mixtures = [block.mlp.n_chosen for block in model.blocks if isinstance(block.mlp, Experts)]
        # Each of the experts that are chosen has a copy of the stream.
        mlp = max([3 * shape.d_mlp, *(n_chosen * 3 * (shape.d_model + shape.d_mlp) for n_chosen in mixtures)])
        return cls(
            memory=memory,
            batch_nodes=BATCH_NODES.get(device.type, sys.maxsize),
            kept_per_node=shape.n_layers * (3 * shape.d_model + attention) * size,
            used_per_node=(6 * shape.d_model + 2 * attention + mlp) * size,
            used_per_pair=4 * shape.n_heads * 4 if any(block.by_hand for block in model.blocks) else 8,
            used_per_prompt=4 * shape.d_vocab * 4,
        )

    def row(self, held: int, nodes: int, prompts: int) -> int:
        """Bytes of one row: `held` nodes of a tree of `nodes`, attention between them included."""
        return held * self.used_per_node + held * nodes * self.used_per_pair + prompts * self.used_per_prompt

    def need(self, nodes: int, prompts: int) -> int:
        """Bytes of a tree's clean run and of one row on all of it."""
        return nodes * self.kept_per_node + prompts * self.used_per_prompt + self.row(nodes, nodes, prompts)

    def rows(self, held: int, nodes: int, prompts: int) -> int:
        """How many rows of a tree to run at once. held: may be 0, where a change that is none holds nothing."""
        left = self.memory - nodes * self.kept_per_node - prompts * self.used_per_prompt
        return max(1, min(self.batch_nodes // max(held, 1), left // self.row(max(held, 1), nodes, prompts)))

    def read_out(self, prompts: int) -> int:
        """How many rows to unembed at once, where their logits are not kept: in at most half of the memory."""
        return max(1, min(READ_OUT // prompts, self.memory // 2 // (prompts * self.used_per_prompt)))

    def parts(self, prompts: Sequence[Sequence[int]]) -> Iterator[slice]:
        """Consecutive prompts, as many as fit into one tree. MemoryBudgetError where one prompt does not fit."""
        start, beginnings = 0, set[tuple[int, ...]]()
        for number, prompt in enumerate(prompts):
            here = {tuple(prompt[:end]) for end in range(1, len(prompt) + 1)}
            if (alone := self.need(len(here), 1)) > self.memory:
                raise MemoryBudgetError(
                    f"a memory budget of {_size(self.memory)} is too small for this model: one prompt under one "
                    f"variant needs {_size(alone)}; give --memory more"
                )
            together = len(beginnings | here)
            if number > start and (together > TREE_NODES or self.need(together, number - start + 1) > self.memory):
                yield slice(start, number)
                start, beginnings = number, set()
            beginnings |= here
        yield slice(start, len(prompts))


def _size(n_bytes: int) -> str:
    """In megabytes, or in kilobytes where those would say little."""
    unit, name = (10**6, "MB") if n_bytes >= 10**7 else (10**3, "kB")
    return f"{-(-n_bytes // unit)} {name}"
