"""Random circuits within random models, several in one run, against plain modules node by node."""

from dataclasses import replace

import numpy as np
import torch

from circuits.slow_within import SlowWithin
from fuzz.check import Check, compare
from fuzz.constants import draw_constants
from fuzz.draw import Draw
from fuzz.edits import all_logits
from fuzz.models import draw_model, plain
from fuzz.prompts import Tokens, draw_partners, draw_prompts
from slow import slow_logits
from vitro.circuits import Constants, Graph, Mask, counterfactual, run_within
from vitro.engine import Budget
from vitro.models import Model

CIRCUITS = 5


def check_within(draw: Draw) -> list[Check]:
    """Final logits of every circuit; moved: from what the model itself says."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model, at_most=3)
    absent = _draw_absent(draw, model, prompts)
    graph = Graph.of(model)
    masks = np.stack(_draw_masks(draw, graph))
    memory = None if draw.chance(0.5) else 20 * Budget.of(model).need(max(map(len, prompts)), 1)
    results = run_within(model, prompts, masks, absent, all_logits, memory=memory)["logits"]
    slow = plain(model)
    clean = slow_logits(slow, prompts, [()])[0]
    checks = []
    for number, mask in enumerate(masks):
        edges = [graph.edges[place] for place in np.flatnonzero(mask)]
        expected = torch.stack(
            [SlowWithin(slow, prompt, i, edges, absent).logits() for i, prompt in enumerate(prompts)]
        )
        what = f"circuit {number} of {len(edges)} edges, since {absent.since}"
        checks.append(compare(what, results[number], expected, clean))
    return checks


def _draw_absent(draw: Draw, model: Model, prompts: Tokens) -> Constants:
    """Counterfactual ones, or any, from one position on or from each prompt's own."""
    if draw.chance(0.4):
        return counterfactual(model, prompts, draw_partners(draw, model, prompts))
    own = tuple(draw.integer(0, len(prompt)) for prompt in prompts)
    since = own if draw.chance(0.5) else draw.integer(0, min(map(len, prompts)) - 1)
    return replace(draw_constants(draw, model, prompts), since=since)


def _draw_masks(draw: Draw, graph: Graph) -> list[Mask]:
    """Of any density; some but for an edge or two the same, some with heads that read by one or two inputs alone."""
    masks: list[Mask] = []
    for _ in range(CIRCUITS):
        share = draw.real(0.0, 1.0)
        mask = np.array([draw.chance(share) for _ in range(len(graph))])
        if draw.chance(0.4):
            node, by = draw.integer(1, len(graph.nodes) - 1), draw.integer(0, 1)
            mask[(graph.reader_of == node) & (graph.input_of == by)] = False
        if masks and draw.chance(0.4):
            mask = masks[-1].copy()
            edges = draw.sample(range(len(graph)), at_most=2)
            mask[edges] = ~mask[edges]
        masks.append(mask)
    return masks
