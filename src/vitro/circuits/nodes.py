"""What circuits are made of: components by their names in EAP-IG and MIB (`input`, `a9.h1`, `m9`, `logits`), edges."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, get_args

from vitro.errors import VitroError


class CircuitError(VitroError):
    """A circuit that cannot be: its text, its wiring, or a component that the model does not have."""


class Kind(IntEnum):
    """What a node is. Within a layer in the order in which a model computes them."""

    input = 0
    head = 1
    bias = 2
    mlp = 3
    stream = 4
    logits = 5


@dataclass(frozen=True, order=True)
class Node:
    """One component. Nodes sort in the model's own order."""

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
    r"(?P<input>input)|(?P<logits>logits)|a?(?P<at>\d{1,4})\.h?(?P<head>\d{1,4})|b(?P<bias>\d{1,4})|m(?P<mlp>\d{1,4})"
    r"|resid_post(?P<stream>\d{1,4})"
)
NAMES = "input, a9.h1 (a head), m9 (an MLP), b9 (the bias of layer 9's heads), resid_post9 (the stream), logits"


def node(name: str) -> Node:
    """The node of a name; `9.1` stands for `a9.h1`. CircuitError for anything else."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise CircuitError(f"{name!r} is not a component; what works: {NAMES}")
    if found["at"]:
        return Node(int(found["at"]), Kind.head, int(found["head"]))
    for kind in (Kind.bias, Kind.mlp, Kind.stream):
        if found[kind.name]:
            return Node(int(found[kind.name]), kind)
    return INPUT if found["input"] else LOGITS


def head(layer: int, number: int) -> Node:
    """The node of a head."""
    return Node(layer, Kind.head, number)


def mlp(layer: int) -> Node:
    """The node of an MLP."""
    return Node(layer, Kind.mlp)


def stream(layer: int) -> Node:
    """The node of the stream after a layer."""
    return Node(layer, Kind.stream)


Input = Literal["q", "k", "v"]
INPUTS: tuple[Input, ...] = get_args(Input)
"""What a head reads: its queries, keys and values may be made from different sums."""

Constant = Literal["zero", "random", "mean", "resample", "counterfactual"]
CONSTANTS: tuple[Constant, ...] = get_args(Constant)
"""What a component that is not live puts out (docs/method.md, section 4)."""

Pin = int | str
"""The stream that a head's final row attends to with weight 1: a position, or a mark of the task, such as subject."""


@dataclass(frozen=True, order=True)
class Edge:
    """`reader` reads what `source` writes; `input` says by which of a head's three inputs, None where there is one."""

    source: Node
    reader: Node
    input: Input | None = None

    def __str__(self) -> str:
        """`m0->a9.h1<v>`, as in EAP-IG."""
        return f"{self.source}->{self.reader}" + (f"<{self.input}>" if self.input else "")


def sources_before(n_heads: int, layer: int) -> list[Node]:
    """What writes to the stream that enters a layer, in EAP-IG's order."""
    heads_and_mlps = [
        one for below in range(layer) for one in (*(head(below, number) for number in range(n_heads)), mlp(below))
    ]
    return [INPUT, *heads_and_mlps]


def edges_into(n_layers: int, n_heads: int, layer: int, *, parallel: bool) -> list[Edge]:
    """All edges of a model into one layer's heads and MLP, in EAP-IG's order; layer `n_layers`: into the logits.

    Everybody reads all that was written before. parallel: whether a block's MLP reads beside its heads or after them;
    beside them, its edges stand with theirs, source by source. At GPT-2 small's size there are 32,491 in all.
    """
    before = sources_before(n_heads, layer)
    if layer == n_layers:
        return [Edge(source, LOGITS) for source in before]
    heads = [head(layer, number) for number in range(n_heads)]
    into_heads = [Edge(source, reader, name) for source in before for reader in heads for name in INPUTS]
    into_mlp = [Edge(source, mlp(layer)) for source in (before if parallel else [*before, *heads])]
    # Sorting keeps the readers of one source as they are.
    return sorted(into_heads + into_mlp, key=lambda edge: edge.source) if parallel else into_heads + into_mlp
