"""Which edges, pins and constants a circuit can be made of: CircuitError, in one line, for what cannot be run."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

from vitro.circuits.nodes import (
    CONSTANTS,
    INPUTS,
    LOGITS,
    CircuitError,
    Constant,
    Edge,
    Kind,
    Node,
    Pin,
)

Pins = Collection[tuple[Node, Pin]]
Constants = Collection[tuple[Node, Constant]]


def in_order(edges: Collection[Edge]) -> tuple[Node, ...]:
    """The nodes of a circuit in vitro, each after all that it reads. CircuitError for a cycle.

    >>> from vitro.circuits import Circuit
    >>> [str(node) for node in in_order(Circuit.wire("input -> m1; m1 -> m0; m0 -> logits").edges)]
    ['input', 'm1', 'm0', 'logits']
    """
    sources: dict[Node, set[Node]] = defaultdict(set)
    for edge in edges:
        sources[edge.reader].add(edge.source)
    try:
        return tuple(TopologicalSorter({node: sorted(sources[node]) for node in sorted(sources)}).static_order())
    except CycleError as error:
        loop = " -> ".join(map(str, reversed(error.args[1])))
        raise CircuitError(f"the circuit has a cycle: {loop}; a component cannot read what depends on it") from None


def top_stream(nodes: Collection[Node]) -> int:
    """The last layer of which the model's own stream is among the nodes; -1 where none is.

    >>> from vitro.circuits import stream
    >>> top_stream([stream(3), stream(1)])
    3
    """
    return max((node.layer for node in nodes if node.kind is Kind.stream), default=-1)


def check_within(edges: Collection[Edge], pins: Pins, constants: Constants) -> None:
    """CircuitError where these are no set of edges of a model (docs/method.md, section 10.1).

    >>> from vitro.circuits import INPUT
    >>> check_within([Edge(INPUT, LOGITS)], [], [])
    """
    works = "what works: edges alone, or no line absent, for a circuit in vitro"
    if pins or constants:
        node, value = min([*pins, *constants], key=str)
        raise CircuitError(
            f"{node} is {'pinned' if pins else 'at a constant'} ({value}), and a circuit within the model is a set of "
            f"the model's edges; {works}"
        )
    nodes = {node for edge in edges for node in (edge.source, edge.reader)}
    if beside := sorted(node for node in nodes if node.kind in (Kind.bias, Kind.stream)):
        raise CircuitError(
            f"{beside[0]} is no node of the model's graph, which has input, heads, MLPs, logits; {works}"
        )
    for edge in edges:
        source, reader = edge.source, edge.reader
        if (edge.input is None) == (reader.kind is Kind.head):
            raise CircuitError(f"{edge}: heads, and only heads, read by q, k and v")
        beside_it = source.layer == reader.layer and (source.kind, reader.kind) == (Kind.head, Kind.mlp)
        if source.layer >= reader.layer and not beside_it:
            raise CircuitError(f"{edge}: in the model {reader} does not come after {source}, so there is no such edge")


def check_in_vitro(edges: Collection[Edge], pins: Pins, constants: Constants) -> None:
    """CircuitError where a circuit in vitro cannot be run (docs/method.md, section 7).

    >>> from vitro.circuits import INPUT
    >>> check_in_vitro([Edge(INPUT, LOGITS)], [], [])
    """
    pin_of, constant_of = dict(pins), dict(constants)
    _check_ends(edges, constant_of)
    if len(pin_of) < len(pins) or len(constant_of) < len(constants):
        raise CircuitError("a component has two pins, or two constants")
    nodes = in_order(edges)
    _check_pins(edges, pin_of)
    for node, value in constants:
        if not node.constant_kind or value not in CONSTANTS:
            raise CircuitError(f"{value}: {node}: heads and MLPs can be at {', '.join(CONSTANTS)}")
    top = top_stream(nodes)
    for node in nodes:
        if node.layer <= top and node.constant_kind and node not in constant_of:
            raise CircuitError(f"{node} is within resid_post{top} already; it cannot be wired a second time")


def _check_ends(edges: Collection[Edge], constants: Mapping[Node, Constant]) -> None:
    readers = {edge.reader for edge in edges}
    if LOGITS not in readers:
        raise CircuitError("the circuit has no logits; its last line should be like: a9.h1, m9 -> logits")
    # Of a hundred thousand edges the first that is wrong is found sooner than their order.
    if wrong := [edge for edge in edges if _wrong_end(edge, readers, constants)]:
        edge = min(wrong)
        raise CircuitError(f"{edge}: {_wrong_end(edge, readers, constants)}")


def _wrong_end(edge: Edge, readers: Collection[Node], constants: Collection[Node]) -> str:
    """Why no circuit in vitro has this edge; empty where one may. readers: all that read something."""
    source, reader = edge.source, edge.reader
    if reader.kind not in (Kind.head, Kind.mlp, Kind.logits):
        return f"{reader} reads nothing; heads, MLPs and logits do"
    if source == LOGITS:
        return "logits are the end, nothing reads them"
    if (edge.input is None) == (reader.kind is Kind.head):
        return "heads, and only heads, read by q, k and v"
    if reader in constants:
        return f"{reader} is at a constant, so it reads nothing"
    if source.constant_kind and source not in readers and source not in constants:
        return f"{source} is read, but reads nothing itself; give it a line of its own"
    return ""


def _check_pins(edges: Collection[Edge], pins: Mapping[Node, Pin]) -> None:
    inputs = {(edge.reader, edge.input) for edge in edges}
    for node, pin in sorted(pins.items(), key=str):
        if node.kind is not Kind.head:
            raise CircuitError(f"{node}[{pin}]: only heads attend, so only heads can be pinned")
        if not any((node, name) in inputs for name in INPUTS):
            raise CircuitError(f"{node}[{pin}]: a pinned head must be a node of the circuit and read something")
    for node in {edge.reader for edge in edges if edge.reader.kind is Kind.head}:
        if missing := [name for name in INPUTS if (node, name) not in inputs]:
            if node in pins and "v" not in missing:
                continue
            raise CircuitError(f"{node} reads nothing by {', '.join(missing)}; a pinned head needs v, others all three")
