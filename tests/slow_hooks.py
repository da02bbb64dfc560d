"""Edits as plain forward hooks on transformers' own modules."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from places import Layer
from vitro.engine import Edit, Hook
from vitro.models import Model

Change = Callable[[Tensor], Tensor]


def hooks_of(model: Model, edit: Edit, number: int, length: int) -> list[Any]:
    """The handles of the hooks that make an edit on a prompt alone. number: the prompt's."""
    site, layer = edit.site, Layer(model, edit.site.layer)
    values = _new_values(edit, number, length)

    def put(stream: Tensor) -> Tensor:
        new = stream.reshape(length, -1).clone()
        for position, value in values.items():
            new[position] = value if edit.how == "set" else new[position] + value
        return new.reshape(stream.shape)

    if site.hook is Hook.resid_pre:
        return [layer.block.register_forward_pre_hook(argument(put))]
    if site.hook is Hook.resid_post:
        return [layer.block.register_forward_hook(output(put))]
    if site.hook is Hook.resid_mid:
        return _mid_hooks(layer, put)
    if site.hook in (Hook.mlp_out, Hook.attn_out):
        module, factor = layer.mlp_writes if site.hook is Hook.mlp_out else layer.heads_write, layer.places.multiplier
        return [module.register_forward_hook(output(lambda made: put(made * factor) / factor))]
    assert site.head is not None
    if site.hook is Hook.pattern:
        return _pattern_hooks(layer, site.head, values)
    assert site.hook is Hook.z
    mine = slice(site.head * model.shape.d_head, (site.head + 1) * model.shape.d_head)

    def put_head(mixed: Tensor) -> Tensor:
        mixed = mixed.clone()
        mixed[..., mine] = put(mixed[..., mine])
        return mixed

    return [layer.out.register_forward_pre_hook(argument(put_head))]


@contextmanager
def removing(handles: Sequence[Any]) -> Iterator[None]:
    """Takes hooks off again, whatever happens."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def afresh(model: Model) -> Model:
    """The model as if nothing had run before: dynamic rotary angles are kept until a prompt is short enough."""
    if "dynamic" in str(getattr(model.hf.config.get_text_config(), "rope_parameters", None)):
        model.hf(torch.zeros(1, 1, dtype=torch.long, device=model.device))
    return model


def argument(change: Change) -> Any:
    """A hook that changes what a module reads."""
    return lambda module, args: (change(args[0]), *args[1:])


def output(change: Change) -> Any:
    """A hook that changes what a module puts out, or the first thing of several."""

    def hook(module: Any, args: Any, result: Any) -> Any:
        return (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)

    return hook


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


def _mid_hooks(layer: Layer, put: Change) -> list[Any]:
    seen: dict[str, Tensor] = {}
    factor = layer.places.multiplier

    def remember(module: Any, args: tuple[Any, ...]) -> None:
        seen["pre"] = args[0]

    def put_mid(made: Tensor) -> Tensor:
        return (put(seen["pre"] + made * factor) - seen["pre"]) / factor

    return [
        layer.block.register_forward_pre_hook(remember),
        layer.heads_write.register_forward_hook(output(put_mid)),
    ]


def _pattern_hooks(layer: Layer, head: int, values: dict[int, Tensor]) -> list[Any]:
    shape, seen = layer.shape, {}

    def remember(module: Any, args: Any, result: Tensor) -> None:
        v = result[0, :, layer.part("v", head)]
        limit = layer.places.limit
        seen["v"] = v.clone() if limit is None else v.clamp(-limit, limit)

    def put(mixed: Tensor) -> Tensor:
        mixed = mixed.clone()
        for position, weights in values.items():
            total = sum(float(weight) * seen["v"][at] for at, weight in enumerate(weights) if at <= position)
            mixed[0, position, head * shape.d_head : (head + 1) * shape.d_head] = torch.as_tensor(total)
        return mixed

    return [
        layer.projected("v").register_forward_hook(remember),
        layer.out.register_forward_pre_hook(argument(put)),
    ]
