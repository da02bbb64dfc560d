"""Circuits run, in vitro and within the model, on prompts of one list."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vitro.circuits.circuit import Circuit, check_node
from vitro.circuits.constants import Constants
from vitro.circuits.graph import Graph
from vitro.circuits.in_vitro import run_in_vitro
from vitro.circuits.nodes import CircuitError, Constant, Kind, Node
from vitro.circuits.within import run_within
from vitro.engine import Finals, Prepared, Progress, Prompts, Read, ReadError, Values, pattern
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

    Circuits in vitro and within the model may stand in one list.

    prompts: token ids. marks: a position of each prompt by name, for pins that name it. constants: what components at
    a constant put out and absent edges carry, for each kind that the circuits use. value_bias: in vitro, whether a
    head's output has what it adds at every position alike (`Model.folded_value_bias`); where it is excluded, as in
    TransformerLens' folded weights, `b9` has that of all heads of layer 9 as well as b_O. watch: heads, wired or within
    a stream, whose attention from the final streams `read` is also given; NaN in circuits where they are not live, and
    in all within the model. memory: as for `sweep`.
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
    by_kind: dict[Constant | None, dict[int, Circuit]] = defaultdict(dict)
    for number, circuit in enumerate(circuits):
        by_kind[circuit.absent][number] = circuit
    kept: dict[str, Tensor] = {}
    for kind, chosen in (by_kind or {None: {}}).items():
        if kind is None:
            values = run_in_vitro(model, prepared, chosen, read, marks, constants, value_bias, watch, progress)
        else:
            graph = Graph.of(model)
            masks = np.stack([graph.mask(circuit.edges) for circuit in chosen.values()])
            unseen = _unseen(read, watch, max(prepared.lengths))
            values = run_within(model, prompts, masks, constants[kind], unseen, memory=memory, progress=progress)
        for name, value in values.items():
            results = kept.setdefault(name, value.new_empty((len(circuits), *value.shape[1:])))
            if value.shape[1:] != results.shape[1:]:
                raise ReadError(
                    f"what is read as {name!r} is of shape {tuple(value.shape[1:])} in circuits of one kind, and of "
                    f"{tuple(results.shape[1:])} in those of another"
                )
            results[list(chosen)] = value
    return kept


def _unseen(read: Read, watch: Sequence[Node], n_positions: int) -> Read:
    """`read` where nothing is watched: the attention of every head is NaN."""

    def reading(finals: Finals) -> Values:
        nothing = finals.clean.resid.new_full((finals.n_rows, len(finals.clean.resid), n_positions), torch.nan)
        return read(replace(finals, attention={pattern(head.layer, head.head): nothing for head in watch}))

    return reading if watch else read


def _check(
    model: Model,
    prompts: Sequence[Sequence[int]],
    circuits: Sequence[Circuit],
    marks: Mapping[str, Sequence[int]],
    constants: Mapping[Constant, Constants],
) -> None:
    for circuit in circuits:
        circuit.check(model)
    used = {kind for circuit in circuits for kind in circuit.constant_kinds}
    if missing := used - set(constants):
        raise CircuitError(f"a circuit needs constants that are not given: {', '.join(sorted(missing))}")
    for kind in sorted(used):
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
