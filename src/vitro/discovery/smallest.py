"""Parts of a circuit in vitro are taken away: what harms, until it answers, and then all that it can do without.

Searches are generators: each yields the circuits that it has to know about, and is sent what they answer
(`AskedCircuits.together`), so that several go on side by side, a list of circuits for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vitro.circuits import Circuit, Edge, Kind, Node, Pin
from vitro.circuits.nodes import INPUTS
from vitro.discovery.asked_circuits import Search
from vitro.discovery.cuts import less
from vitro.discovery.search import OutOfTimeError


@dataclass(frozen=True)
class Removal:
    """A way of making a circuit smaller by one part.

    parts: what can be taken away, of a circuit in a model of so many heads a layer. without: the circuit without such a
    part; None where it could not be run.
    """

    parts: Callable[[Circuit, int], Sequence[Any]]
    without: Callable[[Circuit, Any], Circuit | None]


def stepped_over(circuit: Circuit, part: Node) -> Circuit | None:
    """The circuit without a component: what read it reads what it read, as past a component of a residual stream.

    Of a head that is what it reads by v.

    >>> circuit = Circuit.wire("input -> a1.h1; a1.h1 -> m1; m1 -> logits")
    >>> print(stepped_over(circuit, vitro.circuits.node("m1")))
    input -> a1.h1
    a1.h1 -> logits
    """
    sources = circuit.sources.get((part, "v" if part.kind is Kind.head else None), ())
    past = {
        Edge(source, edge.reader, edge.input) for edge in circuit.edges if edge.source == part for source in sources
    }
    return less(replace(circuit, edges=circuit.edges | past), part)


def unpinned(circuit: Circuit, pin: tuple[Node, Pin]) -> Circuit | None:
    """The circuit with a head that looks for itself; None where it has nothing to make queries or keys of.

    >>> circuit = Circuit.wire("input -> a1.h1[subject]; a1.h1 -> logits")
    >>> print(unpinned(circuit, (vitro.circuits.node("a1.h1"), "subject")))
    input -> a1.h1
    a1.h1 -> logits
    """
    head, _ = pin
    if any((head, name) not in circuit.sources for name in INPUTS):
        return None
    return replace(circuit, pins=circuit.pins - {pin})


COMPONENTS = Removal(lambda circuit, n_heads: circuit.components(n_heads), less)
STEPS = Removal(lambda circuit, _: (*circuit.heads, *circuit.mlps), stepped_over)
PINS = Removal(lambda circuit, _: sorted(circuit.pins), unpinned)
EDGES = Removal(lambda circuit, _: sorted(circuit.edges), less)
REMOVALS = (COMPONENTS, STEPS, PINS, EDGES)
"""Components first, then the pins of heads, then edges."""


def size(circuit: Circuit, n_heads: int) -> tuple[int, int, int]:
    """How large a wiring is: its components, its pins, its edges. n_heads: of a layer of the model.

    >>> size(Circuit.wire("input -> a1.h1<v>[subject]; a1.h1 -> logits"), n_heads=4)
    (1, 1, 2)
    """
    return len(circuit.components(n_heads)), len(circuit.pins), len(circuit.edges)


def mended(circuit: Circuit, need: int, n_heads: int) -> Search:
    """The circuit without the components and pins that harm it: the last on a way down that answers `need` prompts.

    On this way they are taken from it one by one until nothing is left, each time the one without which it answers best
    (`Answered.order`), be it worse than before. Where no circuit on the way answers, it is the best of them.

    >>> trial = vitro.discovery.asked_circuits.AskedCircuits(case, {}, "excluded")
    >>> circuit = Circuit.wire("input -> a0.h2, a1.h1; a0.h2, a1.h1 -> logits")
    >>> print(*trial.together([mended(circuit, need=7, n_heads=4)]))
    input -> a1.h1
    a1.h1 -> logits
    """
    (answered,) = yield [circuit]
    best, best_order = circuit, answered.order
    while True:
        single = [
            left
            for removal in (COMPONENTS, PINS)
            for part in removal.parts(circuit, n_heads)
            if (left := removal.without(circuit, part)) is not None
        ]
        if not single:
            return best
        tried = yield single
        circuit, answered = max(zip(single, tried, strict=True), key=lambda pair: pair[1].order)
        if answered.right >= need or answered.order > best_order:
            best, best_order = circuit, answered.order


def smallest(circuit: Circuit, need: int, n_heads: int) -> Search:
    """A part of a circuit that still answers `need` prompts, of which no single component, pin or edge can go.

    No component can go either so that what read it reads what it read (`stepped_over`). In rounds every single removal
    is run: of components, then, where none can go, of pins, then of edges. Of those after which it still answers, the
    most harmless are made together, as many as can be: two, four, ..., or all. So each round makes `size` smaller.
    Out of time, it is what is left by then.

    >>> trial = vitro.discovery.asked_circuits.AskedCircuits(case, {}, "excluded")
    >>> circuit = Circuit.wire("input -> a0.h2, a1.h1[subject]; a0.h2, a1.h1 -> logits")
    >>> print(*trial.together([smallest(circuit, need=7, n_heads=4)]))
    input -> a1.h1
    a1.h1 -> logits
    """
    try:
        while (left := (yield from _round(circuit, need, n_heads))) != circuit:
            circuit = left
    except OutOfTimeError:
        pass
    return circuit


def _round(circuit: Circuit, need: int, n_heads: int) -> Search:
    for removal in REMOVALS:
        parts = removal.parts(circuit, n_heads)
        single = {part: left for part in parts if (left := removal.without(circuit, part)) is not None}
        answered = dict(zip(single, (yield list(single.values())), strict=True))
        harmless = [part for part in single if answered[part].right >= need]
        if not harmless:
            continue
        harmless.sort(key=lambda part: answered[part].order, reverse=True)
        several = _together(circuit, removal, harmless)
        answers = yield several
        return [left for left, its in zip(several, answers, strict=True) if its.right >= need][-1]
    return circuit


def _together(circuit: Circuit, removal: Removal, parts: Sequence[Any]) -> list[Circuit]:
    """The circuit without the first of some parts, without two of them, four, ..., and all that can be left out."""
    several: list[Circuit] = []
    for number, part in enumerate(parts, start=1):
        if (left := removal.without(circuit, part)) is None:
            break
        circuit = left
        if number.bit_count() == 1 or number == len(parts):
            several.append(circuit)
    return several
