"""Every kind of edit that there is, for prompts that share beginnings and differ in length."""

import torch

from vitro.engine import Edit, Variant, attn_out, mlp_out, pattern, pin, resid_mid, resid_post, resid_pre, z
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4, 7, 8], [0, 6, 2], [0, 5, 9, 3, 7, 8, 11]]
LONGEST = 7


def every_kind(model: Model, layer: int) -> dict[str, Variant]:
    shape, draw = model.shape, torch.Generator().manual_seed(layer)
    head = (layer + 1) % shape.n_heads

    def value(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=draw)

    weights = value(LONGEST, LONGEST).tril()
    kinds: dict[str, Variant] = {
        "a head's z, everywhere": (Edit(z(layer, head), value(LONGEST, shape.d_head)),),
        "a head's z, zeroed": (Edit(z(layer, head), torch.zeros(shape.d_head)),),
        "a head's z, added at one position": (Edit(z(layer, head), value(shape.d_head), how="add", positions=(2,)),),
        "a head's z, by prompt": (Edit(z(layer, head), value(len(PROMPTS), LONGEST, shape.d_head)),),
        "a head's z, at positions of each prompt's own": (
            Edit(z(layer, head), value(len(PROMPTS), LONGEST, shape.d_head), positions=((1,), (), (-1, 0), (4, -2))),
        ),
        "the heads together, at one position": (Edit(attn_out(layer), value(shape.d_model), positions=(2,)),),
        "the heads together, added": (Edit(attn_out(layer), value(shape.d_model), how="add"),),
        "an MLP, everywhere": (Edit(mlp_out(layer), value(LONGEST, shape.d_model)),),
        "an MLP, at the final stream": (Edit(mlp_out(layer), value(shape.d_model), positions=(-1,)),),
        "the stream before, set": (Edit(resid_pre(layer), value(shape.d_model), positions=(1, -1)),),
        "the stream before, added": (Edit(resid_pre(layer), value(shape.d_model), how="add"),),
        "the stream after, set": (Edit(resid_post(layer), value(LONGEST, shape.d_model), positions=(2,)),),
        "the stream after, added": (Edit(resid_post(layer), value(shape.d_model), how="add", positions=(-1,)),),
        "a pin at the final stream": (pin(layer, head, to=1),),
        "a pin to a position of each prompt's own": (pin(layer, head, to=(1, 4, 0, 2)),),
        "rows of attention": (Edit(pattern(layer, head), weights),),
        "one prompt only": (Edit(z(layer, head), value(shape.d_head), prompts=(1,)),),
    }
    if not model.parallel:
        kinds["the stream within, set"] = (Edit(resid_mid(layer), value(shape.d_model), positions=(2,)),)
        kinds["the stream within, added"] = (Edit(resid_mid(layer), value(shape.d_model), how="add"),)
    return kinds
