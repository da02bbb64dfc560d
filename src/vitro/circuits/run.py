"""Circuits computed: only live nodes, each once for all the circuits of a batch that share it, on the prompt tree."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from vitro.circuits.circuit import Circuit
from vitro.circuits.constants import Constants
from vitro.circuits.glass import Glass
from vitro.circuits.nodes import CircuitError, Constant, Node
from vitro.circuits.plan import Plan
from vitro.engine import Budget, Finals, Progress, Read, Tree, Values, in_batches, keep, pack, pattern, read_out, run
from vitro.models import Model

READ_OUT = 512
"""Final streams unembedded at once: logits over a vocabulary soon leave the caches, and then cost twice as much."""


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
    for each kind that the circuits use. value_bias: whether a head's output has its b_V; where it is excluded, as in
    TransformerLens' folded weights, `b9` carries the b_V of all heads of layer 9 beside b_O. watch: heads whose
    attention from the final streams `read` is given too; NaN in circuits without them. memory: as for `sweep`.
    `read` gets the model's own logits beside the circuits', and its rows are circuits.
    Raises CircuitError for components that the model does not have, pins beyond a prompt, and missing constants.
    """
    constants = constants or {}
    _check(model, circuits, min(map(len, prompts)), subject, constants)
    budget = Budget.of(model, memory)
    kept: dict[str, Tensor] = {}
    done, total = 0, len(circuits) * len(prompts)
    for part in budget.parts(prompts):
        tree = pack(prompts[part])
        finals = tree.finals.to(model.device)
        clean = read_out(model, run(model, tree).resid_final[finals])

        # Circuits whose heads are all pinned are computed at a stream or two of each prompt, so many more fit a batch.
        alike: dict[int, list[int]] = defaultdict(list)
        for number, circuit in enumerate(circuits):
            alike[len(tree.tokens) if "all" in _plan(model, [circuit]).where else len(tree.finals)].append(number)

        def work(batch: Sequence[int], tree: Tree = tree, part: slice = part, clean: Tensor = clean) -> Values:
            plan = _plan(model, [circuits[number] for number in batch])
            glass = Glass(model, tree, part.start, plan, constants, value_bias, subject)
            resid = glass.run(watch)
            attention = {pattern(one.layer, one.head): glass.attention_of(one) for one in watch}
            size = max(1, READ_OUT // len(tree.finals))
            found = [
                read(
                    Finals(
                        read_out(model, resid[start : start + size]),
                        clean,
                        part,
                        {site: weights[start : start + size] for site, weights in attention.items()},
                    )
                )
                for start in range(0, len(batch), size)
            ]
            return {name: torch.cat([values[name] for values in found]) for name in found[0]}

        for held, members in alike.items():
            n_rows = budget.rows(held, len(tree.tokens), len(tree.finals))
            for batch, values in in_batches(members, n_rows, work):
                keep(kept, values, batch, part, (len(circuits), len(prompts)))
                done += len(batch) * len(tree.finals)
                if progress is not None:
                    progress(done, total)
    return {name: value.cpu() for name, value in kept.items()}


def _plan(model: Model, circuits: Sequence[Circuit]) -> Plan:
    return Plan.of(circuits, model.shape.n_heads, parallel=model.parallel)


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
