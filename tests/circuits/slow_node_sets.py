"""Sets of nodes within a model by plain hooks on its own modules: what is absent puts out its ablated output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from places import Layer, places_of
from slow import value_bias_of
from slow_hooks import argument, output, removing
from vitro.models import Model
from vitro.tasks import Questions


@dataclass(frozen=True)
class Outputs:
    """What the parts of a model put out, position by position; the first axis is 1 where all prompts agree."""

    embed: Float[Tensor, "prompt position d_model"]
    z: Float[Tensor, "layer prompt position head d_head"]
    mlp_out: Float[Tensor, "layer prompt position d_model"]


def slow_outputs(model: Model, prompts: Sequence[Sequence[int]]) -> Outputs:
    """What they put out on prompts of one length: the model's own run, watched."""
    shape, factor = model.shape, places_of(model).multiplier
    layers = [Layer(model, number) for number in range(shape.n_layers)]
    seen: dict[str, list[Tensor]] = {"embed": [], "z": [], "mlp_out": []}

    def keep(name: str) -> Any:
        def kept(read: Tensor) -> Tensor:
            seen[name].append(read.reshape(len(prompts), len(prompts[0]), -1).clone())
            return read

        return kept

    handles = [layers[0].block.register_forward_pre_hook(argument(keep("embed")))]
    for layer in layers:
        handles += [
            layer.out.register_forward_pre_hook(argument(keep("z"))),
            layer.mlp_writes.register_forward_hook(output(keep("mlp_out"))),
        ]
    _final_logits(model, torch.tensor(prompts), handles)
    z = torch.stack(seen["z"]).unflatten(-1, (shape.n_heads, shape.d_head))
    return Outputs(seen["embed"][0], z, torch.stack(seen["mlp_out"]) * factor)


def slow_mean(model: Model, sentences: Sequence[Sequence[int]]) -> Outputs:
    """Their means over sentences."""
    outputs = slow_outputs(model, sentences)
    return Outputs(
        outputs.embed.mean(0, keepdim=True), outputs.z.mean(1, keepdim=True), outputs.mlp_out.mean(1, keepdim=True)
    )


def slow_zero(model: Model, length: int) -> Outputs:
    """Nothing, and of the input its positions alone, in a GPT-2."""
    layers, heads = range(model.shape.n_layers), range(model.shape.n_heads)
    biases = [torch.stack([value_bias_of(model, layer, head) for head in heads]).float() for layer in layers]
    nothing = torch.zeros(len(layers), 1, length, model.shape.d_model)
    z = torch.stack(biases)[:, None, None].expand(-1, 1, length, -1, -1)
    return Outputs(model.hf.transformer.wpe.weight[None, :length], z, nothing)


def slow_node_sets(
    model: Model, prompts: Sequence[Sequence[int]], inside: Bool[Tensor, "set source"], absent: Outputs
) -> Float[Tensor, "set prompt d_vocab"]:
    """Final logits of sets of nodes on prompts of one length; nodes in the order of `Graph.sources`."""
    shape, n_sets, n_prompts = model.shape, len(inside), len(prompts)
    per_layer = shape.n_heads + 1
    rows, factor = inside.repeat_interleave(n_prompts, dim=0), places_of(model).multiplier

    def put(value: Tensor, absent: Tensor, keep: Tensor) -> Tensor:
        """keep: [row, ...], with as many axes as the value."""
        every = absent.expand(n_prompts, *absent.shape[1:]).repeat(n_sets, *[1] * (absent.ndim - 1))
        return torch.where(keep, value, every)

    def input_hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (put(args[0], absent.embed, rows[:, :1, None]), *args[1:])

    def head_hook(layer: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            keep = rows[:, 1 + layer * per_layer :][:, : shape.n_heads]
            z = put(args[0].unflatten(-1, (shape.n_heads, -1)), absent.z[layer], keep[:, None, :, None])
            return (z.flatten(-2), *args[1:])

        return hook

    def mlp_hook(layer: int) -> Any:
        def put_mlp(out: Tensor) -> Tensor:
            made = out.reshape(len(rows), len(prompts[0]), -1) * factor
            new = put(made, absent.mlp_out[layer], rows[:, (layer + 1) * per_layer][:, None, None])
            return new.reshape(out.shape) / factor

        return output(put_mlp)

    handles = [Layer(model, 0).block.register_forward_pre_hook(input_hook)]
    for number in range(shape.n_layers):
        layer = Layer(model, number)
        handles += [
            layer.out.register_forward_pre_hook(head_hook(number)),
            layer.mlp_writes.register_forward_hook(mlp_hook(number)),
        ]
    logits = _final_logits(model, torch.tensor(prompts).repeat(n_sets, 1), handles)
    return logits.reshape(n_sets, n_prompts, -1)


def slow_answers(
    questions: Questions, logits: Float[Tensor, "set prompt d_vocab"]
) -> tuple[Float[Tensor, " set"], Int[Tensor, " set"]]:
    """Of each set, the mean logit of the right answer above the others (`margin`, or `logit_diff` where there is no
    list), and how many prompts it answers right.
    """
    values, leads = [], []
    for row, ((right,), wrong) in enumerate(zip(questions.right, questions.wrong, strict=True)):
        others = [token for token in (questions.among or wrong) if token != right]
        values.append(logits[:, row, right] - logits[:, row, others].mean(1))
        leads.append(logits[:, row, right] > logits[:, row, others].amax(1))
    return torch.stack(values).mean(0), torch.stack(leads).sum(0)


def _final_logits(model: Model, tokens: Tensor, handles: Sequence[Any]) -> Tensor:
    """Of one pass, after which the hooks are removed."""
    with torch.no_grad(), removing(handles):
        logits: Tensor = model.hf(tokens, logits_to_keep=1).logits[:, -1]
    return logits
