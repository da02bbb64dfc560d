"""Parts of a circuit in vitro are taken away: what harms, until it answers, and then all that it can do without.

Searches are generators: each yields the circuits that it has to know about, and is sent what they answer
(`Trial.together`), so that several go on side by side, a list of circuits for all of them.
"""

from collections.abc import Sequence
from dataclasses import replace

from vitro.circuits import Circuit, CircuitError, Edge, Node, Pin
from vitro.discovery.cuts import less
from vitro.discovery.trial import Search, Stopped

Removal = Node | Edge | tuple[Node, Pin]
"""What can be taken away: a component, an edge, or a pin."""


def size(circuit: Circuit, n_heads: int) -> tuple[int, int, int]:
    """How large a wiring is: its components, its pins, its edges. n_heads: of a layer of the model.

    >>> size(Circuit.wire("input -> a1.h1<v>[subject]; a1.h1 -> logits"), n_heads=4)
    (1, 1, 2)
    """
    return len(circuit.components(n_heads)), len(circuit.pins), len(circuit.edges)


def mended(circuit: Circuit, need: int, n_heads: int) -> Search:
    """The circuit without the components and pins that harm it, taken away one by one until it answers `need` prompts.

    Each time the removal is made after which it answers best (`Answered.order`); where none makes it better it is left
    as it is. So it may not answer in the end either.
    """
    (answered,) = yield [circuit]
    while answered.right < need:
        components, pins, _ = _parts(circuit, n_heads)
        single = [smaller for part in (*components, *pins) if (smaller := _without(circuit, [part])) is not None]
        tried = yield single
        best = max(range(len(single)), key=lambda number: tried[number].order, default=None)
        if best is None or tried[best].order <= answered.order:
            break
        circuit, answered = single[best], tried[best]
    return circuit


def smallest(circuit: Circuit, need: int, n_heads: int) -> Search:
    """A part of a circuit that still answers `need` prompts, of which no single component, pin or edge can go.

    In rounds every single removal is run, of components, then, where none can go, of pins, then of edges. Of those
    after which it still answers, the most harmless are made together, as many as can be: two, four, ..., or all. So
    each round makes `size` smaller. Stopped, it is the smallest by then.
    """
    try:
        while (smaller := (yield from _round(circuit, need, n_heads))) != circuit:
            circuit = smaller
    except Stopped:
        pass
    return circuit


def _round(circuit: Circuit, need: int, n_heads: int) -> Search:
    for parts in _parts(circuit, n_heads):
        single = {part: smaller for part in parts if (smaller := _without(circuit, [part])) is not None}
        answered = dict(zip(single, (yield list(single.values())), strict=True))
        harmless = [part for part in single if answered[part].right >= need]
        if not harmless:
            continue
        harmless.sort(key=lambda part: answered[part].order, reverse=True)
        numbers = sorted({*(2**power for power in range(1, len(harmless).bit_length())), len(harmless)})
        several = [smaller for n in numbers if (smaller := _without(circuit, harmless[:n])) is not None]
        answers = yield several
        fit = [smaller for smaller, its in zip(several, answers, strict=True) if its.right >= need]
        return fit[-1] if fit else single[harmless[0]]
    return circuit


def _parts(circuit: Circuit, n_heads: int) -> tuple[Sequence[Removal], ...]:
    """Its components, pins and edges."""
    return circuit.components(n_heads), sorted(circuit.pins, key=str), sorted(circuit.edges)


def _without(circuit: Circuit, parts: Sequence[Removal]) -> Circuit | None:
    """The circuit without some of its parts; None where it could not be run."""
    unpinned = {part[0] for part in parts if isinstance(part, tuple)}
    try:
        circuit = replace(circuit, pins=frozenset(pin for pin in circuit.pins if pin[0] not in unpinned))
    except CircuitError:
        return None
    return less(circuit, *(part for part in parts if not isinstance(part, tuple)))
