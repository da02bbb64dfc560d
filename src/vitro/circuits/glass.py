"""Circuits running on a tree of prompts: a plan's steps, each output kept while it is needed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.nodes import Constant, Node, Pin
from vitro.circuits.plan import Part, Plan, Step, Where, Work
from vitro.engine import Clean, at_finals, is_finite, visible
from vitro.models import attend, attention


class Glass:
    """Runs a plan. Steps of one kind and layer that are ready run as rows of one batch, whatever circuit asks for them.

    A step's output has a row for each node of the tree, or, where it is needed at one stream alone, for each prompt.
    """

    def __init__(
        self,
        clean: Clean,
        nodes: Nodes,
        plan: Plan,
        constants: Mapping[Constant, Constants],
        value_bias: Literal["excluded", "included"],
        marks: Mapping[str, Int[Tensor, " prompt"]],
    ) -> None:
        """nodes: all of the clean run's tree; marks: positions in its prompts; all on the model's device."""
        self.clean, self.plan, self.constants, self.marks = clean, plan, constants, marks
        self.model, self.tree, self.nodes = clean.model, clean.there, nodes
        self.biased = value_bias == "included"
        self.outputs: dict[int, Tensor] = {}
        # Kept, because steps ask for a layer's heads, and for the nodes at a pin, again and again.
        self.nodes_at: dict[Pin, Int[Tensor, " prompt"]] = {}
        self.value_biases: dict[int, Float[Tensor, "head d_head"]] = {}
        self.scales: dict[int, Float[Tensor, "node 1"] | None] = {}
        self.patterns: dict[int, Float[Tensor, "head prompt position"]] = {}

    def run(self) -> Float[Tensor, "circuit prompt d_model"]:
        """What the logits of each circuit read. Keeps the attention of the heads that the plan watches."""
        for _ in self._steps():
            pass
        return torch.stack([self._read(number, "final") for number in self.plan.outputs])

    def begins(self) -> str | None:
        """Where the run first holds NaN or infinity; None where it does not."""
        for number in self._steps():
            if not is_finite(self.outputs[number]):
                layer = self.plan.steps[number].layer
                return f"layer {layer}" if layer >= 0 else "a sum of what its components write"
        finals = torch.stack([self._read(number, "final") for number in self.plan.outputs])
        return None if is_finite(self.model.final_norm(finals)) else "the final norm"

    def _steps(self) -> Iterator[int]:
        """Run the steps; gives the number of each when its output is ready."""
        plan = self.plan
        self.watched = {mix for mixes in plan.mixes for mix in mixes.values()}
        readers: dict[int, list[int]] = defaultdict(list)
        waiting = [len(reads) for reads in plan.reads]
        for number, reads in enumerate(plan.reads):
            for source in reads:
                readers[source].append(number)
        left = {number: len(reading) for number, reading in readers.items()}
        first = (number for number, where in enumerate(plan.where) if where is not None and not plan.reads[number])
        ready = [(self._group(number), number) for number in first]
        heapify(ready)
        while ready:
            # All ready steps of the group that comes first in the model's own order.
            group, number = heappop(ready)
            batch = [number]
            while ready and ready[0][0] == group:
                batch.append(heappop(ready)[1])
            for number, output in zip(batch, self._outputs(batch), strict=True):
                self.outputs[number] = output
            yield from batch
            for number in batch:
                for reader in readers[number]:
                    waiting[reader] -= 1
                    if waiting[reader] == 0:
                        heappush(ready, (self._group(reader), reader))
                for source in plan.reads[number]:
                    left[source] -= 1
                    if left[source] == 0 and source not in plan.outputs:
                        del self.outputs[source]

    def attention_of(self, head: Node) -> Float[Tensor, "circuit prompt position"]:
        """A watched head's attention from every prompt's final stream, after `run`; NaN in circuits that lack it."""
        paths = self.tree.paths
        weights_by_circuit = []
        for mixes, pins in zip(self.plan.mixes, self.plan.pins, strict=True):
            weights = torch.full(paths.shape, torch.nan, device=self.model.device)
            if head in pins:
                weights = torch.zeros_like(weights)
                weights[self._every_prompt, self._positions(pins[head])] = 1.0
            elif head in mixes:
                weights = self.patterns[mixes[head]][head.head]
            weights_by_circuit.append(weights)
        return torch.stack(weights_by_circuit)

    def _group(self, number: int) -> tuple[int | str, ...]:
        """A key of steps that can be computed together. Sorts in the model's own order, sums first: they cost least.

        It holds everything that `_outputs` takes from the first step of a batch for all of it. All else in which steps
        may differ (what they read, constants, the pins of single heads) is taken from each step.
        """
        step = self.plan.steps[number]
        heads = [part.head for part in step.heads]
        return (step.layer, step.work, str(self.plan.where[number]), str(step.pin), *heads)

    def _outputs(self, batch: Sequence[int]) -> Sequence[Tensor]:
        steps = [self.plan.steps[number] for number in batch]
        layer, where = steps[0].layer, self.plan.where[batch[0]]
        assert where is not None
        match steps[0].work:
            case Work.total:
                return [self._total(step, where) for step in steps]
            case Work.embed:
                return [self._at(self.model.embed(self.tree.tokens, self.tree.positions), where)]
            case Work.mix:
                return self._mixes(layer, batch, where)
            case Work.values:
                assert steps[0].pin is not None
                rows = torch.stack([self._read(step.reads[0], steps[0].pin) for step in steps])
                return self.model.qkv(layer, rows, self._at(self.tree.positions, steps[0].pin))[2].unbind()
            case Work.heads:
                return self._heads(layer, steps, where)
            case Work.every_head:
                z = torch.stack([self._z(layer, step.heads, where) for step in steps])
                return self.model.attn_out(layer, z).unbind()
            case Work.bias:
                bias = self._bias(layer).expand(len(self._at(self.tree.positions, where)), -1)
                return [self._scaled(bias, layer, where)]
            case Work.mlp:
                rows = torch.stack([self._read(step.reads[0], where) for step in steps])
                return self.model.mlp_out(layer, rows).unbind()
            case Work.constant_mlp:
                return [self._at(self._constant(step).mlp_at(self.model, layer, self.nodes), where) for step in steps]

    def _total(self, step: Step, where: Where) -> Tensor:
        total = self._read(step.reads[0], where).clone()
        for number in step.reads[1:]:
            total += self._read(number, where)
        return total

    def _mixes(self, layer: int, batch: Sequence[int], where: Where) -> Sequence[Tensor]:
        """z of all heads of a layer, for every trio of sums that queries, keys and values are made from."""
        model, tree = self.model, self.tree
        trios = [self.plan.steps[number].reads for number in batch]
        sums = sorted({number for trio in trios for number in trio})
        projections = model.qkv(layer, torch.stack([self._read(number, "all") for number in sums]), tree.positions)
        q, k, v = (torch.stack([x[sums.index(trio[place])] for trio in trios]) for place, x in enumerate(projections))
        mask = visible(model, layer, tree)
        if watched := [row for row, number in enumerate(batch) if number in self.watched]:
            queries, keys = (torch.stack([x[row] for row in watched]) for x in (q[:, tree.finals], k))
            final_attention = attention(model, layer, queries, keys, mask[tree.finals])
            weights = at_finals(final_attention, torch.arange(len(tree.finals), device=model.device), tree.paths)
            self.patterns |= {batch[row]: row_weights for row, row_weights in zip(watched, weights, strict=True)}
        looking = self._at(self._every_node, where)
        return attend(model, layer, q[:, looking], k, v, mask[looking]).unbind()

    def _heads(self, layer: int, steps: Sequence[Step], where: Where) -> Sequence[Tensor]:
        """The sum of what some heads of a layer write; the heads are the same in every step.

        Where a norm stands after the heads, its scale is the clean run's: docs/method.md, section 4.3.
        """
        numbers = [part.head for part in steps[0].heads]
        z = torch.stack([self._z(layer, step.heads, where) for step in steps])
        if not self.biased:
            bias = self._value_bias(layer)
            z = z - torch.stack([bias[number] for number in numbers])
        w_out = self.model.w_out(layer)
        written = z.flatten(-2) @ torch.cat([w_out[number] for number in numbers])
        return self._scaled(written, layer, where).unbind()

    def _scaled(self, written: Float[Tensor, "*row node d_model"], layer: int, where: Where) -> Tensor:
        """What heads write, over the clean run's scale of a norm after them."""
        if layer not in self.scales:
            self.scales[layer] = self.model.write_scale(layer, self.clean.layers[layer].z)
        scale = self.scales[layer]
        return written if scale is None else (written / self._at(scale, where)).to(written.dtype)

    def _z(self, layer: int, parts: Sequence[Part], where: Where) -> Float[Tensor, "node part d_head"]:
        # A pin sets only the final row of the attention; the other rows are the head's own.
        mixing = {part.mix for part in parts if part.pin is None or where != "final"}
        mixes: dict[int | None, Tensor] = {mix: self._read(mix, where) for mix in mixing if mix is not None}
        constants = {
            kind: self._at(self.constants[kind].z_at(self.model, layer, self.nodes), where)
            for kind in {part.constant for part in parts}
            if kind is not None
        }
        z_parts = []
        for part in parts:
            if part.constant is not None:
                z = constants[part.constant][:, part.head]
            elif part.pin is None:
                z = mixes[part.mix][:, part.head]
            else:
                z = self._pinned(part, mixes.get(part.mix), where)
            z_parts.append(z)
        return torch.stack(z_parts, dim=1)

    def _pinned(self, part: Part, mix: Tensor | None, where: Where) -> Float[Tensor, "node d_head"]:
        """A pinned head's z: its values at the pin in the final row, its own attention's z in the other rows."""
        assert part.values is not None
        values = self.outputs[part.values][:, part.head // (self.model.shape.n_heads // self.model.shape.n_kv_heads)]
        is_final = self.tree.finals[:, None] == self._at(self._every_node, where)
        z = values[is_final.int().argmax(0)]
        return z if mix is None else torch.where(is_final.any(0)[:, None], z, mix[:, part.head])

    @property
    def _every_node(self) -> Int[Tensor, " node"]:
        return torch.arange(len(self.tree.tokens), device=self.model.device)

    @property
    def _every_prompt(self) -> Int[Tensor, " prompt"]:
        return torch.arange(len(self.tree.finals), device=self.model.device)

    def _bias(self, layer: int) -> Float[Tensor, " d_model"]:
        """b_O, with the folded value biases of all heads of the layer where the heads come without them."""
        bias = self.model.b_out(layer)
        return (
            bias if self.biased else bias + torch.einsum("hd,hdm->m", self._value_bias(layer), self.model.w_out(layer))
        )

    def _value_bias(self, layer: int) -> Float[Tensor, "head d_head"]:
        if layer not in self.value_biases:
            self.value_biases[layer] = self.model.folded_value_bias(layer)
        return self.value_biases[layer]

    def _constant(self, step: Step) -> Constants:
        assert step.constant is not None
        return self.constants[step.constant]

    def _positions(self, pin: Pin) -> Int[Tensor, " prompt"]:
        """Where a pin is in each prompt."""
        if isinstance(pin, str):
            return self.marks[pin]
        return torch.full((len(self.tree.finals),), pin, device=self.model.device)

    def _read(self, number: int, where: Where) -> Tensor:
        """A step's output at some of the nodes at which it was computed."""
        return self.outputs[number] if self.plan.where[number] == where else self._at(self.outputs[number], where)

    def _at(self, values: Shaped[Tensor, "node *width"], where: Where) -> Shaped[Tensor, "_place *width"]:
        """Values at some of the tree's nodes: all, or a node for each prompt."""
        if where == "all":
            return values
        if where == "final":
            return values[self.tree.finals]
        if where not in self.nodes_at:
            self.nodes_at[where] = self.tree.paths[self._every_prompt, self._positions(where)]
        return values[self.nodes_at[where]]
