"""Half precision, against the float32 pass of the same weights, with the plain half-precision pass as the measure."""

import copy
from dataclasses import replace

import torch

from fuzz.check import Check, compare, largest
from fuzz.draw import Draw
from fuzz.edits import all_logits, draw_memory, draw_variant
from fuzz.models import draw_model, plain
from fuzz.prompts import draw_prompts
from slow import slow_logits
from vitro.engine import Variant, sweep
from vitro.models import Model

ORDERS = 4
"""Vitro and transformers round as often, in another order of summation, so one is about as far from the exact result as
the other. How far transformers is was measured for this very case; the largest of some hundred differences seldom is
more than twice another such draw."""


def check_halves(draw: Draw) -> list[Check]:
    """Edits in bfloat16 and float16. The limit: `ORDERS` times plain transformers' own rounding."""
    whole = draw_model(draw)
    dtype = draw.one_of((torch.bfloat16, torch.float16))
    model = _in(whole, dtype)
    prompts = draw_prompts(draw, model, at_least=2)
    drawn: list[Variant] = [(), *(draw_variant(draw, model, prompts) for _ in range(5))]
    variants = [tuple(replace(edit, value=edit.value.to(dtype).float()) for edit in variant) for variant in drawn]
    results = sweep(model, prompts, variants, all_logits, memory=draw_memory(draw, model, prompts))["logits"]
    plain_results = slow_logits(plain(model), prompts, variants)
    exact = slow_logits(plain(_in(model, torch.float32)), prompts, variants)
    noise = largest(
        *(compare("", result, reference).apart for result, reference in zip(plain_results, exact, strict=True))
    )
    limit = ORDERS * noise + torch.finfo(dtype).eps
    return [
        compare(
            f"{dtype}: {'; '.join(map(str, variant)) or 'clean'}",
            result,
            reference,
            exact[0] if variant else None,
            limit=limit,
        )
        for variant, result, reference in zip(variants, results, exact, strict=True)
    ]


def _in(model: Model, dtype: torch.dtype) -> Model:
    return type(model).of(copy.deepcopy(model.hf).to(dtype), tokenizer=None)
