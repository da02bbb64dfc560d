"""Circuits computed: only live nodes, each once for all the circuits of a batch that share it, on the prompt tree."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from vitro.circuits.circuit import Circuit
from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.glass import Glass
from vitro.circuits.nodes import CircuitError, Constant, Kind, Node
from vitro.circuits.plan import Plan
from vitro.engine import Budget, Finals, Progress, Read, Tree, Unembedded, Values, in_batches, keep, pack, pattern, run
from vitro.models import Model


@torch.inference_mode()
def run_circuits(
    model: Model,
    prompts: Sequence[Sequence[int]],
    circuits: Sequence[Circuit],
    read: Read,
    *,
    subject: int | None = None,
    constants: Mapping[Constant, Constants] | None = None,
    value_bias: Literal["excluded", "included"] = "excluded",
    watch: Sequence[Node] = (),
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run every circuit on every prompt and keep what `read` says: name -> [circuit, prompt, ...], on the CPU.

    prompts: token ids. subject: its position, for pins that name it. constants: what components at a constant put out,
    for each kind that the circuits use. value_bias: whether a head's output has what it adds at every position
    alike (`Model.folded_value_bias`); where it is excluded, as in TransformerLens' folded weights, `b9` carries that of
    all heads of layer 9 beside b_O. watch: heads, wired or within a stream, whose attention from the final streams
    `read` is given too; NaN in circuits where they are not live. memory: as for `sweep`.
    `read` gets the model's own logits beside the circuits', and its rows are circuits.
    Raises CircuitError for components that the model does not have, pins beyond a prompt, and missing constants.
    """
    constants = constants or {}
    _check(model, circuits, min(map(len, prompts)), subject, constants)
    budget = Budget.of(model, memory)
    kept: dict[str, Tensor] = {}
    done, total = 0, len(circuits) * len(prompts)
    for part in budget.parts(prompts):
        living = run(model, pack(prompts[part]))
        tree, nodes = living.there, Nodes.of(living.tree, part.start, model.device)
        clean = Unembedded(model, living.resid_final[tree.finals])

        n_nodes, n_finals = len(tree.tokens), len(tree.finals)
        # Circuits whose heads are all pinned are computed at a stream or two of each prompt, and in a list of them each
        # layer's turn comes to a few at a time only, so many more make a batch.
        narrow = max(1, n_finals // model.shape.n_layers)
        alike: dict[int, list[int]] = defaultdict(list)
        for number, circuit in enumerate(circuits):
            alike[n_nodes if _attends(circuit) else narrow].append(number)
        n_read = budget.read_out(n_finals)

        def work(
            batch: Sequence[int],
            tree: Tree = tree,
            nodes: Nodes = nodes,
            part: slice = part,
            clean: Unembedded = clean,
            n_read: int = n_read,
        ) -> Values:
            wired = [circuits[number] for number in batch]
            plan = Plan.of(wired, model.shape.n_heads, parallel=model.parallel, watch=watch)
            glass = Glass(model, tree, nodes, plan, constants, value_bias, subject)
            resid = glass.run()
            attention = {pattern(one.layer, one.head): glass.attention_of(one) for one in watch}
            found = []
            for start in range(0, len(batch), n_read):
                rows = slice(start, start + n_read)
                watched = {site: weights[rows] for site, weights in attention.items()}
                found.append(read(Finals.everywhere(resid[rows], clean, part, watched)))
            return {name: torch.cat([values[name] for values in found]) for name in found[0]}

        for held, members in alike.items():
            for batch, values in in_batches(members, budget.rows(held, n_nodes, prompts=0), work):
                keep(kept, values, batch, part, (len(circuits), len(prompts)))
                done += len(batch) * len(tree.finals)
                if progress is not None:
                    progress(done, total)
    return {name: value.cpu() for name, value in kept.items()}


def _attends(circuit: Circuit) -> bool:
    """Whether a head of it makes its own attention, for which every node is computed."""
    live = (one for one in circuit.order if one not in circuit.constant_of)
    return any(one.kind is Kind.stream or (one.kind is Kind.head and one not in circuit.pin_of) for one in live)


def _check(
    model: Model,
    circuits: Sequence[Circuit],
    shortest: int,
    subject: int | None,
    constants: Mapping[Constant, Constants],
) -> None:
    for circuit in circuits:
        circuit.check(model)
    if missing := {kind for circuit in circuits for _, kind in circuit.constants} - set(constants):
        raise CircuitError(f"a circuit needs constants that are not given: {', '.join(sorted(missing))}")
    pins = {pin for circuit in circuits for _, pin in circuit.pins}
    if wrong := sorted(pin for pin in pins if isinstance(pin, int) and pin >= shortest):
        raise CircuitError(f"a head is pinned to stream {wrong[0]}, and the prompts have streams 0 to {shortest - 1}")
    if "subject" in pins and subject is None:
        raise CircuitError("a head is pinned to the subject, and where that is was not said")
