"""Circuits as text: a line for each set of readers, and a line for each kind of constant.

A first line `absent: counterfactual` says that the circuit is within the model, and what absent edges carry.

mean: a0.h0-11, m3
input, m0 -> a9.h1[subject], a10.h3<v>
a9.h1 -> logits
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from vitro.circuits.nodes import CONSTANTS, INPUTS, CircuitError, Constant, Edge, Input, Kind, Node, Pin
from vitro.circuits.nodes import node as parse_node

MOST = 200_000
"""Edges, and constants, of a circuit that is text: more than SmolLM2-135M has edges, and read in seconds."""
_READER = re.compile(r"(?P<name>[^\s\[\]<>]+)(<(?P<input>[^\s\[\]<>]*)>)?(\[(?P<pin>[^\s\[\]<>]*)\])?")
_MARK = re.compile(r"(?!all$)[A-Za-z_][\w+.-]*")
"""A mark's name, as tasks give them: subject, IO, S1+1."""
_RANGE = re.compile(r"a?(?P<layer>[0-9]{1,4})\.h?(?P<first>[0-9]{1,4})-(?P<last>[0-9]{1,4})")

Parsed = tuple[frozenset[Edge], frozenset[tuple[Node, Pin]], frozenset[tuple[Node, Constant]], Constant | None]


