"""Circuits as steps: what has to be computed, each step once however many circuits and readers need it."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import INPUT, INPUTS, LOGITS, CircuitError, Constant, Kind, Node, Pin, head


class Work(IntEnum):
    """What a step does, within a layer in the order in which a model does it."""

    total = 0
    embed = 1
    values = 2
    mix = 3
    heads = 4
    every_head = 5
    bias = 6
    mlp = 7
    constant_mlp = 8


Where = Pin | Literal["final", "all"]
"""The nodes at which a step is computed: each prompt's final node, its node at a pin, or all of the tree."""


@dataclass(frozen=True, eq=False)
class Step:
    """A computation, done once for all that read it."""

    work: Work
    layer: int
    reads: tuple[int, ...]
    """The steps that it reads; for `mix`, the sums that queries, keys and values are made from. Heads have parts."""
    heads: tuple["Part", ...] = ()
    constant: Constant | None = None
    pin: Pin | None = None


@dataclass(frozen=True)
class Part:
    """A head's share in what a layer's heads write: from its attention, pinned to a stream, or at a constant."""

    head: int
    mix: int | None
    values: int | None
    pin: Pin | None
    constant: Constant | None


@dataclass
class Plan:
    """The steps of some circuits, each after those that it reads; `outputs` are the sums that the logits read."""

    parallel: bool
    n_heads: int
    watch: frozenset[Node]
    """Heads whose attention is asked for: it is computed even where nothing reads their output."""
    steps: list[Step] = field(default_factory=list)
    where: list[Where | None] = field(default_factory=list)
    """The nodes at which each step is needed; None where it is not needed at all."""
    reads: list[tuple[int, ...]] = field(default_factory=list)
    """The steps that each step reads where it is needed."""
    outputs: list[int] = field(default_factory=list)
    mixes: list[dict[Node, int]] = field(default_factory=list)
    """For every circuit: the `mix` of each watched head that makes its own attention there."""
    pins: list[Mapping[Node, Pin]] = field(default_factory=list)
    _known: dict[Hashable, int] = field(default_factory=dict)

    @classmethod
    def of(cls, circuits: Sequence[Circuit], n_heads: int, *, parallel: bool, watch: Collection[Node]) -> "Plan":
        """The steps of some circuits on a model of `n_heads` heads a layer. parallel: as for `edges_into`.

        watch: heads whose attention from the final streams is asked for.
        """
        plan = cls(parallel, n_heads, frozenset(watch))
        for circuit in circuits:
            _Wiring(plan, circuit).add()
        plan._find_where()
        return plan

    def step(self, work: Work, layer: int, reads: tuple[int, ...] = (), **more: object) -> int:
        """The number of a step, which is added if it is new."""
        key = (work, layer, reads, *more.values())
        if key not in self._known:
            self._known[key] = len(self.steps)
            self.steps.append(Step(work, layer, reads, **more))  # type: ignore[arg-type]
        return self._known[key]

    def _find_where(self) -> None:
        """Go back from the logits: which steps are read, and at which nodes."""
        needed: list[set[Where]] = [set() for _ in self.steps]
        for number in (*self.outputs, *(mix for mixes in self.mixes for mix in mixes.values())):
            needed[number].add("final")
        self.where, self.reads = [None] * len(self.steps), [()] * len(self.steps)
        for number in reversed(range(len(self.steps))):
            if not needed[number]:
                continue
            step = self.steps[number]
            where = needed[number].pop() if len(needed[number]) == 1 else "all"
            self.where[number], self.reads[number] = where, self._read_by(step, where)
            for read in self.reads[number]:
                # Any node may attend to any before it; a pinned head's values are those at its pin.
                needed[read].add("all" if step.work is Work.mix else step.pin if step.pin is not None else where)

    def _read_by(self, step: Step, where: Where) -> tuple[int, ...]:
        """The steps that a step reads at some nodes; at final nodes a pinned head does not need its own attention."""
        if step.work not in (Work.heads, Work.every_head):
            return tuple(sorted(set(step.reads)))
        if where != "final" and any(part.pin is not None and part.mix is None for part in step.heads):
            raise CircuitError(
                f"a pinned head of layer {step.layer} is read beside the final stream too, where its pin says nothing; "
                "let it read by q and k as well as v"
            )
        mixes = {part.mix for part in step.heads if part.pin is None or where != "final"}
        values = {part.values for part in step.heads}
        return tuple(sorted(number for number in mixes | values if number is not None))


