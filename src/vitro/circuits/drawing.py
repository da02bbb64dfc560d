"""What a drawing of a circuit shows: its boxes and its arrows, as tables."""

from collections import defaultdict

import polars as pl

from vitro.circuits.circuit import Circuit
from vitro.circuits.nodes import CONSTANTS, INPUTS, CircuitError, Constant, Input, Kind, Node, head, mlp

MOST_BOXES = 60
"""Up to this many boxes are drawn: of more, nothing can be read any more."""
NAMED = 8
"""Up to this many live components within a stream are named; of more, the number is given."""

BOXES = {"name": pl.String, "kind": pl.String, "note": pl.String, "fixed": pl.String, "constant": pl.Boolean}
ARROWS = {"source": pl.String, "reader": pl.String, "input": pl.String}


def boxes_and_arrows(circuit: Circuit, n_heads: int | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables that `vitro.figures.circuit_drawing` draws.

    Boxes, a row per node in the model's order: name, kind, note (what it is or looks at), fixed (what is at a
    constant in it), constant (whether it is at a constant itself). Arrows, a row per source, reader and `input`: ""
    where a component reads by one sum, else those of q, k and v that share a sum, as "q, k".
    n_heads: of a layer of the model; if it is given, the note of a stream says what is live within it.
    CircuitError for a circuit of more than MOST_BOXES components.

    >>> boxes_and_arrows(Circuit.wire("input -> m0; m0 -> logits"))[1].rows()
    [('input', 'm0', ''), ('m0', 'logits', '')]
    """
    nodes = sorted(circuit.order)
    if len(nodes) > MOST_BOXES:
        raise CircuitError(
            f"the circuit has {len(nodes)} components, and in a drawing of more than {MOST_BOXES} nothing can be read; "
            "what works: a smaller circuit, or its text"
        )
    boxes = [
        (str(node), node.kind.name, *_words(circuit, node, n_heads), node in circuit.constant_of) for node in nodes
    ]
    arrows = [
        (str(source), str(reader), name)
        for reader in nodes
        for name, sources in _sums(circuit, reader).items()
        for source in sources
    ]
    return pl.DataFrame(boxes, schema=BOXES, orient="row"), pl.DataFrame(arrows, schema=ARROWS, orient="row")


def carried(circuit: Circuit) -> str:
    """What the edges that are not drawn carry, in a few words; empty in vitro, where they carry nothing.

    >>> carried(Circuit.wire("absent: mean; input -> logits"))
    "Within the model: what is not drawn carries its source's ablated output (mean)."
    """
    if circuit.absent is None:
        return ""
    return f"Within the model: what is not drawn carries its source's ablated output ({circuit.absent})."


def _sums(circuit: Circuit, reader: Node) -> dict[str, tuple[Node, ...]]:
    """What a component reads, by the inputs that share a sum."""
    names: tuple[Input | None, ...] = INPUTS if reader.kind is Kind.head else (None,)
    by_sum: dict[tuple[Node, ...], list[str]] = defaultdict(list)
    for name in names:
        if sources := circuit.sources.get((reader, name), ()):
            by_sum[sources].append(name or "")
    return {"" if len(inputs) == len(names) else ", ".join(inputs): sources for sources, inputs in by_sum.items()}


_AT: dict[Constant, str] = {
    "zero": "at zero",
    "random": "at random",
    "mean": "at mean",
    "resample": "resampled",
    "counterfactual": "at its counterfactual",
}


def _words(circuit: Circuit, node: Node, n_heads: int | None) -> tuple[str, str]:
    """The note of a box, and what is fixed."""
    fixed = _AT[circuit.constant_of[node]] if node in circuit.constant_of else ""
    match node.kind:
        case Kind.input:
            return "embedding", ""
        case Kind.head if node in circuit.pin_of:
            pin = circuit.pin_of[node]
            return f"looks at {f'stream {pin}' if isinstance(pin, int) else pin}", ""
        case Kind.head:
            return "head", fixed
        case Kind.mlp:
            return "MLP", fixed
        case Kind.bias:
            return "attention bias", ""
        case Kind.stream:
            return _stream_words(circuit, node.layer, n_heads)
        case _:
            return "unembedding", ""


def _stream_words(circuit: Circuit, last: int, n_heads: int | None) -> tuple[str, str]:
    """What a stream stands for: how much of the model, what of it is live, and what is fixed."""
    within = {node: value for node, value in circuit.constants if node.layer <= last}
    heads = [head(layer, number) for layer in range(last + 1) for number in range(n_heads or 0)]
    parts = [("heads", heads), ("MLPs", [mlp(layer) for layer in range(last + 1)])]
    live = [_named([node for node in members if node not in within], len(members), word) for word, members in parts]
    note = [f"the model up to layer {last}"]
    if n_heads is not None and within and any(live):
        note.append("live: " + ", ".join(filter(None, live)))
    fixed = []
    for value in CONSTANTS:
        for kind, (word, members) in zip((Kind.head, Kind.mlp), parts, strict=True):
            count = sum(node.kind is kind and constant == value for node, constant in within.items())
            if count:
                every = "all " if count == len(members) else ""
                fixed.append(f"{every}{count} {word if count > 1 else word[:-1]} {_AT[value]}")
    return "\n".join(note), "\n".join(fixed)


def _named(live: list[Node], of: int, word: str) -> str:
    """Some live components in a few words; an empty text for none."""
    if len(live) == of:
        return f"all {word}"
    return ", ".join(map(str, live)) if len(live) <= NAMED else f"{len(live)} of {of} {word}"