def parse(text: str) -> Parsed:
    """Edges, pins, constants, and what absent edges carry (None: in vitro).

    Lines may end in `;` or a line break, `#` begins a remark, and what ends in a comma goes on in the next line.
    CircuitError, with the line and the word, where it cannot be read.
    """
    edges: set[Edge] = set()
    pins: dict[Node, Pin] = {}
    constants: dict[Node, Constant] = {}
    absent: Constant | None = None
    for number, line in _lines(text):
        kind, colon, parts = line.partition(":")
        if kind.strip() == "absent" and colon:
            if absent is not None:
                raise CircuitError(f"circuit, line {number}: what absent edges carry is said already: {absent}")
            absent = _constant(number, parts.strip())
        elif colon:
            _constant_line(number, kind.strip(), parts, constants)
        else:
            _reader_line(number, line, edges, pins)
    if not edges and absent is None:
        raise CircuitError("the circuit is empty; what works: input -> m0; input, m0 -> a9.h1; a9.h1 -> logits")
    return frozenset(edges), frozenset(pins.items()), frozenset(constants.items()), absent


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something; one that ends in a comma goes on in the next, and its number is that of its end."""
    begun: list[str] = []
    for number, line in enumerate(re.split(r"[;\n]", text), start=1):
        line = line.partition("#")[0].strip()
        begun += [line] if line else []
        if line and not line.endswith(","):
            yield number, " ".join(begun)
            begun = []
    if begun:
        yield number, " ".join(begun)


def write(
    order: Sequence[Node],
    sources: Mapping[tuple[Node, Input | None], tuple[Node, ...]],
    pins: Mapping[Node, Pin],
    constants: Mapping[Node, Constant],
    absent: Constant | None,
) -> str:
    """The text of a circuit, from its nodes in order and what each input reads; `parse` reads it back."""
    lines = [] if absent is None else [f"absent: {absent}"]
    for kind in CONSTANTS:
        if members := sorted(node for node, value in constants.items() if value == kind):
            lines.append(f"{kind}: {', '.join(_with_ranges(members))}")
    readers: dict[tuple[Node, ...], list[str]] = defaultdict(list)
    for reader in order:
        reads = {name: sources.get((reader, name), ()) for name in (*INPUTS, None)}
        pin = f"[{pins[reader]}]" if reader in pins else ""
        if reads["q"] == reads["k"] == reads["v"] != ():
            readers[reads["v"]].append(f"{reader}{pin}")
            continue
        for name, nodes in reads.items():
            if nodes:
                readers[nodes].append(f"{reader}{f'<{name}>' if name else ''}{pin}")
                pin = ""
    for nodes, inputs in readers.items():
        by_kind = sorted(nodes, key=lambda node: (node.kind, node.layer, node.head))
        lines.append(f"{', '.join(map(str, by_kind))} -> {', '.join(inputs)}")
    return "\n".join(lines)


def _reader_line(number: int, line: str, edges: set[Edge], pins: dict[Node, Pin]) -> None:
    left, arrow, right = line.partition("->")
    if not arrow or "->" in right:
        raise CircuitError(f"circuit, line {number}: {line!r} should be sources -> readers, with one arrow")
    sources = [_node(number, word) for word in _words(number, line, left)]
    for word in _words(number, line, right):
        _check_size(number, edges)
        reading = _READER.fullmatch(word)
        if reading is None:
            raise CircuitError(f"circuit, line {number}: {word!r} should be like a9.h1, a9.h1<v> or a9.h1[subject]")
        reader = _node(number, reading["name"])
        inputs = _inputs(number, word, reader, reading["input"])
        for source in sources:
            for name in inputs:
                edge = Edge(source, reader, name)
                if edge in edges:
                    raise CircuitError(f"circuit, line {number}: {word!r} reads {source} twice")
                edges.add(edge)
        if reading["pin"] is not None:
            pin = _pin(number, word, reading["pin"])
            if reader.kind is not Kind.head:
                raise CircuitError(f"circuit, line {number}: {word!r}: only heads attend, so only heads can be pinned")
            if pins.setdefault(reader, pin) != pin:
                raise CircuitError(f"circuit, line {number}: {word!r} is pinned to {pins[reader]} already")


def _constant_line(number: int, kind: str, parts: str, constants: dict[Node, Constant]) -> None:
    constant = _constant(number, kind)
    for word in _words(number, f"{kind}:{parts}", parts):
        _check_size(number, constants)
        span = _RANGE.fullmatch(word)
        if span and int(span["first"]) > int(span["last"]):
            raise CircuitError(
                f"circuit, line {number}: {word!r} runs backwards; the first head comes first, as a0.h0-11"
            )
        nodes = (
            [parse_node(f"a{span['layer']}.h{at}") for at in range(int(span["first"]), int(span["last"]) + 1)]
            if span
            else [_node(number, word)]
        )
        for node in nodes:
            if not node.constant_kind:
                raise CircuitError(f"circuit, line {number}: {word!r}: only heads and MLPs can be at a constant")
            if constants.setdefault(node, constant) != constant:
                raise CircuitError(f"circuit, line {number}: {word!r} is at {constants[node]} already")


def _check_size(number: int, parts: Collection[Edge] | Collection[Node]) -> None:
    if len(parts) > MOST:
        raise CircuitError(
            f"circuit, line {number}: it has more than {MOST:,} edges, or constants; what works: a file of EAP-IG, "
            "which lists a model's whole graph"
        )


def _constant(number: int, word: str) -> Constant:
    constant = next((name for name in CONSTANTS if name == word), None)
    if constant is None:
        raise CircuitError(f"circuit, line {number}: {word!r} is no kind of constant; there are {', '.join(CONSTANTS)}")
    return constant


def _words(number: int, line: str, part: str) -> list[str]:
    words = [word.strip() for word in part.split(",")]
    if not all(words):
        raise CircuitError(f"circuit, line {number}: in {line!r} a name is missing")
    return words


def _node(number: int, word: str) -> Node:
    try:
        return parse_node(word)
    except CircuitError as error:
        raise CircuitError(f"circuit, line {number}: {error}") from None


def _inputs(number: int, word: str, reader: Node, letter: str | None) -> tuple[Input | None, ...]:
    if letter is None:
        return INPUTS if reader.kind is Kind.head else (None,)
    chosen = next((name for name in INPUTS if name == letter), None)
    if reader.kind is not Kind.head or chosen is None:
        raise CircuitError(f"circuit, line {number}: {word!r}: heads, and only heads, are read by <q>, <k> or <v>")
    return (chosen,)


def _pin(number: int, word: str, text: str) -> Pin:
    if re.fullmatch(r"[0-9]{1,5}", text):
        return int(text)
    if _MARK.fullmatch(text):
        return text
    raise CircuitError(f"circuit, line {number}: {word!r}: a pin is a position, as [4], or a mark, as [subject]")


def _with_ranges(nodes: Iterable[Node]) -> list[str]:
    """Names, with consecutive heads of a layer drawn together: a0.h0-11."""
    runs: list[tuple[Node, Node]] = []
    for node in nodes:
        if runs and node.kind is Kind.head and runs[-1][1] == Node(node.layer, Kind.head, node.head - 1):
            runs[-1] = (runs[-1][0], node)
        else:
            runs.append((node, node))
    return [str(first) if first == last else f"{first}-{last.head}" for first, last in runs]