class _Wiring:
    """A circuit being added to a plan."""

    def __init__(self, plan: Plan, circuit: Circuit) -> None:
        self.plan, self.circuit = plan, circuit
        self.parts: dict[Node, Part] = {}
        self.written: dict[Node, int] = {}
        self.streams: list[int] = []
        self.mixes: dict[Node, int] = {}

    def add(self) -> None:
        for node in self.circuit.order:
            if node in self.circuit.constant_of or node.kind in (Kind.input, Kind.bias, Kind.stream):
                continue
            if node == LOGITS:
                self.plan.outputs.append(self._sum(node, None))
            elif node.kind is Kind.mlp:
                self.written[node] = self.plan.step(Work.mlp, node.layer, (self._sum(node, None),))
            else:
                self.parts[node] = self._head(node)
        self.plan.mixes.append(self.mixes)
        self.plan.pins.append(self.circuit.pin_of)

    def _head(self, node: Node) -> Part:
        pin = self.circuit.pin_of.get(node)
        sums = [self._sum(node, name) if (node, name) in self.circuit.sources else None for name in INPUTS]
        value = sums[2]
        assert value is not None
        values = None if pin is None else self.plan.step(Work.values, node.layer, (value,), pin=pin)
        mix = None
        if None not in sums:
            mix = self.plan.step(Work.mix, node.layer, tuple(number for number in sums if number is not None))
            if pin is None:
                self._watch(node, mix)
        return Part(node.head, mix, values, pin, None)

    def _watch(self, node: Node, mix: int) -> None:
        if node in self.plan.watch:
            self.mixes[node] = mix

    def _sum(self, reader: Node, name: str | None) -> int:
        """The sum of a reader's sources, the heads of a layer together."""
        sources = self.circuit.sources[reader, name]  # type: ignore[index]
        terms: list[tuple[int, Kind, int]] = []
        heads: dict[int, list[Part]] = {}
        for node in sources:
            if node.kind is Kind.head:
                constant = self.circuit.constant_of.get(node)
                part = self.parts[node] if constant is None else Part(node.head, None, None, None, constant)
                heads.setdefault(node.layer, []).append(part)
            else:
                terms.append((node.layer, node.kind, self._source(node)))
        for layer, parts in heads.items():
            terms.append((layer, Kind.head, self._heads(layer, tuple(parts))))
        return self._total([number for _, _, number in sorted(terms)])

    def _total(self, terms: list[int]) -> int:
        return terms[0] if len(terms) == 1 else self.plan.step(Work.total, -1, tuple(terms))

    def _heads(self, layer: int, parts: tuple[Part, ...]) -> int:
        return self.plan.step(Work.heads, layer, heads=parts)

    def _source(self, node: Node) -> int:
        if node == INPUT:
            return self.plan.step(Work.embed, -1)
        if node.kind is Kind.bias:
            return self.plan.step(Work.bias, node.layer)
        if node.kind is Kind.stream:
            return self._stream(node.layer)
        constant = self.circuit.constant_of.get(node)
        if constant is not None:
            return self.plan.step(Work.constant_mlp, node.layer, constant=constant)
        return self.written[node]

    def _stream(self, last: int) -> int:
        """The model's own stream after a layer, block by block."""
        plan, constant_of = self.plan, self.circuit.constant_of
        for layer in range(len(self.streams), last + 1):
            resid = self.streams[-1] if layer else plan.step(Work.embed, -1)
            constants = [constant_of.get(Node(layer, Kind.head, number)) for number in range(plan.n_heads)]
            mix = plan.step(Work.mix, layer, (resid, resid, resid)) if None in constants else None
            parts = tuple(
                Part(number, mix if constant is None else None, None, None, constant)
                for number, constant in enumerate(constants)
            )
            for part in parts:
                if part.mix is not None:
                    self._watch(head(layer, part.head), part.mix)
            # All heads at once and with their biases, as the model adds them up.
            mid = self._total([resid, plan.step(Work.every_head, layer, heads=parts)])
            constant = constant_of.get(Node(layer, Kind.mlp))
            mlp = (
                plan.step(Work.mlp, layer, (resid if plan.parallel else mid,))
                if constant is None
                else plan.step(Work.constant_mlp, layer, constant=constant)
            )
            self.streams.append(self._total([mid, mlp]))
        return self.streams[last]
