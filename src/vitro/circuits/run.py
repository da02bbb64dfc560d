"""Circuits run on the prompt tree: only live nodes, each once for all the circuits of a batch that share it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from vitro.circuits.circuit import Circuit, check_node
from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.glass import Glass
from vitro.circuits.nodes import CircuitError, Constant, Kind, Node
from vitro.circuits.plan import Plan
from vitro.engine import (
    Finals,
    Part,
    Prepared,
    Progress,
    Prompts,
    Read,
    Results,
    Tree,
    Values,
    alone,
    clean_begins,
    first_conflict,
    in_batches,
    pattern,
    read_checked,
)
from vitro.models import Model


@torch.inference_mode()
def run_circuits(
    model: Model,
    prompts: Prompts,
    circuits: Sequence[Circuit],
    read: Read,
    *,
    marks: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[Constant, Constants] | None = None,
    value_bias: Literal["excluded", "included"] = "excluded",
    watch: Sequence[Node] = (),
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run every circuit on every prompt and keep what `read` says: name -> [circuit, prompt, ...], on the CPU.

    prompts: token ids. marks: a position of each prompt by name, for pins that name it. constants: what components at
    a constant put out, for each kind that the circuits use. value_bias: whether a head's output has what it adds at
    every position alike (`Model.folded_value_bias`); where it is excluded, as in TransformerLens' folded weights, `b9`
    has that of all heads of layer 9 as well as b_O. watch: heads, wired or within a stream, whose attention from the
    final streams `read` is also given; NaN in circuits where they are not live. memory: as for `sweep`.
    `read` gets the model's own logits beside the circuits', and its rows are circuits.
    Raises PromptError for prompts that the model cannot be run on, CircuitError for components that the model does not
    have, pins beyond a prompt and constants that are missing or do not fit, NotFiniteError where a run comes to NaN or
    infinity.

    >>> circuit = Circuit.within(model, ["0.2", "1.1"], others="zero")
    >>> constants = {"zero": Constants.of(vitro.engine.mean_activations(model, prompts))}
    >>> run_circuits(model, prompts, [circuit], lambda finals: {"kl": finals.kl}, constants=constants)["kl"].shape
    torch.Size([1, 7])
    """
    prepared, constants, marks = Prepared.of(model, prompts, memory), constants or {}, marks or {}
    _check(model, prepared.prompts, circuits, marks, constants)
    for head in watch:
        if not isinstance(head, Node) or head.kind is not Kind.head:
            raise CircuitError(f"watch is a list of heads, as [node('a9.h1')]; {str(head)!r} is none")
        check_node(model, head)
    budget, results = prepared.budget, Results(len(circuits), len(prepared), progress)
    for part in prepared.parts(lambda tree, part: _apart(tree, circuits, _at(marks, part), constants)):
        here, tree = part.clean.model, part.clean.there
        nodes = Nodes.of(part.clean.tree, part.prompts.start, model.device)
        positions = {name: positions.to(model.device) for name, positions in _at(marks, part.prompts).items()}

        n_nodes, n_finals = len(tree.tokens), len(tree.finals)
        # Circuits whose heads are all pinned are computed at a stream or two of each prompt, and only a few of them are
        # in the same layer at a time, so many more make a batch.
        narrow = max(1, n_finals // model.shape.n_layers)
        groups: dict[int, list[int]] = defaultdict(list)
        for number, circuit in enumerate(circuits):
            groups[n_nodes if _attends(circuit) else narrow].append(number)
        n_read = budget.read_out(n_finals)

        def work(
            batch: Sequence[int],
            part: Part = part,
            here: Model = here,
            tree: Tree = tree,
            nodes: Nodes = nodes,
            positions: Mapping[str, Tensor] = positions,
            n_read: int = n_read,
        ) -> Values:
            wired = [circuits[number] for number in batch]
            plan = Plan.of(wired, here.shape.n_heads, parallel=here.parallel, watch=watch)
            glass = Glass(here, tree, nodes, plan, constants, value_bias, positions)
            resid = glass.run()
            attention = {pattern(head.layer, head.head): glass.attention_of(head) for head in watch}
            parts = []
            for start in range(0, len(batch), n_read):
                rows = slice(start, start + n_read)
                watched = {site: weights[rows] for site, weights in attention.items()}
                finals = Finals.everywhere(resid[rows], part.unedited, part.prompts, watched)
                parts.append(read_checked(read, finals))
            return {name: torch.cat([values[name] for values in parts]) for name in parts[0]}

        for n_held, members in groups.items():
            for batch, values in in_batches(members, budget.rows(n_held, n_nodes, prompts=0), work):
                results.put(values, batch, part.prompts)

    def begins(number: int, prompt: int) -> str | None:
        clean = alone(model, prepared.prompts[prompt])
        if (where := clean_begins(clean)) is not None:
            return f"{where} of the model itself"
        here, nodes = clean.model, Nodes.of(clean.tree, prompt, model.device)
        plan = Plan.of([circuits[number]], here.shape.n_heads, parallel=here.parallel, watch=())
        positions = {
            name: positions.to(model.device) for name, positions in _at(marks, slice(prompt, prompt + 1)).items()
        }
        return Glass(here, clean.there, nodes, plan, constants, value_bias, positions).begins()

    return results.finished(model, begins, lambda number: f"circuit {number}")


def _at(marks: Mapping[str, Sequence[int]], part: slice) -> dict[str, Int[Tensor, " prompt"]]:
    """The positions of the marks in some of the prompts."""
    return {name: torch.tensor(positions[part]) for name, positions in marks.items()}


def _apart(
    tree: Tree,
    circuits: Sequence[Circuit],
    marks: Mapping[str, Int[Tensor, " prompt"]],
    constants: Mapping[Constant, Constants],
) -> int | None:
    """The position from which prompts are kept apart that share a beginning but not what the circuits do there.

    This is where a constant differs from prompt to prompt; and where a prompt ends, so that a head is pinned there,
    while another prompt goes on, or has the mark that the head is pinned to at another position.
    """
    used = {kind for circuit in circuits for _, kind in circuit.constants}
    positions = [constants[kind].apart() for kind in used]
    ends = torch.arange(tree.paths.shape[1]) == (tree.paths >= 0).sum(1, keepdim=True) - 1
    for pin in {pin for circuit in circuits for _, pin in circuit.pins}:
        at = marks[pin][:, None] if isinstance(pin, str) else 0
        positions.append(first_conflict(tree, torch.where(ends, at, -1)))
    return min((position for position in positions if position is not None), default=None)


def _attends(circuit: Circuit) -> bool:
    """Whether a head of it makes its own attention, for which every node is computed."""
    live = (node for node in circuit.order if node not in circuit.constant_of)
    return any(node.kind is Kind.stream or (node.kind is Kind.head and node not in circuit.pin_of) for node in live)


def _check(
    model: Model,
    prompts: Sequence[Sequence[int]],
    circuits: Sequence[Circuit],
    marks: Mapping[str, Sequence[int]],
    constants: Mapping[Constant, Constants],
) -> None:
    for circuit in circuits:
        circuit.check(model)
    if missing := {kind for circuit in circuits for _, kind in circuit.constants} - set(constants):
        raise CircuitError(f"a circuit needs constants that are not given: {', '.join(sorted(missing))}")
    for kind in sorted({kind for circuit in circuits for _, kind in circuit.constants}):
        constants[kind].check(prompts)
    lengths = list(map(len, prompts))
    for name, positions in marks.items():
        if len(positions) != len(prompts) or not all(
            0 <= position < length for position, length in zip(positions, lengths, strict=True)
        ):
            raise CircuitError(f"the mark {name!r} must be a position of each of the {len(prompts)} prompts")
    for pin in {pin for circuit in circuits for _, pin in circuit.pins}:
        if isinstance(pin, str) and pin not in marks:
            raise CircuitError(f"a head is pinned to {pin!r}, which no mark is called; there are {_listed(marks)}")
        if isinstance(pin, int) and not 0 <= pin < min(lengths):
            raise CircuitError(
                f"a head is pinned to stream {pin}, and all prompts have streams 0 to {min(lengths) - 1}"
            )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
