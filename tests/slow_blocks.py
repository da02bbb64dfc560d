"""Blocks of transformers' own models, each run again by itself while its heads or its MLP read other streams."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from places import Layer
from slow_hooks import afresh, argument, output, removing
from vitro.models import Model


class Blocks:
    """A model's blocks as it runs some prompts of one length. Streams are [row, position, d_model]."""

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]]) -> None:
        self.model, self._calls = afresh(model), list[tuple[Any, Any]]()
        self._size = len(prompts), len(prompts[0])
        self.layers = [Layer(model, number) for number in range(model.shape.n_layers)]

        def keep(module: Any, args: Any, kwargs: Any) -> None:
            self._calls.append((args, kwargs))

        handles = [layer.block.register_forward_pre_hook(keep, with_kwargs=True) for layer in self.layers]
        with torch.no_grad(), removing(handles):
            model.hf(torch.tensor([list(prompt) for prompt in prompts], device=model.device), use_cache=False)

    @torch.no_grad()
    def z(self, number: int, streams: Mapping[tuple[int, str], Tensor]) -> Tensor:
        """Every head's z, [row, position, head, d_head], where these heads make their q, k or v of these streams.

        Heads that share keys and values must not be given different streams for them.
        """
        layer = self.layers[number]
        return self._z(number, {key: self._made(layer, *key, stream) for key, stream in streams.items()})

    @torch.no_grad()
    def attention(self, number: int, head: int, **streams: Tensor) -> Tensor:
        """A head's weights, [row, query, key], where its q or its k is made of these streams.

        Where values are an axis for each key, weights are what is mixed of them.
        """
        layer, d_head, (n_rows, length) = self.layers[number], self.model.shape.d_head, self._size
        made = {(head, name): self._made(layer, head, name, stream) for name, stream in streams.items()}
        size = min(layer.places.limit or 1.0, 1.0)
        parts = []
        for first in range(0, length, d_head):
            axes = torch.eye(length, dtype=self.model.dtype)[:, first : first + d_head] * size
            axes = torch.nn.functional.pad(axes, (0, d_head - axes.shape[1])).expand(n_rows, -1, -1)
            parts.append(self._z(number, {**made, (head, "v"): axes})[:, :, head] / size)
        return torch.cat(parts, dim=-1)[..., :length]

    @torch.no_grad()
    def values(self, number: int, head: int, stream: Tensor) -> Tensor:
        """A head's values, made of this stream: [row, position, d_head]."""
        layer = self.layers[number]
        made, limit = self._made(layer, head, "v", stream), layer.places.limit
        return made if limit is None else made.clamp(-limit, limit)

    def _made(self, layer: Layer, head: int, name: str, stream: Tensor) -> Tensor:
        made: Tensor = layer.project(name, stream.to(self.model.dtype))[..., layer.part(name, head)]
        return made

    def _z(self, number: int, made: Mapping[tuple[int, str], Tensor]) -> Tensor:
        layer, new = self.layers[number], dict[Any, list[tuple[slice, Tensor]]]()
        for (head, name), value in made.items():
            new.setdefault(layer.projected(name), []).append((layer.part(name, head), value))
        handles = [module.register_forward_hook(output(splicing(parts))) for module, parts in new.items()]
        handles.append(layer.out.register_forward_pre_hook(_stop))
        z: Tensor = self._until_stopped(number, handles).unflatten(-1, (self.model.shape.n_heads, -1))
        return z

    @torch.no_grad()
    def mlp_out(self, number: int, stream: Tensor) -> Tensor:
        """What the MLP writes to the stream where it reads this one."""
        layer, stream = self.layers[number], stream.to(self.model.dtype)
        normed = stream if layer.mlp_norm is None else layer.mlp_norm(stream)
        handles = [
            layer.mlp.register_forward_pre_hook(argument(lambda old: normed.reshape(old.shape))),
            layer.mlp_writes.register_forward_hook(_stop),
        ]
        return self._until_stopped(number, handles).reshape(stream.shape) * layer.places.multiplier

    def _until_stopped(self, number: int, handles: Sequence[Any]) -> Tensor:
        args, kwargs = self._calls[number]
        with removing(handles):
            try:
                self.layers[number].block(*args, **kwargs)
            except _Stopped as stopped:
                return stopped.seen
        raise AssertionError("the block did not come to where it was to be stopped")


class _Stopped(Exception):  # noqa: N818
    def __init__(self, seen: Tensor) -> None:
        self.seen = seen


def _stop(module: Any, args: Any, result: Any = None) -> None:
    """A hook that ends the run with what a module reads, or with what it puts out."""
    seen = args[0] if result is None else result
    raise _Stopped(seen[0] if isinstance(seen, tuple) else seen)


def splicing(parts: Sequence[tuple[slice, Tensor]]) -> Any:
    """Replaces parts of the last axis."""

    def splice(result: Tensor) -> Tensor:
        result = result.clone()
        for part, new in parts:
            result[..., part] = new
        return result

    return splice
