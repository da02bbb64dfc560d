"""The slow, obvious way: one full Hugging Face pass per prompt and variant, with plain forward hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from places import Layer, gain_of, norm_scale, normed, places_of, rows_of, shift_of
from slow_blocks import Blocks
from slow_hooks import afresh, argument, hooks_of, output, removing
from vitro.engine import Variant
from vitro.models import Model
from vitro.tasks import Questions


def answer_ids(questions: Questions) -> list[int]:
    """The one right token of each prompt; fails where a prompt has more."""
    return [token for (token,) in questions.right]


def subject_ids(questions: Questions) -> list[int]:
    """The one wrong token of each prompt, which in a successor task is the subject's."""
    return [token for (token,) in questions.wrong]


def slow_logits(model: Model, prompts: Sequence[Sequence[int]], variants: Sequence[Variant]) -> Tensor:
    """Final logits [variant, prompt, d_vocab]."""
    return torch.stack(
        [torch.stack([slow_one(model, prompt, i, variant) for i, prompt in enumerate(prompts)]) for variant in variants]
    )


@torch.no_grad()
def slow_one(model: Model, prompt: Sequence[int], number: int, variant: Variant) -> Tensor:
    """Final logits of one prompt, [d_vocab]; number: its own, for edits of prompts each their own."""
    model, handles = afresh(model), []
    for edit in sorted(variant, key=lambda edit: (edit.site.layer, edit.site.hook, edit.how == "add")):
        handles += hooks_of(model, edit, number, len(prompt))
    with removing(handles):
        logits: Tensor = model.hf(torch.tensor([list(prompt)], device=model.device)).logits[0, -1]
    return logits.float()


@dataclass(frozen=True)
class Seen:
    """What plain hooks see of one prompt in one run of the model, in float64."""

    resid_pre: Tensor
    """[layer, position, d_model], as are the other streams."""
    resid_mid: Tensor
    resid_post: Tensor
    mlp_out: Tensor
    z: Tensor
    """[layer, position, head, d_head]"""
    attention: Tensor
    """[layer, head, query, key], as transformers' eager attention returns it."""
    logits: Tensor
    """[d_vocab], at the final stream."""


def slow_run(model: Model, prompt: Sequence[int], variant: Variant = ()) -> Seen:
    """One Hugging Face pass of one prompt, with eager attention: the variant's hooks first, the watching ones after."""
    model, shape, places = afresh(model), model.shape, places_of(model)
    found: dict[str, list[Tensor]] = {name: [] for name in ("resid_pre", "attn_out", "mlp_out", "resid_post", "z")}

    def keep(name: str, factor: float = 1.0) -> Callable[[Tensor], Tensor]:
        def kept(seen: Tensor) -> Tensor:
            # A copy, since some blocks add to it in place.
            found[name].append(seen.reshape(len(prompt), -1).to(torch.float64, copy=True) * factor)
            return seen

        return kept

    handles = [handle for edit in variant for handle in hooks_of(model, edit, 0, len(prompt))]
    for layer in (Layer(model, number) for number in range(shape.n_layers)):
        handles += [
            layer.block.register_forward_pre_hook(argument(keep("resid_pre"))),
            layer.heads_write.register_forward_hook(output(keep("attn_out", places.multiplier))),
            layer.mlp_writes.register_forward_hook(output(keep("mlp_out", places.multiplier))),
            layer.block.register_forward_hook(output(keep("resid_post"))),
            layer.out.register_forward_pre_hook(argument(keep("z"))),
        ]
    asked = {"output_attentions": True} if places.tells_attention else {}
    with torch.no_grad(), _eager(model) if asked else nullcontext(), removing(handles):
        run = model.hf(torch.tensor([list(prompt)], device=model.device), **asked)
    seen = {name: torch.stack(values) for name, values in found.items()}
    return Seen(
        resid_pre=seen["resid_pre"],
        resid_mid=seen["resid_pre"] + seen["attn_out"],
        resid_post=seen["resid_post"],
        mlp_out=seen["mlp_out"],
        z=seen["z"].unflatten(-1, (shape.n_heads, shape.d_head)),
        attention=(torch.cat(run.attentions) if asked else _attention(model, prompt, variant)).double(),
        logits=run.logits[0, -1].double(),
    )


