"""Circuits within the model: each edge carries its source's output in this very run or its ablated output."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitro.circuits.ablated import Ablated
from vitro.circuits.constants import Constants
from vitro.circuits.distinct import Distinct
from vitro.circuits.graph import Graph
from vitro.circuits.in_model import InModel
from vitro.circuits.nodes import CircuitError
from vitro.circuits.within_plan import Plan
from vitro.circuits.within_walk import Walk
from vitro.engine import Progress, Prompts, Read
from vitro.models import Model


def run_within(
    model: Model,
    prompts: Prompts,
    masks: Bool[np.ndarray, "circuit edge"],
    absent: Constants,
    read: Read,
    *,
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run circuits within the model and keep what `read` says: name -> [circuit, prompt, ...], on the CPU.

    masks: the edges of each circuit, in the order of `Graph.of(model).edges`; they are pruned first. absent: what edges
    carry that a circuit has not. Each reader's input is the sum over all sources before it of the source's output in
    this run where the edge is in the circuit, of its ablated output where it is not; what is no node stays. A head with
    only some of q, k and v in the circuit makes the others of the wholly ablated stream. memory: as for `sweep`. `read`
    gets the model's own logits beside the circuits', and its rows are circuits; `progress` counts circuits that are
    equal once pruned as one.
    Raises PromptError for prompts that the model cannot be run on, CircuitError for masks of another graph and
    constants that do not fit, NotFiniteError where a run comes to NaN or infinity, MemoryBudgetError where not even a
    single circuit on a single prompt fits.
    Source: docs/method.md, section 10.

    >>> absent = vitro.circuits.resampled(model, prompts, seed=0)
    >>> graph = Graph.of(model)
    >>> masks = np.stack([graph.among(graph.nodes), graph.mask([])])
    >>> run_within(model, prompts, masks, absent, lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([2, 7])
    """
    return run_masks(InModel.of(model, prompts, absent, memory), masks, read, progress)


def run_masks(
    inside: InModel, masks: Bool[np.ndarray, "circuit edge"], read: Read, progress: Progress | None = None
) -> dict[str, Tensor]:
    """Run circuits within the model as `run_within` does, on prompts that are ready.

    >>> inside = vitro.circuits.InModel.of(model, prompts, vitro.circuits.resampled(model, prompts, seed=0))
    >>> run_masks(inside, Graph.of(model).mask([])[None], lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([1, 7])
    """
    graph = Graph.of(inside.prepared.model)
    if masks.ndim != 2 or masks.dtype != bool or masks.shape[1] != len(graph):
        raise CircuitError(
            f"masks of circuits are true or false for each of the model's {len(graph)} edges, [circuit, edge]; "
            f"these are {masks.dtype} of shape {masks.shape}"
        )
    pruned = graph.pruned(masks)
    # Sorted by the edges into the first layers, so that neighbours share what is computed there.
    _, first, number = np.unique(np.packbits(pruned, axis=1), axis=0, return_index=True, return_inverse=True)
    sets = EdgeSets(Distinct.of(graph, pruned[first]))
    rows = inside.run(sets, read, lambda row: f"circuit {first[row]}", progress)
    return {name: values[torch.from_numpy(number.reshape(-1))] for name, values in rows.items()}


@dataclass(frozen=True, eq=False)
class EdgeSets:
    """Distinct circuits, pruned, in an order in which neighbours share much."""

    distinct: Distinct

    def __len__(self) -> int:
        return len(self.distinct.masks)

    def batches(self, most: int) -> Iterator[range]:
        """Consecutive circuits that have together at most so many outputs and final streams, but at least one."""
        return self.distinct.batches(most)

    def finals(self, ablated: Ablated, batch: Sequence[int], streams: int) -> Float[Tensor, "circuit prompt d_model"]:
        """What the logits of each circuit read."""
        return Walk(ablated, Plan.of(self.distinct, batch), streams).run()

    def layers(self, ablated: Ablated, circuit: int) -> Iterator[Tensor]:
        """What the nodes of one circuit add to the streams that read them: the input's, and each layer's."""
        walk = Walk(ablated, Plan.of(self.distinct, [circuit]), streams=1)
        if not walk.plan.n_outputs:
            yield torch.zeros(0)
        yield from walk.layers()
