"""Edges cut alone against path patching by plain hooks, and attributions against autograd through transformers."""

from dataclasses import replace
from operator import itemgetter

import torch

from circuits.slow_edges import slow_cut, slow_gradient, written
from discovery.cases import case_of
from fuzz.check import Check, compare
from fuzz.constants import draw_constants
from fuzz.draw import Draw
from fuzz.edits import all_logits, draw_memory
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_prompts
from slow import slow_logits, slow_run
from vitro.circuits import Graph, cut_edges
from vitro.discovery import score_edges
from vitro.engine import Budget


def check_edges(draw: Draw) -> list[Check]:
    """Some of the edges into one layer, or into the logits; prompts of any lengths."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model, at_most=3)
    since = draw.integer(0, min(map(len, prompts)) - 1)
    constants = replace(draw_constants(draw, model, prompts), since=since)
    layer = draw.integer(0, model.shape.n_layers)
    edges = Graph.of(model).edges_into(layer)
    memory = draw_memory(draw, model, prompts)
    results = cut_edges(model, prompts, layer, constants, all_logits, memory=memory)["logits"]
    slow = plain(model)
    clean = slow_logits(slow, prompts, [()])[0]
    checks = []
    for number in draw.sample(range(len(edges)), at_least=4, at_most=6):
        expected = torch.stack(
            [slow_cut(slow, prompt, i, edges[number], constants, since) for i, prompt in enumerate(prompts)]
        )
        checks.append(compare(f"{edges[number]} since {since}", results[number], expected, clean))
    return checks


def check_attributions(draw: Draw) -> list[Check]:
    """EAP by a logit, for some edges and prompts. Relative to the largest score."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model, at_most=3)
    since = draw.integer(0, min(map(len, prompts)) - 1)
    constants = replace(draw_constants(draw, model, prompts), since=since)
    tokens = [draw.integer(0, model.shape.d_vocab - 1) for _ in prompts]

    memory = None if draw.chance(0.5) else 20 * Budget.of(model).need(max(map(len, prompts)), 1)
    case = case_of(model, prompts, constants, "answer_logit", right=tokens, memory=memory)
    scores = score_edges(case, "eap")
    edges = Graph.of(model).edges
    slow = plain(model)
    table = slow.hf.get_input_embeddings()
    checks = []
    for number in draw.sample(range(len(edges)), at_least=4, at_most=6):
        expected = torch.zeros(len(prompts), dtype=torch.float64)
        for i, prompt in enumerate(prompts):
            seen = slow_run(slow, prompt)
            change = written(slow, seen, edges[number], constants, i).expand(len(prompt), -1).clone()
            change[:since] = 0.0
            with torch.enable_grad():
                inputs = table(torch.tensor([prompt])).requires_grad_()
                expected[i] = -(change * slow_gradient(slow, edges[number], inputs, itemgetter(tokens[i]))).sum()
        largest = scores.abs().max()
        apart = float((scores[number].double() - expected).abs().max() / largest)
        checks.append(Check(f"{edges[number]} since {since}", apart, float(expected.abs().max() / largest)))
    return checks
