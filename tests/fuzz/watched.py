"""Watched attention under edits, against what transformers' eager attention returns."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from fuzz.check import Check, compare
from fuzz.draw import Draw
from fuzz.edits import draw_edit, draw_memory, every_head, every_site
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_prompts
from places import places_of
from slow import slow_run
from vitro.engine import Finals, Hook, Variant, pattern, sweep


def check_watched(draw: Draw) -> list[Check]:
    """Heads watched while something is edited: before them, after them, and on them beside their attention."""
    model = draw_model(draw)
    while not places_of(model).tells_attention:
        model = draw_model(draw)
    prompts = draw_prompts(draw, model, at_most=3)
    last = model.shape.n_layers - 1
    heads = draw.sample([head for head in every_head(model) if head[0] >= last - 1], at_most=3)
    watch = [pattern(*head) for head in heads]
    variants: list[Variant] = []
    for _ in range(4):
        sites = [site for site in every_site(model) if site.hook is not Hook.pattern and site < pattern(last, 0)]
        variants.append(tuple(draw_edit(draw, model, prompts, site) for site in draw.sample(sites, at_most=3)))

    def read(finals: Finals) -> dict[str, Tensor]:
        return {str(site): finals.attention[site] for site in watch}

    memory = draw_memory(draw, model, prompts)
    results = sweep(model, prompts, variants, read, watch=watch, memory=memory)
    slow, longest = plain(model), max(map(len, prompts))
    checks = []
    for number, variant in enumerate(((), *variants)):
        attentions = [slow_run(slow, prompt, edits_of_prompt(variant, i)).attention for i, prompt in enumerate(prompts)]
        rows = torch.stack([pad(attention[:, :, -1], (0, longest - attention.shape[-1])) for attention in attentions])
        if number == 0:
            clean = rows
            continue
        for site, (layer, head) in zip(watch, heads, strict=True):
            what = f"{site} under {'; '.join(map(str, variant))}"
            checks.append(compare(what, results[str(site)][number - 1], rows[:, layer, head], clean[:, layer, head]))
    return checks


def edits_of_prompt(variant: Variant, prompt: int) -> Variant:
    """What a variant does to one prompt, as edits of that prompt alone."""
    edits = []
    for edit in variant:
        positions = edit.positions
        if positions and isinstance(positions[0], tuple):
            positions = positions[prompt]
        if (edit.prompts is None or prompt in edit.prompts) and positions != ():
            value = edit.value[[prompt if len(edit.value) > 1 else 0]] if edit.value.ndim == 3 else edit.value
            edits.append(type(edit)(edit.site, value, edit.how, positions))
    return tuple(sorted(edits, key=lambda edit: (edit.site.layer, edit.site.hook, edit.how == "add")))
