"""Circuits within the model: each edge carries its source's output in this very run or its ablated output."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vitro.circuits.ablated import Ablated
from vitro.circuits.constants import Constants
from vitro.circuits.distinct import Distinct
from vitro.circuits.graph import Graph
from vitro.circuits.nodes import CircuitError
from vitro.circuits.within_plan import Plan
from vitro.circuits.within_walk import Walk
from vitro.engine import (
    Budget,
    Finals,
    Part,
    Prepared,
    Progress,
    Prompts,
    Read,
    Results,
    Values,
    alone,
    clean_begins,
    in_batches,
    is_finite,
    read_checked,
)
from vitro.models import Model

# Streams worked on at once on a CPU: enough for the products of single heads, few enough for the caches.
STREAMS = {"cpu": 4096}


@torch.inference_mode()
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
    graph = Graph.of(model)
    if masks.ndim != 2 or masks.dtype != bool or masks.shape[1] != len(graph):
        raise CircuitError(
            f"masks of circuits are true or false for each of the model's {len(graph)} edges, [circuit, edge]; "
            f"these are {masks.dtype} of shape {masks.shape}"
        )
    prepared = Prepared.of(model, prompts, memory)
    prepared = replace(prepared, budget=_with_outputs(model, prepared.budget))
    absent.check(prepared.prompts)
    pruned = graph.pruned(masks)
    # Sorted by the edges into the first layers, so that neighbours share what is computed there.
    _, first, number = np.unique(np.packbits(pruned, axis=1), axis=0, return_index=True, return_inverse=True)
    distinct = Distinct.of(graph, pruned[first])
    results = Results(len(first), len(prepared), progress)
    for part in prepared.parts(lambda tree, _: absent.apart()):
        ablated = Ablated.of(part.clean, absent, part.prompts.start)
        most, streams = _sizes(prepared.budget, part, ablated)
        n_read = prepared.budget.read_out(len(part.clean.tree.finals))

        def work(
            batch: Sequence[int],
            part: Part = part,
            ablated: Ablated | None = ablated,
            streams: int = streams,
            n_read: int = n_read,
        ) -> Values:
            if ablated is None:
                resid = part.unedited.resid.repeat(len(batch), 1, 1)
            else:
                resid = Walk(ablated, Plan.of(distinct, batch), streams).run()
            parts = [
                read_checked(read, Finals.everywhere(rows, part.unedited, part.prompts, {}))
                for rows in resid.split(n_read)
            ]
            return {name: torch.cat([values[name] for values in parts]) for name in parts[0]}

        for together in distinct.batches(most):
            for batch, values in in_batches(together, len(together), work):
                results.put(values, batch, part.prompts)

    def begins(circuit: int, prompt: int) -> str | None:
        clean = alone(model, prepared.prompts[prompt])
        if (where := clean_begins(clean)) is not None:
            return f"{where} of the model itself"
        ablated = Ablated.of(clean, absent, prompt)
        return None if ablated is None else _begins(ablated, Plan.of(distinct, [circuit]))

    rows = results.finished(model, begins, lambda circuit: f"circuit {first[circuit]}")
    return {name: values[torch.from_numpy(number.reshape(-1))] for name, values in rows.items()}


def _with_outputs(model: Model, budget: Budget) -> Budget:
    """A budget in which a node has the outputs of a whole circuit twice, and the ablated run beside the clean one."""
    shape, n_sources = model.shape, len(Graph.of(model).sources)
    kept = shape.n_layers * (3 * shape.d_model + 4 * shape.n_heads * shape.d_head)
    return replace(
        budget,
        kept_per_node=budget.kept_per_node + kept * model.dtype.itemsize,
        used_per_node=budget.used_per_node + 2 * n_sources * shape.d_model * model.dtype.itemsize,
    )


def _sizes(budget: Budget, part: Part, ablated: Ablated | None) -> tuple[int, int]:
    """How many outputs to hold at once, in half of the memory, and how many streams to work on, in a quarter of it."""
    model, tree = part.clean.model, part.clean.tree
    left = max(0, budget.memory - len(tree.tokens) * budget.kept_per_node)
    n_nodes = len(tree.finals) if ablated is None else len(ablated.positions)
    outputs = left // 2 // (n_nodes * model.shape.d_model * model.dtype.itemsize)
    streams = left // 4 // Budget.of(model, budget.memory).used_per_node
    return outputs, max(1, min(streams, STREAMS.get(model.device.type, streams)))


def _begins(ablated: Ablated, plan: Plan) -> str | None:
    """Where the run of one circuit on one prompt first holds NaN or infinity; None where it does not."""
    walk = Walk(ablated, plan, streams=1)
    n_before = 1 if plan.n_outputs else 0
    streams = [layer.resid_pre for layer in ablated.layers] + [ablated.resid_final]
    if not is_finite(streams[0]):
        return "the embedding"
    for number, written in enumerate(walk.layers()):
        layer = number - n_before
        if not (is_finite(written) and is_finite(streams[layer + 1])):
            return f"layer {layer}" if layer >= 0 else "the embedding"
    return None if is_finite(ablated.model.final_norm(walk.finals())) else "the final norm"
