"""Random circuits on random models, several in one run, against plain tensor code for one prompt at a time."""

from dataclasses import replace

import torch
from torch import Tensor

from circuits.slow_circuits import SlowCircuit
from fuzz.check import Check, compare, largest
from fuzz.constants import draw_kinds
from fuzz.draw import Draw
from fuzz.edits import draw_memory, every_head
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_alike, draw_prompts
from fuzz.wirings import draw_circuits
from slow import slow_logits
from vitro.circuits import Kind, Node, run_circuits
from vitro.engine import Finals, pattern

CIRCUITS = 6


def check_circuits(draw: Draw) -> list[Check]:
    """Final logits of every circuit, and the attention of watched heads; moved: from what the model itself says."""
    model = draw_model(draw)
    prompts = draw.one_of((draw_alike, draw_prompts))(draw, model, at_most=4)
    constants = draw_kinds(draw, model, prompts)
    shortest = min(map(len, prompts))
    circuits = draw_circuits(draw, model.shape, CIRCUITS, shortest, list(constants))
    subjects = [draw.integer(0, len(prompt) - 1) for prompt in prompts]
    biased = draw.chance(0.5)
    watch = [Node(layer, Kind.head, head) for layer, head in draw.sample(every_head(model), at_most=2)]

    def read(finals: Finals) -> dict[str, Tensor]:
        attention = {str(head): finals.attention[pattern(head.layer, head.head)] for head in watch}
        return {"logits": finals.logits, **attention}

    results = run_circuits(
        model,
        prompts,
        circuits,
        read,
        marks={"subject": subjects},
        constants=constants,
        value_bias="included" if biased else "excluded",
        watch=watch,
        memory=draw_memory(draw, model, prompts),
    )
    slow = plain(model)
    living = slow_logits(slow, prompts, [()])[0]
    checks = []
    for number, circuit in enumerate(circuits):
        runs = [
            SlowCircuit(slow, prompt, i, circuit, subjects[i], constants, biased) for i, prompt in enumerate(prompts)
        ]
        expected = torch.stack([run.logits() for run in runs])
        what = f"{circuit} (of {CIRCUITS} in a run)".replace("\n", "; ")
        logits = compare(what, results["logits"][number], expected, living)
        attention = [_attention_apart(head, results[str(head)][number], runs) for head in watch]
        checks.append(replace(logits, apart=largest(logits.apart, *attention)))
    return checks


def _attention_apart(head: Node, weights: Tensor, runs: list[SlowCircuit]) -> float:
    """How far a watched head's attention is from the slow one; 0 where the logits do not hang on this head."""
    if not all(head in run.patterns for run in runs):
        return 0.0
    rows = torch.zeros_like(weights)
    for row, run in zip(rows, runs, strict=True):
        row[: len(run.prompt)] = run.patterns[head]
    return compare(str(head), weights, rows).apart
