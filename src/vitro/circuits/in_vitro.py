"""Circuits in vitro run on the prompt tree: only live nodes, each once for all circuits of a batch that share it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from vitro.circuits.circuit import Circuit
from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.glass import Glass
from vitro.circuits.nodes import Constant, Kind, Node
from vitro.circuits.plan import Plan
from vitro.engine import (
    Finals,
    Part,
    Prepared,
    Progress,
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


def run_in_vitro(
    model: Model,
    prepared: Prepared,
    circuits: Mapping[int, Circuit],
    read: Read,
    marks: Mapping[str, Sequence[int]],
    constants: Mapping[Constant, Constants],
    value_bias: Literal["excluded", "included"],
    watch: Sequence[Node],
    progress: Progress | None,
) -> dict[str, Tensor]:
    """Those circuits of `run_circuits` that are in vitro, by their numbers; what it says is checked already.

    >>> prepared, circuit = Prepared.of(model, prompts), Circuit.wire("input -> logits")
    >>> read = lambda finals: {"kl": finals.kl}
    >>> run_in_vitro(model, prepared, {0: circuit}, read, {}, {}, "excluded", [], None)["kl"].shape
    torch.Size([1, 7])
    """
    numbers, wirings = list(circuits), list(circuits.values())
    budget, results = prepared.budget, Results(len(wirings), len(prepared), progress)
    for part in prepared.parts(lambda tree, part: _apart(tree, wirings, _at(marks, part), constants)):
        here, tree = part.clean.model, part.clean.there
        nodes = Nodes.of(part.clean.tree, part.prompts.start, model.device)
        positions = {name: positions.to(model.device) for name, positions in _at(marks, part.prompts).items()}

        n_nodes, n_finals = len(tree.tokens), len(tree.finals)
        # Circuits whose heads are all pinned are computed at a stream or two of each prompt, and only a few of them are
        # in the same layer at a time, so many more make a batch.
        narrow = max(1, n_finals // model.shape.n_layers)
        groups: dict[int, list[int]] = defaultdict(list)
        for number, circuit in enumerate(wirings):
            groups[n_nodes if _attends(circuit) else narrow].append(number)
        n_read = budget.read_out(n_finals)

        def work(
            batch: Sequence[int],
            part: Part = part,
            here: Model = here,
            nodes: Nodes = nodes,
            positions: Mapping[str, Tensor] = positions,
            n_read: int = n_read,
        ) -> Values:
            wired = [wirings[number] for number in batch]
            plan = Plan.of(wired, here.shape.n_heads, parallel=here.parallel, watch=watch)
            glass = Glass(part.clean, nodes, plan, constants, value_bias, positions)
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
        plan = Plan.of([wirings[number]], here.shape.n_heads, parallel=here.parallel, watch=())
        positions = {
            name: positions.to(model.device) for name, positions in _at(marks, slice(prompt, prompt + 1)).items()
        }
        return Glass(clean, nodes, plan, constants, value_bias, positions).begins()

    return results.finished(model, begins, lambda row: f"circuit {numbers[row]}")


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
