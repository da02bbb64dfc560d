"""Edits of every hook, several together, against a plain pass with forward hooks for each prompt alone."""

import torch
from torch import Tensor

from fuzz.check import Check, compare
from fuzz.draw import Draw
from fuzz.models import draw_model, plain
from fuzz.prompts import Tokens, draw_prompts
from slow import slow_logits
from vitro.engine import (
    Budget,
    Edit,
    Finals,
    Hook,
    Site,
    Variant,
    attn_out,
    mlp_out,
    pattern,
    pin,
    resid_mid,
    resid_post,
    resid_pre,
    sweep,
    z,
)
from vitro.models import Model

VARIANTS = 4


def check_edits(draw: Draw) -> list[Check]:
    """Variants of one to four edits at any sites, and the clean run between them."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model)
    variants = [draw_variant(draw, model, prompts) for _ in range(VARIANTS)]
    return _compared(draw, model, prompts, [*variants, ()])


def check_attention(draw: Draw) -> list[Check]:
    """Rows of attention and pins, with other edits before and after them."""
    model = draw_model(draw)
    prompts = draw_prompts(draw, model, shortest=2)
    variants = []
    for _ in range(VARIANTS):
        heads = draw.sample(every_head(model), at_most=3)
        attention = [draw_pattern(draw, prompts, *head) for head in heads]
        sites = [site for site in every_site(model) if site.hook not in (Hook.pattern, Hook.z)]
        edits = [draw_edit(draw, model, prompts, site) for site in draw.sample(sites, at_least=0, at_most=2)]
        variants.append(tuple(draw.shuffled([*attention, *edits])))
    return _compared(draw, model, prompts, variants)


def draw_variant(draw: Draw, model: Model, prompts: Tokens) -> Variant:
    """One to four edits, each activation set once at most; sometimes one is added to as well as set."""
    sites = draw.sample(every_site(model), at_most=4)
    edits = [draw_edit(draw, model, prompts, site) for site in sites]
    if draw.chance(0.2) and sites[0].hook is not Hook.pattern:
        edits.append(draw_edit(draw, model, prompts, sites[0], how="add"))
    return tuple(draw.shuffled(edits))


def draw_edit(draw: Draw, model: Model, prompts: Tokens, site: Site, how: str | None = None) -> Edit:
    if site.hook is Hook.pattern:
        assert site.head is not None
        return draw_pattern(draw, prompts, site.layer, site.head)
    width = model.shape.d_head if site.hook is Hook.z else model.shape.d_model
    longest = max(map(len, prompts))
    value = draw_value(draw, len(prompts), longest, width) * draw.one_of((0.3, 1.0, 3.0))
    if draw.chance(0.15):
        value = torch.zeros_like(value)
    return Edit(
        site,
        value,
        how="add" if (how or draw.one_of(("set", "add"))) == "add" else "set",
        positions=draw_positions(draw, longest) if draw.chance(0.8) else own_positions(draw, prompts),
        prompts=tuple(draw.sample(range(len(prompts)))) if draw.chance(0.3) else None,
    )


def draw_value(draw: Draw, n_prompts: int, longest: int, width: int) -> Tensor:
    """[width], [position, width] or [prompt, position, width]; each axis whole or 1, sometimes longer than needed."""
    n_positions = draw.one_of((1, longest, longest + 1))
    sizes = [(width,), (n_positions, width), (draw.one_of((1, n_prompts)), n_positions, width)]
    return draw.normal(*draw.one_of(sizes))


def draw_positions(draw: Draw, longest: int) -> tuple[int, ...] | None:
    """Some positions, counted from the beginning or the end, or all."""
    if draw.chance(0.4):
        return None
    return tuple(draw.integer(-longest, longest - 1) for _ in range(draw.integer(1, 3)))


def own_positions(draw: Draw, prompts: Tokens) -> tuple[tuple[int, ...], ...]:
    """Some positions of each prompt's own; none in some, but not in all."""
    rows = [tuple(draw.integer(-len(prompt), len(prompt) - 1) for _ in range(draw.integer(0, 2))) for prompt in prompts]
    return tuple(rows) if any(rows) else ((0,), *rows[1:])


def draw_pattern(draw: Draw, prompts: Tokens, layer: int, head: int) -> Edit:
    """A pin, or rows of attention that need not sum to 1."""
    longest, shortest = max(map(len, prompts)), min(map(len, prompts))
    if draw.chance(0.4):
        return pin(layer, head, to=draw.integer(0, shortest - 1))
    n_values = draw.one_of((1, len(prompts)))
    weights = draw.normal(n_values, longest, longest).tril()
    weights = weights if draw.chance(0.5) else weights.square() / weights.square().sum(-1, keepdim=True)
    # What is left out at the end is 0.
    weights = weights[0] if n_values == 1 and draw.chance(0.5) else weights
    return Edit(pattern(layer, head), weights, positions=draw_positions(draw, longest))


def every_head(model: Model) -> list[tuple[int, int]]:
    return [(layer, head) for layer in range(model.shape.n_layers) for head in range(model.shape.n_heads)]


def every_site(model: Model) -> list[Site]:
    streams = [resid_pre, resid_post, attn_out, mlp_out, *([] if model.parallel else [resid_mid])]
    heads = [site for head in every_head(model) for site in (z(*head), pattern(*head))]
    return heads + [make(layer) for layer in range(model.shape.n_layers) for make in streams]


def draw_memory(draw: Draw, model: Model, prompts: Tokens) -> int | None:
    """The default, or so little that a sweep is cut into parts, often with one prompt and one row in each."""
    if draw.chance(0.5):
        return None
    least = Budget.of(model, 10**12).need(max(map(len, prompts)), 1)
    return int(least * draw.one_of((1.0, 1.2, 2.0, 4.0)))


def all_logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


def _compared(draw: Draw, model: Model, prompts: Tokens, variants: list[Variant]) -> list[Check]:
    results = sweep(model, prompts, variants, all_logits, memory=draw_memory(draw, model, prompts))["logits"]
    slow = plain(model)
    expected, clean = slow_logits(slow, prompts, variants), slow_logits(slow, prompts, [()])[0]
    return [
        compare("; ".join(map(str, variant)), result, reference, clean)
        if variant
        else compare("clean", result, reference)
        for variant, result, reference in zip(variants, results, expected, strict=True)
    ]