def _attention(model: Model, prompt: Sequence[int], variant: Variant) -> Tensor:
    """By what it mixes of values that are axes, where a model does not tell it; NaN where it is edited."""
    shape, blocks = model.shape, Blocks(model, [prompt])
    if variant:
        return torch.full((shape.n_layers, shape.n_heads, len(prompt), len(prompt)), torch.nan)
    heads = [blocks.attention(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    attention: Tensor = torch.cat(heads).unflatten(0, (shape.n_layers, shape.n_heads))
    return attention


@contextmanager
def _eager(model: Model) -> Iterator[None]:
    before = model.hf.config._attn_implementation
    model.hf.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.hf.set_attn_implementation(before)


def slow_read_out(model: Model, vectors: Tensor) -> Tensor:
    """Final norm and unembedding, [..., d_model] to [..., d_vocab], written out from the checkpoint's numbers."""
    places, unembed = places_of(model), model.hf.get_output_embeddings()
    read = normed(places, final_norm_of(model), vectors)
    logits: Tensor = (read @ unembed.weight.double().T + shift_of(unembed)) * places.logit_scale
    return logits if places.softcap is None else places.softcap * (logits / places.softcap).tanh()


def final_norm_of(model: Model) -> Any:
    """The norm after the last block."""
    return model.hf.get_submodule(places_of(model).final_norm)


def unembedding_of(model: Model) -> Tensor:
    """W_U: [d_model, d_vocab]."""
    weight: Tensor = model.hf.get_output_embeddings().weight
    return weight.T


def w_out_of(model: Model, layer: int, head: int) -> Tensor:
    """One head's own slice of W_O, the model's factor on it included: [d_head, d_model]."""
    return Layer(model, layer).w_out(head).double() * places_of(model).multiplier


def value_bias_of(model: Model, layer: int, head: int) -> Tensor:
    """One head's values where the norm before it puts out its bias alone, part of every stream's values: [d_head].

    An RMSNorm has no bias, so there it is b_V.
    """
    at = Layer(model, layer)
    weight, bias = at.value_map(head)
    return bias.double() + shift_of(at.head_norm).expand(model.shape.d_model) @ weight.double()


def slow_head_out(
    model: Model, seen: Seen, layer: int, head: int, value_bias: Literal["excluded", "included"] = "excluded"
) -> Tensor:
    """What one head writes to the final stream: [d_model]. A norm after the heads is held: it divides as it does."""
    z = seen.z[layer, :, head]
    return held_out(model, seen, layer, head, z - value_bias_of(model, layer, head) if value_bias == "excluded" else z)[
        -1
    ]


def held_out(model: Model, seen: Seen, layer: int, head: int, z: Tensor) -> Tensor:
    """What one head writes of this z: [position, d_model]. A norm after the heads divides by what it does in a run."""
    at, written = Layer(model, layer), z @ w_out_of(model, layer, head)
    if at.after_heads is None:
        return written
    together = seen.z[layer].flatten(-2) @ rows_of(at.out).double() + at.b_out.double()
    return written * gain_of(at.places, at.after_heads) / norm_scale(at.places, at.after_heads, together)


def grid(table: pl.DataFrame, value: str, *keys: str) -> Tensor:
    """A table's column as an array with an axis for each key, in the keys' own order; every cell must be there once."""
    sizes = [table[key].n_unique() for key in keys]
    assert len(table) == np.prod(sizes) == table.select(keys).n_unique()
    return torch.from_numpy(table.sort(keys)[value].to_numpy().copy()).double().reshape(sizes)


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    """At most 1e-4 apart, which is what every measurement promises."""
    assert ours.shape == theirs.shape
    apart = (ours.double() - theirs.double()).abs().max()
    assert apart <= 1e-4, f"{apart:.1e} apart"
