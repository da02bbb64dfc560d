"""Edges the slow way: what a source writes differently, one edge cut by plain hooks, and a reader's own gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from slow import Seen, parts_of, slow_logits, slow_run
from vitro.circuits import Constants, Edge
from vitro.engine import Edit, mlp_out, resid_post, z
from vitro.models import Model, Shape


def written(model: Model, seen: Seen, edge: Edge, constants: Constants, prompt: int) -> Tensor:
    """What the source of an edge would write differently: [position, d_model], new minus old."""
    source = edge.source

    def of(values: Tensor) -> Tensor:
        return values[prompt if len(values) > 1 else 0][: seen.resid_pre.shape[1]].double()

    if str(source) == "input":
        return of(constants.embed) - seen.resid_pre[0]
    if source.head >= 0:
        new = of(constants.z[source.layer])[:, source.head]
        return (new - seen.z[source.layer][:, source.head]) @ model.w_out(source.layer)[source.head].double()
    return of(constants.mlp_out[source.layer]) - seen.mlp_out[source.layer]


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


def projection(family: str, attention: Any, shape: Shape, number: int, name: str) -> tuple[Any, slice]:
    """The module that makes a head's queries, keys or values, and where among its outputs they lie."""
    which = "qkv".index(name)
    if family == "GPT2":
        module, start = attention.c_attn, which * shape.d_model + number * shape.d_head
    elif family == "GPTNeoX":
        module, start = attention.query_key_value, (3 * number + which) * shape.d_head
    else:
        module = getattr(attention, f"{name}_proj")
        start = (number if name == "q" else number * shape.n_kv_heads // shape.n_heads) * shape.d_head
    return module, slice(start, start + shape.d_head)


def slow_cut(model: Model, tokens: Sequence[int], prompt: int, edge: Edge, constants: Constants, since: int) -> Tensor:
    """Final logits of one prompt with one edge cut. prompt: its number, for constants of its own."""
    seen = slow_run(model, tokens)
    change = written(model, seen, edge, constants, prompt).expand(len(tokens), -1).float().clone()
    change[:since] = 0.0
    layer, shape = edge.reader.layer, model.shape
    if str(edge.reader) == "logits":
        edit = Edit(resid_post(shape.n_layers - 1), change, how="add")
    elif edge.reader.head < 0:
        stream = seen.resid_pre if model.parallel else seen.resid_mid
        edit = Edit(mlp_out(layer), model.mlp_out(layer, stream[layer].float()[None] + change)[0])
    else:
        edit = Edit(z(layer, edge.reader.head), slow_z(model, edge, seen.resid_pre[layer].float() + change, tokens))
    return slow_logits(model, [tokens], [(edit,)])[0, 0]


def slow_z(model: Model, edge: Edge, stream: Tensor, tokens: Sequence[int]) -> Tensor:
    """A head's z in a plain pass whose projection is made to put out one part that was made from another stream."""
    layer, number, shape = edge.reader.layer, edge.reader.head, model.shape
    _, attention, out, _ = parts_of(model, layer)
    project, part = projection(type(model).__name__, attention, shape, number, str(edge.input))
    new = project(model.head_norm(layer)(stream[None]))[..., part]
    z_inputs: list[Tensor] = []

    def splice(module: Any, args: Any, result: Tensor) -> Tensor:
        result = result.clone()
        result[..., part] = new
        return result

    handles = [
        project.register_forward_hook(splice),
        out.register_forward_pre_hook(lambda module, args: z_inputs.append(args[0][0])),
    ]
    with torch.no_grad():
        model.hf(torch.tensor([list(tokens)]))
    for handle in handles:
        handle.remove()
    z_there: Tensor = z_inputs[0].unflatten(-1, (shape.n_heads, shape.d_head))[:, number]
    return z_there


def slow_gradient(model: Model, edge: Edge, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """d value / d (the stream that a reader reads): [position, d_model].

    inputs: the token embeddings, [1, position, d_model]; value: a number made of the final logits, [d_vocab].
    """
    block, _, _, _ = parts_of(model, min(edge.reader.layer, model.shape.n_layers - 1))
    if edge.reader.head >= 0:
        return _gradient_of_head(model, edge, inputs, value)
    seen: list[Tensor] = []
    if str(edge.reader) == "logits":

        def keep_stream(module: Any, args: Any, result: Any) -> None:
            seen.append(result[0] if isinstance(result, tuple) else result)

        handles = [block.register_forward_hook(keep_stream)]
    else:
        norm = block.ln_2 if type(model).__name__ == "GPT2" else block.post_attention_layernorm

        def read(module: Any, args: Any) -> tuple[Tensor]:
            # A copy that this MLP alone reads.
            seen.append(args[0].clone())
            return (seen[0],)

        handles = [norm.register_forward_pre_hook(read)]
    result = value(_logits(model, inputs, handles))
    gradient: Tensor = torch.autograd.grad(result, seen[0])[0][0]
    return gradient


def _gradient_of_head(model: Model, edge: Edge, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """Through one head's z, so that heads which share its keys and values go on as they were."""
    layer, number, shape = edge.reader.layer, edge.reader.head, model.shape
    block, attention, out, _ = parts_of(model, layer)
    project, part = projection(type(model).__name__, attention, shape, number, str(edge.input))
    own = slice(number * shape.d_head, (number + 1) * shape.d_head)
    seen: dict[str, Tensor] = {}

    def leaf(name: str) -> Callable[..., tuple[Tensor, ...]]:
        def hook(module: Any, args: Any) -> tuple[Tensor, ...]:
            seen[name] = args[0].detach().requires_grad_()
            return (seen[name], *args[1:])

        return hook

    handles = [block.register_forward_pre_hook(leaf("stream")), out.register_forward_pre_hook(leaf("z"))]
    at_z = torch.autograd.grad(value(_logits(model, inputs, handles)), seen["z"])[0][..., own]

    new = project(model.head_norm(layer)(seen["stream"]))[..., part]

    def splice(module: Any, args: Any, result: Tensor) -> Tensor:
        return torch.cat([result[..., : part.start], new, result[..., part.stop :]], dim=-1)

    def keep_z(module: Any, args: Any) -> None:
        seen["z"] = args[0]

    _logits(model, inputs, [project.register_forward_hook(splice), out.register_forward_pre_hook(keep_z)])
    gradient: Tensor = torch.autograd.grad(seen["z"][..., own], seen["stream"], at_z)[0][0]
    return gradient


def _logits(model: Model, inputs: Tensor, handles: Sequence[Any]) -> Tensor:
    """Final logits of a pass under hooks, which are taken off again."""
    try:
        logits: Tensor = model.hf(inputs_embeds=inputs).logits[0, -1]
        return logits
    finally:
        for handle in handles:
            handle.remove()
