"""The slow, obvious way: one full Hugging Face pass per prompt and variant, with plain forward hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from vitro.engine import Edit, Hook, Variant
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
    with torch.no_grad():
        return torch.stack(
            [
                torch.stack([_one(model, list(prompt), i, variant) for i, prompt in enumerate(prompts)])
                for variant in variants
            ]
        )


def _one(model: Model, prompt: list[int], number: int, variant: Variant) -> Tensor:
    handles = []
    try:
        for edit in sorted(variant, key=lambda edit: (edit.site.layer, edit.site.hook, edit.how == "add")):
            handles += _hooks(model, edit, number, len(prompt))
        logits: Tensor = model.hf(torch.tensor([prompt], device=model.device)).logits[0, -1]
        return logits.float()
    finally:
        for handle in handles:
            handle.remove()


def _new_values(edit: Edit, number: int, length: int) -> dict[int, Tensor]:
    """Position -> value, by the words of Edit's docstring."""
    if edit.prompts is not None and number not in edit.prompts:
        return {}
    value = edit.value
    if value.ndim == 3:
        value = value[number if value.shape[0] > 1 else 0]
    if value.ndim == 1:
        value = value[None]
    found = {}
    positions: Any = edit.positions
    if positions and isinstance(positions[0], tuple):
        positions = positions[number]
    for position in range(length):
        if positions is None or position in positions or position - length in positions:
            found[position] = value[position if value.shape[0] > 1 else 0]
    return found


def _hooks(model: Model, edit: Edit, number: int, length: int) -> list[Any]:
    site = edit.site
    values = _new_values(edit, number, length)
    block, attention, out, mlp = parts_of(model, site.layer)
    d_head = model.shape.d_head

    def put(stream: Tensor) -> Tensor:
        stream = stream.clone()
        for position, value in values.items():
            stream[0, position] = value if edit.how == "set" else stream[0, position] + value
        return stream

    def first_argument(change: Callable[[Tensor], Tensor]) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (change(args[0]), *args[1:])

        return hook

    def output(change: Callable[[Tensor], Tensor]) -> Any:
        def hook(module: Any, args: Any, result: Any) -> Any:
            return (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)

        return hook

    if site.hook is Hook.resid_pre:
        return [block.register_forward_pre_hook(first_argument(put))]
    if site.hook is Hook.resid_post:
        return [block.register_forward_hook(output(put))]
    if site.hook is Hook.mlp_out:
        return [mlp.register_forward_hook(output(put))]
    if site.hook is Hook.attn_out:
        return [attention.register_forward_hook(output(put))]
    if site.hook is Hook.z:
        assert site.head is not None
        mine = slice(site.head * d_head, (site.head + 1) * d_head)

        def put_head(mixed: Tensor) -> Tensor:
            mixed = mixed.clone()
            mixed[..., mine] = put(mixed[..., mine])
            return mixed

        return [out.register_forward_pre_hook(first_argument(put_head))]
    if site.hook is Hook.resid_mid:
        seen: dict[str, Tensor] = {}

        def remember(module: Any, args: tuple[Any, ...]) -> None:
            seen["pre"] = args[0]

        def put_mid(attn_out: Tensor) -> Tensor:
            return put(seen["pre"] + attn_out) - seen["pre"]

        return [block.register_forward_pre_hook(remember), attention.register_forward_hook(output(put_mid))]
    assert site.hook is Hook.pattern
    assert site.head is not None
    return _pattern_hooks(model, attention, out, site.head, values)


