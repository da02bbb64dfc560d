"""Runs lists of circuits within a model, part by part of the prompts, from the wholly ablated run of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits.ablated import Ablated
from vitro.circuits.constants import Constants
from vitro.circuits.graph import Graph
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


class Runs(Protocol):
    """Distinct circuits within a model, and how a batch of them is run where the ablated run is not the clean one."""

    def __len__(self) -> int:
        """How many there are."""

    def batches(self, most: int) -> Iterator[range]:
        """Consecutive circuits that have together at most so many outputs or streams, but at least one circuit."""

    def finals(self, ablated: Ablated, batch: Sequence[int], streams: int) -> Float[Tensor, "circuit prompt d_model"]:
        """What the logits of each circuit read. streams: how many are worked on at once."""

    def layers(self, ablated: Ablated, circuit: int) -> Iterator[Tensor]:
        """What one circuit changes: after the embedding, and after each layer."""


@dataclass(frozen=True, eq=False)
class InModel:
    """Prompts, and what absent edges carry, ready for any number of lists of circuits within a model.

    What all lists start from, the clean and the wholly ablated run, is kept between them where all prompts fit into
    memory at once.
    """

    prepared: Prepared
    absent: Constants

    @classmethod
    def of(cls, model: Model, prompts: Prompts, absent: Constants, memory: int | None = None) -> "InModel":
        """PromptError for prompts that the model cannot be run on, CircuitError for constants that do not fit.

        memory: bytes, as for `sweep`.

        >>> absent = vitro.circuits.resampled(model, prompts, seed=0)
        >>> len(InModel.of(model, prompts, absent).prepared)
        7
        """
        prepared = Prepared.of(model, prompts, memory)
        absent.check(prepared.prompts)
        return cls(replace(prepared, budget=_with_outputs(model, prepared.budget)), absent)

    @cached_property
    def _kept(self) -> list[tuple[Part, Ablated | None]]:
        return []

    def _parts(self) -> Iterator[tuple[Part, Ablated | None]]:
        """Each part of the prompts with its ablated run; kept where one part is all."""
        yield from self._kept
        if self._kept:
            return
        for part in self.prepared.parts(lambda tree, _: self.absent.apart()):
            ablated = Ablated.of(part.clean, self.absent, part.prompts.start)
            if part.prompts == slice(0, len(self.prepared)):
                self._kept.append((part, ablated))
            yield part, ablated

    @torch.inference_mode()
    def run(
        self, runs: Runs, read: Read, called: Callable[[int], str], progress: Progress | None = None
    ) -> dict[str, Tensor]:
        """Run distinct circuits, part by part of the prompts. called: what an error calls a circuit.

        Raises NotFiniteError and MemoryBudgetError as `run_within` does.
        """
        model, prepared = self.prepared.model, self.prepared
        results = Results(len(runs), len(prepared), progress)
        for part, ablated in self._parts():
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
                    resid = runs.finals(ablated, batch, streams)
                parts = [
                    read_checked(read, Finals.everywhere(rows, part.unedited, part.prompts, {}))
                    for rows in resid.split(n_read)
                ]
                return {name: torch.cat([values[name] for values in parts]) for name in parts[0]}

            for together in runs.batches(most):
                for batch, values in in_batches(together, len(together), work):
                    results.put(values, batch, part.prompts)

        def begins(circuit: int, prompt: int) -> str | None:
            clean = alone(model, prepared.prompts[prompt])
            if (where := clean_begins(clean)) is not None:
                return f"{where} of the model itself"
            ablated = Ablated.of(clean, self.absent, prompt)
            return None if ablated is None else _begins(ablated, runs, circuit)

        return results.finished(model, begins, called)


def _with_outputs(model: Model, budget: Budget) -> Budget:
    """A budget in which a node has the outputs of a whole circuit twice, and the ablated run beside the clean one."""
    shape, n_sources = model.shape, len(Graph.of(model).sources)
    kept = shape.n_layers * (3 * shape.d_model + 4 * shape.n_heads * shape.d_head)
    # What heads write together, where a norm reads it.
    kept += sum(block.after_heads is not None for block in model.blocks) * shape.d_model
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


def _begins(ablated: Ablated, runs: Runs, circuit: int) -> str | None:
    """Where the run of one circuit on one prompt first holds NaN or infinity; None where it does not."""
    streams = [layer.resid_pre for layer in ablated.layers] + [ablated.resid_final]
    for layer, changed in enumerate(runs.layers(ablated, circuit), start=-1):
        if not (is_finite(changed) and is_finite(streams[layer + 1])):
            return f"layer {layer}" if layer >= 0 else "the embedding"
    finals = runs.finals(ablated, [circuit], streams=1)
    return None if is_finite(ablated.model.final_norm(finals)) else "the final norm"
