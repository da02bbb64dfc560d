"""The smallest wiring: parts of a circuit in vitro are taken away for as long as it still answers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vitro.circuits import Circuit, CircuitError, Edge, Node, Pin
from vitro.discovery.cuts import less
from vitro.discovery.trial import Stopped, Trial

Removal = Node | Edge | tuple[Node, Pin]
"""What can be taken away: a component, an edge, or a pin."""


def size(circuit: Circuit, n_heads: int) -> tuple[int, int, int]:
    """How large a wiring is: its components, its pins, its edges. n_heads: of a layer of the model.

    >>> size(Circuit.wire("input -> a1.h1<v>[subject]; a1.h1 -> logits"), n_heads=4)
    (1, 1, 2)
    """
    return len(circuit.components(n_heads)), len(circuit.pins), len(circuit.edges)


def smallest(trial: Trial, circuit: Circuit, need: int) -> tuple[Circuit, bool]:
    """A part of a circuit that still answers `need` prompts, of which no single component, pin or edge can go.

    In rounds every single removal is run, of components, then, where none can go, of pins, then of edges. Of those
    after which it still answers, the most harmless are made together: as many as can be, by doubling. So each round
    makes `size` smaller. Returns the circuit, and whether it was proved that nothing can go; False where the trial was
    stopped.
    """
    try:
        while (smaller := _round(trial, circuit, need)) is not None:
            circuit = smaller
    except Stopped:
        return circuit, False
    return circuit, True


def _round(trial: Trial, circuit: Circuit, need: int) -> Circuit | None:
    for parts in _parts(circuit, trial.case.model.shape.n_heads):
        single = {part: smaller for part in parts if (smaller := _removed(circuit, [part])) is not None}
        answered = dict(zip(single, trial.run(list(single.values())), strict=True))
        can_go = [part for part in single if answered[part].right >= need]
        if can_go:
            harmless = sorted(can_go, key=lambda part: answered[part].order, reverse=True)
            return _most_of(trial, circuit, harmless, need)
    return None


def _parts(circuit: Circuit, n_heads: int) -> Iterator[Sequence[Removal]]:
    yield circuit.components(n_heads)
    yield sorted(circuit.pins, key=str)
    yield sorted(circuit.edges)


def _most_of(trial: Trial, circuit: Circuit, parts: Sequence[Removal], need: int) -> Circuit:
    """Without as many of the first parts as can go together: one, two, four, ..., or all; the first can."""
    numbers = sorted({*(2**power for power in range(len(parts).bit_length())), len(parts)})
    smaller = [less_many for n in numbers if (less_many := _removed(circuit, parts[:n])) is not None]
    return [
        candidate for candidate, answered in zip(smaller, trial.run(smaller), strict=True) if answered.right >= need
    ][-1]


def _removed(circuit: Circuit, parts: Sequence[Removal]) -> Circuit | None:
    """The circuit without some of its parts; None where it could not be run."""
    unpinned = {part[0] for part in parts if isinstance(part, tuple)}
    try:
        circuit = replace(circuit, pins=frozenset(pin for pin in circuit.pins if pin[0] not in unpinned))
    except CircuitError:
        return None
    return less(circuit, *(part for part in parts if not isinstance(part, tuple)))
