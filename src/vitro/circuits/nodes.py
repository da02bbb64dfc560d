"""The parts of circuits: edges, and components by their EAP-IG and MIB names (`input`, `a9.h1`, `m9`, `logits`)."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

from vitro.errors import VitroError


class CircuitError(VitroError):
    """A circuit that cannot be: its text, its wiring, or a component that the model does not have."""


class Kind(IntEnum):
    """The kinds of node, in the order in which a model computes them within a layer."""

    input = 0
    head = 1
    bias = 2
    mlp = 3
    stream = 4
    logits = 5


@dataclass(frozen=True, order=True)
class Node:
    """A component of a model. Nodes sort in the model's own order.

    >>> str(Node(9, Kind.head, 1)), str(Node(0, Kind.mlp))
    ('a9.h1', 'm0')
    """

    layer: int
    kind: Kind
    head: int = -1

    def __str__(self) -> str:
        """The name: `a9.h1` a head, `b9` the bias of a layer's heads, `m9` an MLP, `resid_post9` a stream."""
        match self.kind:
            case Kind.head:
                return f"a{self.layer}.h{self.head}"
            case Kind.bias:
                return f"b{self.layer}"
            case Kind.mlp:
                return f"m{self.layer}"
            case Kind.stream:
                return f"resid_post{self.layer}"
            case _:
                return self.kind.name

    @property
    def constant_kind(self) -> bool:
        """Whether it may be put at a constant: heads and MLPs may."""
        return self.kind in (Kind.head, Kind.mlp)


INPUT = Node(-1, Kind.input)
"""Token and position embedding."""
LOGITS = Node(10**6, Kind.logits)
"""The final norm and the unembedding."""

_NAME = re.compile(
    r"(?P<input>input)|(?P<logits>logits)|a?(?P<at>[0-9]{1,4})\.h?(?P<head>[0-9]{1,4})|b(?P<bias>[0-9]{1,4})|m(?P<mlp>[0-9]{1,4})"
    r"|resid_post(?P<stream>[0-9]{1,4})"
)
NAMES = "input, a9.h1 (a head), m9 (an MLP), b9 (the bias of layer 9's heads), resid_post9 (the stream), logits"


def node(name: str) -> Node:
    """The node of a name; `9.1` stands for `a9.h1`. CircuitError for anything else.

    >>> node("9.1") == node("a9.h1") == Node(9, Kind.head, 1)
    True
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise CircuitError(f"{name!r} is not a component; what works: {NAMES}")
    if match["at"]:
        return Node(int(match["at"]), Kind.head, int(match["head"]))
    for kind in (Kind.bias, Kind.mlp, Kind.stream):
        if match[kind.name]:
            return Node(int(match[kind.name]), kind)
    return INPUT if match["input"] else LOGITS


def head(layer: int, number: int) -> Node:
    """The node of a head."""
    return Node(layer, Kind.head, number)


def mlp(layer: int) -> Node:
    """The node of an MLP."""
    return Node(layer, Kind.mlp)


def stream(layer: int) -> Node:
    """The node of the stream after a layer.

    >>> str(stream(8))
    'resid_post8'
    """
    return Node(layer, Kind.stream)


Input = Literal["q", "k", "v"]
INPUTS: tuple[Input, ...] = get_args(Input)
"""A head's inputs: its queries, keys and values may be made from different sums."""

Constant = Literal["zero", "random", "mean", "resample", "counterfactual"]
CONSTANTS: tuple[Constant, ...] = get_args(Constant)
"""What a component that is not live puts out (docs/method.md, section 4)."""

Pin = int | str
"""The stream that a head's final row attends to with weight 1: a position, or a mark of the task, such as subject."""


@dataclass(frozen=True, order=True)
class Edge:
    """`reader` reads what `source` writes; `input`: by which of a head's three inputs; None for other readers.

    >>> str(Edge(node("m0"), node("a9.h1"), "v"))
    'm0->a9.h1<v>'
    """

    source: Node
    reader: Node
    input: Input | None = None

    def __str__(self) -> str:
        """`m0->a9.h1<v>`, as in EAP-IG."""
        return f"{self.source}->{self.reader}" + (f"<{self.input}>" if self.input else "")
