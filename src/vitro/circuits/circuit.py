"""A circuit: components of a model, and which of them each reads."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Literal

from vitro.circuits.graph import Graph, Mask
from vitro.circuits.nodes import (
    CONSTANTS,
    INPUT,
    LOGITS,
    CircuitError,
    Constant,
    Edge,
    Input,
    Kind,
    Node,
    Pin,
    head,
    mlp,
    stream,
)
from vitro.circuits.nodes import node as parse_node
from vitro.circuits.text import parse, write
from vitro.circuits.wiring import check_in_vitro, check_within, in_order, top_stream
from vitro.models import Model


@dataclass(frozen=True)
class Circuit:
    """A graph of components, each reading the SUM of what its sources write.

    In vitro (`absent` None; docs/method.md, section 7) what is not an edge contributes nothing: no residual stream, no
    bias. It need not be a part of the model: an MLP may read a head of a later layer. `resid_post8` is the only node
    that stands for many: the model's own stream after layer 8, with everything below it wired as in the model, except
    the components in `constants`.

    Within the model (section 10.1) it is a set of the model's edges, and each edge that is not in it carries its
    source's ablated output: `absent` says by which ablation.

    edges: who reads what. pins: heads whose attention is fixed. constants: heads and MLPs that put out a fixed value.
    CircuitError for a wiring that cannot be run: in vitro a cycle, no logits, a component that is read and reads
    nothing; within the model whatever is no edge of a model.

    >>> circuit = vitro.Circuit.wire("input -> m0; input, m0 -> a1.h1[subject]; a1.h1 -> logits")
    >>> circuit.heads, len(circuit.edges)
    ((Node(layer=1, kind=<Kind.head: 1>, head=1),), 8)
    """

    edges: frozenset[Edge]
    pins: frozenset[tuple[Node, Pin]] = frozenset()
    constants: frozenset[tuple[Node, Constant]] = frozenset()
    absent: Constant | None = None

    def __post_init__(self) -> None:
        if isinstance(self.edges, str):
            raise CircuitError("edges are no text; what works: vitro.Circuit.wire(text)")
        if self.absent is None:
            check_in_vitro(self.edges, self.pins, self.constants)
        elif self.absent not in CONSTANTS:
            raise CircuitError(f"an absent edge cannot carry {self.absent!r}; there are {', '.join(CONSTANTS)}")
        else:
            check_within(self.edges, self.pins, self.constants)

    @classmethod
    def wire(cls, text: str) -> "Circuit":
        """A circuit from its text, one line per reader: `input, m0 -> a9.h1[subject], a10.h3<v>` (docs/circuits.md).

        CircuitError, with the line and the word, where the text is not a circuit.
        """
        return cls(*parse(text))

    @classmethod
    def of(cls, graph: Graph, mask: Mask, absent: Constant) -> "Circuit":
        """The circuit of some edges within the model; `graph.mask(circuit.edges)` is the mask again.

        absent: what all other edges carry. A set of nodes is `graph.among(nodes)`.

        >>> graph = Graph.of(model)
        >>> print(Circuit.of(graph, graph.among([INPUT, LOGITS]), "counterfactual"))
        absent: counterfactual
        input -> logits
        """
        return cls(frozenset(compress(graph.edges, mask)), absent=absent)

    @classmethod
    def within(
        cls,
        model: Model,
        keep: Iterable[str | tuple[int, int]] = (),
        others: Constant = "mean",
        *,
        heads_of: Collection[int] | None = None,
        mlps: Literal["live", "ablated"] = "live",
        until: int | None = None,
    ) -> "Circuit":
        """The model itself, with every head at a constant but those to keep.

        keep: "9.1", "a9.h1", (9, 1), and MLPs ("m9") where `mlps` is "ablated". others: what the other heads put out.
        heads_of: the layers whose heads are at constants (None: all). until: the logits read the stream after this
        layer, as the logit lens does (None: the last). If everything is kept, it equals the model.
        CircuitError for what the model does not have, and for names to keep that are neither heads nor MLPs.
        """
        shape = model.shape
        kept = {head(*name) if isinstance(name, tuple) else parse_node(name) for name in keep}
        if mlps not in ("live", "ablated"):
            raise CircuitError(f"mlps must be live or ablated, not {mlps!r}")
        layers = range(shape.n_layers) if heads_of is None else heads_of
        parts = {head(layer, number) for layer in layers for number in range(shape.n_heads)}
        if mlps == "ablated":
            parts |= {mlp(layer) for layer in range(shape.n_layers)}
        # Constants of layers that the model lacks would be left out without a word.
        for node in sorted(kept | parts):
            if not node.constant_kind:
                raise CircuitError(f"{node} cannot be kept; heads, as 9.1, and MLPs, as m9, can")
            check_node(model, node)
        last = shape.n_layers - 1 if until is None else until
        circuit = cls(
            edges=frozenset({Edge(stream(last), LOGITS)}),
            constants=frozenset((part, others) for part in parts - kept if part.layer <= last),
        )
        circuit.check(model)
        return circuit

    def __str__(self) -> str:
        """The text that `wire` reads."""
        return write(self.order, self.sources, self.pin_of, self.constant_of, self.absent)

    __repr__ = __str__

    @cached_property
    def sources(self) -> Mapping[tuple[Node, Input | None], tuple[Node, ...]]:
        """What every reader reads by each input, in the model's order."""
        sources: dict[tuple[Node, Input | None], list[Node]] = defaultdict(list)
        for edge in sorted(self.edges, key=lambda edge: edge.source):
            sources[edge.reader, edge.input].append(edge.source)
        return {key: tuple(nodes) for key, nodes in sources.items()}

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """The nodes, each after all that it reads."""
        if self.absent is None:
            return in_order(self.edges)
        # Within a model every edge leads on, and the model's own input and logits are always there.
        return tuple(sorted({INPUT, LOGITS, *(node for edge in self.edges for node in (edge.source, edge.reader))}))

    @property
    def heads(self) -> tuple[Node, ...]:
        """The live heads that are nodes of their own, in the model's order."""
        return tuple(node for node in sorted(self.order) if node.kind is Kind.head and node not in self.constant_of)

    def kept(self, n_heads: int) -> tuple[Node, ...]:
        """What it keeps of its streams, in the model's order; n_heads: of a layer of the model.

        The live heads of layers in which another head is at a constant, and the live MLPs where another MLP is. A layer
        whose heads are all live counts for nothing: none of them was chosen.
        """
        constants = {node for node in self.constant_of if node.layer <= self.until}
        layers = {node.layer for node in constants if node.kind is Kind.head}
        heads = (head(layer, number) for layer in layers for number in range(n_heads))
        mlps = (mlp(layer) for layer in range(self.until + 1) if any(node.kind is Kind.mlp for node in constants))
        return tuple(sorted({*heads, *mlps} - constants))

    @property
    def mlps(self) -> tuple[Node, ...]:
        """The live MLPs that are nodes of their own, in the model's order."""
        return tuple(node for node in sorted(self.order) if node.kind is Kind.mlp and node not in self.constant_of)

    def components(self, n_heads: int) -> tuple[Node, ...]:
        """The live heads and MLPs that it names, wired or kept of its streams; n_heads: of a layer of the model."""
        return tuple(sorted((*self.kept(n_heads), *self.heads, *self.mlps)))

    @property
    def constant_kinds(self) -> frozenset[Constant]:
        """The ablations whose values it needs: of components at a constant, and of absent edges."""
        return frozenset(value for _, value in self.constants) | ({self.absent} if self.absent else set())

    @cached_property
    def until(self) -> int:
        """The last layer of which it reads the model's own stream; -1 where it reads none."""
        return top_stream(self.order)

    @cached_property
    def pin_of(self) -> Mapping[Node, Pin]:
        """The pin of each pinned head."""
        return dict(self.pins)

    @cached_property
    def constant_of(self) -> Mapping[Node, Constant]:
        """The kind of constant that each component at a constant puts out."""
        return dict(self.constants)

    def without(self, *left_out: Node | Edge) -> "Circuit":
        """The circuit with some of its nodes or edges left out, and whatever then reads nothing or is not read.

        A component that it keeps of a stream (`kept`) goes to the constant that others of its kind there are at.
        Within the model only their edges are left out: what then has no way from the input or to the logits says
        nothing when it is run (docs/method.md, section 10.2).
        CircuitError where in vitro nothing reaches the logits any more or a head lacks an input, and for a component of
        a stream that has no such others.

        >>> circuit = Circuit.wire("input -> m0, a1.h1; m0 -> a1.h1<v>; a1.h1 -> logits")
        >>> print(circuit.without(Edge(parse_node("m0"), parse_node("a1.h1"), "v")))
        input -> a1.h1
        a1.h1 -> logits
        """
        gone = {part for part in left_out if isinstance(part, Node)}
        edges = set(self.edges.difference(left_out))
        if self.absent is not None:
            kept = frozenset(edge for edge in edges if edge.source not in gone and edge.reader not in gone)
            return Circuit(kept, absent=self.absent)
        within = [node for node in sorted(gone) if node.constant_kind and node.layer <= self.until]
        constants = {*self.constants, *((node, self._beside(node)) for node in within if node not in self.constant_of)}
        while True:
            edges = {edge for edge in edges if edge.source not in gone and edge.reader not in gone}
            reading = {(edge.reader, edge.input) for edge in edges} | {(edge.reader, None) for edge in edges}
            sources = {edge.source for edge in edges}
            idle = {
                node
                for node in sources
                if node.kind in (Kind.head, Kind.mlp) and node not in self.constant_of and (node, None) not in reading
            }
            idle |= {edge.reader for edge in edges if edge.reader != LOGITS and edge.reader not in sources}
            if not idle:
                break
            gone |= idle
        used = {edge.source for edge in edges} | {edge.reader for edge in edges}
        inside = top_stream(used)
        return Circuit(
            frozenset(edges),
            frozenset((node, pin) for node, pin in self.pins if node in used),
            frozenset((node, value) for node, value in constants if node in used or node.layer <= inside),
        )

    def _beside(self, node: Node) -> Constant:
        """The constant that others of its kind within the stream are at: heads of its layer, or MLPs."""
        for other, value in sorted(self.constants):
            if other.kind is node.kind and (other.layer == node.layer or node.kind is Kind.mlp):
                return value
        raise CircuitError(
            f"{node} is live within resid_post{self.until} as all of its kind are, so it cannot be left out"
        )

    def check(self, model: Model) -> None:
        """CircuitError where the model has no such component, or no such edge where the circuit is within it."""
        for node in {*self.order, *self.constant_of}:
            check_node(model, node)
        if self.absent is not None:
            graph = Graph.of(model)
            if lacking := [edge for edge in self.edges if not graph.allows(edge.source, edge.reader)]:
                edge = min(lacking)
                raise CircuitError(f"there is no {edge} in this model: {edge.reader} is computed beside {edge.source}")


def check_node(model: Model, node: Node) -> None:
    """CircuitError where the model has no such component."""
    shape = model.shape
    if node.kind in (Kind.input, Kind.logits):
        return
    if not 0 <= node.layer < shape.n_layers or (node.kind is Kind.head and not 0 <= node.head < shape.n_heads):
        raise CircuitError(
            f"there is no {node} in this model: its heads are a0.h0 to a{shape.n_layers - 1}.h{shape.n_heads - 1}, "
            f"its MLPs m0 to m{shape.n_layers - 1}"
        )
