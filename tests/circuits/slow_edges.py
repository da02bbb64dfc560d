"""Edges the slow way: what a source writes differently, one edge cut by plain hooks, and a reader's own gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from places import Layer, places_of, rows_of
from slow import Seen, slow_logits, slow_run, w_out_of
from slow_blocks import Blocks
from slow_hooks import argument, output, removing
from vitro.circuits import Constants, Edge
from vitro.engine import Edit, mlp_out, resid_post, z
from vitro.models import Model


def written(model: Model, seen: Seen, edge: Edge, constants: Constants, prompt: int) -> Tensor:
    """What the source of an edge would write differently: [position, d_model], new minus old."""
    source = edge.source

    def of(values: Tensor) -> Tensor:
        return values[prompt if len(values) > 1 else 0][: seen.resid_pre.shape[1]].double()

    if str(source) == "input":
        return of(constants.embed) - seen.resid_pre[0]
    if source.head < 0:
        return of(constants.mlp_out[source.layer]) - seen.mlp_out[source.layer]
    layer, z = Layer(model, source.layer), seen.z[source.layer]
    change = of(constants.z[source.layer])[:, source.head] - z[:, source.head]
    if layer.after_heads is None:
        return change @ w_out_of(model, source.layer, source.head)
    together = z.flatten(-2) @ rows_of(layer.out).double() + layer.b_out.double()
    return layer.heads_out(together + change @ layer.w_out(source.head).double()) - layer.heads_out(together)


def slow_counterfactual(model: Model, partners: Sequence[Sequence[int]]) -> Constants:
    """What hooks see on each partner; NaN beyond its end, so that whatever read it would show."""
    seen = [slow_run(model, partner) for partner in partners]
    longest = max(map(len, partners))

    def padded(values: Sequence[Tensor], axis: int) -> Tensor:
        """The prompts' values side by side, their axis of positions filled up."""
        filled = []
        for value in values:
            size = list(value.shape)
            size[axis] = longest - size[axis]
            filled.append(torch.cat([value, value.new_full(size, torch.nan)], dim=axis))
        return torch.stack(filled, dim=axis).float()

    return Constants(
        padded([run.resid_pre[0] for run in seen], 0),
        padded([run.z for run in seen], 1),
        padded([run.mlp_out for run in seen], 1),
    )


def slow_cut(model: Model, tokens: Sequence[int], prompt: int, edge: Edge, constants: Constants, since: int) -> Tensor:
    """Final logits of one prompt with one edge cut. prompt: its number, for constants of its own."""
    seen = slow_run(model, tokens)
    change = written(model, seen, edge, constants, prompt).expand(len(tokens), -1).float().clone()
    change[:since] = 0.0
    layer = edge.reader.layer
    if str(edge.reader) == "logits":
        edit = Edit(resid_post(model.shape.n_layers - 1), change, how="add")
    elif edge.reader.head < 0:
        stream = seen.resid_pre if places_of(model).parallel else seen.resid_mid
        edit = Edit(mlp_out(layer), Blocks(model, [tokens]).mlp_out(layer, stream[layer].float()[None] + change)[0])
    else:
        edit = Edit(z(layer, edge.reader.head), slow_z(model, edge, seen.resid_pre[layer].float() + change, tokens))
    return slow_logits(model, [tokens], [(edit,)])[0, 0]


def slow_z(model: Model, edge: Edge, stream: Tensor, tokens: Sequence[int]) -> Tensor:
    """A head's z where its projection puts out one part that was made from another stream."""
    head = edge.reader.head
    z_there = Blocks(model, [tokens]).z(edge.reader.layer, {(head, str(edge.input)): stream[None]})
    return z_there[0, :, head]


def slow_gradient(model: Model, edge: Edge, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """d value / d (the stream that a reader reads): [position, d_model].

    inputs: the token embeddings, [1, position, d_model]; value: a number made of the final logits, [d_vocab].
    """
    if edge.reader.head >= 0:
        return _gradient_of_head(model, edge, inputs, value)
    if str(edge.reader) != "logits":
        return _gradient_of_mlp(model, edge.reader.layer, inputs, value)
    seen: list[Tensor] = []

    def keep(stream: Tensor) -> Tensor:
        seen.append(stream)
        return stream

    handle = Layer(model, model.shape.n_layers - 1).block.register_forward_hook(output(keep))
    gradient: Tensor = torch.autograd.grad(value(_logits(model, inputs, [handle])), seen[0])[0][0]
    return gradient


def _gradient_of_mlp(model: Model, number: int, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """Through a copy of the normed stream that the MLP alone reads, and then through the norm."""
    layer = Layer(model, number)
    norm = layer.mlp_norm or torch.nn.Identity()
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], Tensor]:
        def kept(read: Tensor) -> Tensor:
            seen[name] = read.clone()
            return seen[name]

        return kept

    reads = layer.mlp_norm or layer.mlp
    handles = [
        reads.register_forward_pre_hook(argument(keep("stream"))),
        layer.mlp.register_forward_pre_hook(argument(keep("normed"))),
    ]
    at_normed = torch.autograd.grad(value(_logits(model, inputs, handles)), seen["normed"])[0]
    stream = seen["stream"].detach().requires_grad_()
    gradient: Tensor = torch.autograd.grad(norm(stream), stream, at_normed)[0].reshape(inputs.shape)[0]
    return gradient


def _gradient_of_head(model: Model, edge: Edge, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """Through one head's z, so that heads which share its keys and values go on as they were."""
    head, name, shape = edge.reader.head, str(edge.input), model.shape
    layer = Layer(model, edge.reader.layer)
    own = slice(head * shape.d_head, (head + 1) * shape.d_head)
    seen: dict[str, Tensor] = {}

    def leaf(name: str) -> Callable[[Tensor], Tensor]:
        def made(read: Tensor) -> Tensor:
            seen[name] = read.detach().requires_grad_()
            return seen[name]

        return made

    handles = [
        layer.block.register_forward_pre_hook(argument(leaf("stream"))),
        layer.out.register_forward_pre_hook(argument(leaf("z"))),
    ]
    at_z = torch.autograd.grad(value(_logits(model, inputs, handles)), seen["z"])[0][..., own]

    part = layer.part(name, head)
    new = layer.project(name, seen["stream"])[..., part]

    def splice(made: Tensor) -> Tensor:
        return torch.cat([made[..., : part.start], new, made[..., part.stop :]], dim=-1)

    def keep_z(module: Any, args: Any) -> None:
        seen["z"] = args[0]

    handles = [
        layer.projected(name).register_forward_hook(output(splice)),
        layer.out.register_forward_pre_hook(keep_z),
    ]
    _logits(model, inputs, handles)
    gradient: Tensor = torch.autograd.grad(seen["z"][..., own], seen["stream"], at_z)[0][0]
    return gradient


def _logits(model: Model, inputs: Tensor, handles: Sequence[Any]) -> Tensor:
    """Final logits of a pass under hooks, which are taken off again."""
    with removing(handles):
        logits: Tensor = model.hf(inputs_embeds=inputs).logits[0, -1]
    return logits