def _pattern_hooks(model: Model, attention: Any, out: Any, head: int, values: dict[int, Tensor]) -> list[Any]:
    shape, seen = model.shape, {}

    def remember(module: Any, args: Any, result: Tensor) -> None:
        seen["v"] = result

    def put(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = args[0].clone()
        kind = type(model).__name__
        if kind == "GPT2":
            v = seen["v"][0, :, 2 * shape.d_model :].unflatten(-1, (shape.n_heads, shape.d_head))[:, head]
        elif kind == "GPTNeoX":
            v = seen["v"][0].unflatten(-1, (shape.n_heads, 3, shape.d_head))[:, head, 2]
        else:
            group = head // (shape.n_heads // shape.n_kv_heads)
            v = seen["v"][0].unflatten(-1, (shape.n_kv_heads, shape.d_head))[:, group]
        for position, weights in values.items():
            total = sum(float(weight) * v[at] for at, weight in enumerate(weights) if at <= position)
            mixed[0, position, head * shape.d_head : (head + 1) * shape.d_head] = total
        return (mixed, *args[1:])

    source = getattr(attention, {"GPT2": "c_attn", "GPTNeoX": "query_key_value"}.get(type(model).__name__, "v_proj"))
    return [source.register_forward_hook(remember), out.register_forward_pre_hook(put)]


def parts_of(model: Model, layer: int) -> tuple[Any, Any, Any, Any]:
    """block, attention, the module that holds W_O, and the MLP."""
    kind, hf = type(model).__name__, model.hf
    if kind == "GPT2":
        block = hf.transformer.h[layer]
        return block, block.attn, block.attn.c_proj, block.mlp
    if kind == "GPTNeoX":
        block = hf.gpt_neox.layers[layer]
        return block, block.attention, block.attention.dense, block.mlp
    block = hf.model.layers[layer]
    return block, block.self_attn, block.self_attn.o_proj, block.mlp


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
    shape = model.shape
    found: dict[str, list[Any]] = {
        name: [None] * shape.n_layers for name in ("resid_pre", "attn_out", "mlp_out", "resid_post", "z")
    }
    handles = []

    def argument(name: str, layer: int) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...]) -> None:
            found[name][layer] = args[0][0].double()

        return hook

    def result(name: str, layer: int) -> Callable[..., None]:
        def hook(module: Any, args: Any, out: Any) -> None:
            found[name][layer] = (out[0] if isinstance(out, tuple) else out)[0].double()

        return hook

    try:
        for edit in variant:
            handles += _hooks(model, edit, 0, len(prompt))
        for layer in range(shape.n_layers):
            block, attention, out, mlp = parts_of(model, layer)
            handles += [
                block.register_forward_pre_hook(argument("resid_pre", layer)),
                attention.register_forward_hook(result("attn_out", layer)),
                mlp.register_forward_hook(result("mlp_out", layer)),
                block.register_forward_hook(result("resid_post", layer)),
                out.register_forward_pre_hook(argument("z", layer)),
            ]
        with torch.no_grad(), _eager(model):
            run = model.hf(torch.tensor([list(prompt)], device=model.device), output_attentions=True)
    finally:
        for handle in handles:
            handle.remove()
    pre = torch.stack(found["resid_pre"])
    return Seen(
        resid_pre=pre,
        resid_mid=pre + torch.stack(found["attn_out"]),
        resid_post=torch.stack(found["resid_post"]),
        mlp_out=torch.stack(found["mlp_out"]),
        z=torch.stack(found["z"]).unflatten(-1, (shape.n_heads, shape.d_head)),
        attention=torch.cat(run.attentions).double(),
        logits=run.logits[0, -1].double(),
    )


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
    norm = final_norm_of(model)
    vectors = vectors.double()
    if isinstance(norm, torch.nn.LayerNorm):
        vectors = vectors - vectors.mean(-1, keepdim=True)
        normed = vectors / (vectors.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        normed = normed * norm.weight.double() + norm.bias.double()
    else:
        normed = vectors / (vectors.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()
        normed = normed * norm.weight.double()
    return normed @ unembedding_of(model).double()


def final_norm_of(model: Model) -> Any:
    """The norm after the last block."""
    body = {"GPT2": "transformer.ln_f", "GPTNeoX": "gpt_neox.final_layer_norm"}
    return model.hf.get_submodule(body.get(type(model).__name__, "model.norm"))


def unembedding_of(model: Model) -> Tensor:
    """W_U: [d_model, d_vocab]."""
    weight: Tensor = model.hf.lm_head.weight
    return weight.T


def w_out_of(model: Model, layer: int, head: int) -> Tensor:
    """One head's own slice of W_O: [d_head, d_model]."""
    _, _, out, _ = parts_of(model, layer)
    weight: Tensor = out.weight if type(model).__name__ == "GPT2" else out.weight.T
    return weight[head * model.shape.d_head : (head + 1) * model.shape.d_head].double()


def value_bias_of(model: Model, layer: int, head: int) -> Tensor:
    """One head's values where the norm before it puts out its bias alone, part of every stream's values: [d_head].

    An RMSNorm has no bias, so there it is b_V.
    """
    shape, kind = model.shape, type(model).__name__
    block, attention, _, _ = parts_of(model, layer)
    if kind == "GPT2":
        weight, bias, norm = attention.c_attn.weight, attention.c_attn.bias, block.ln_1
        start = 2 * shape.d_model + head * shape.d_head
    elif kind == "GPTNeoX":
        made = attention.query_key_value
        weight, bias, norm, start = made.weight.T, made.bias, block.input_layernorm, (3 * head + 2) * shape.d_head
    else:
        made, start = attention.v_proj, head // (shape.n_heads // shape.n_kv_heads) * shape.d_head
        weight, bias, norm = made.weight.T, made.bias, None
    mine = slice(start, start + shape.d_head)
    value = torch.zeros(shape.d_head).double() if bias is None else bias[mine].double()
    return value if norm is None else value + norm.bias.double() @ weight[:, mine].double()


def slow_head_out(
    model: Model, seen: Seen, layer: int, head: int, value_bias: Literal["excluded", "included"] = "excluded"
) -> Tensor:
    """What one head writes to the final stream: [d_model]."""
    z = seen.z[layer, -1, head]
    return (z - value_bias_of(model, layer, head) if value_bias == "excluded" else z) @ w_out_of(model, layer, head)


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
