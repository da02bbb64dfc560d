"""How a weight's numbers lie in a GGUF file, and how in transformers' model: what llama.cpp's converter did, undone.

Sources: llama.cpp's converter (the folder `conversion`), of which each layout undoes one step.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """A way in which one weight of a model is stored, as one tensor or as several of one shape."""

    stored: Callable[[Shape], tuple[Shape, ...]]
    """From a weight's shape in the model to the shapes that each of its tensors in the file may have."""
    loaded: Callable[[Sequence[Tensor], Any], Tensor]
    """From the tensors in the file, and the model's configuration, to the weight."""


def _same(shape: Shape) -> tuple[Shape, ...]:
    return (shape,)


def _whole(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "..."]:
    (numbers,) = parts
    return numbers


def _turned(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "..."]:
    (numbers,) = parts
    return numbers.mT if numbers.ndim > 1 else numbers


def _stored_turned(shape: Shape) -> tuple[Shape, ...]:
    return ((*shape[:-2], shape[-1], shape[-2]) if len(shape) > 1 else shape,)


def _less_one(parts: Sequence[Tensor], config: Any) -> Float[Tensor, " width"]:
    (numbers,) = parts
    # In float32, as the converter added it: in a shorter format the numbers near 1 would lose what they are about.
    return numbers.float() - 1


def _halves(n_heads: str) -> Callable[[Sequence[Tensor], Any], Tensor]:
    def loaded(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "out ..."]:
        (numbers,) = parts
        pairs: Tensor = numbers.unflatten(0, (getattr(config, n_heads), -1, 2))
        return pairs.transpose(1, 2).flatten(0, 2)

    return loaded


def _grouped(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "out in"]:
    (numbers,) = parts
    wide = config.new_decoder_architecture or not config.multi_query
    n_groups = config.num_kv_heads if wide else 1
    n_heads = config.num_attention_heads
    heads = numbers.unflatten(0, (n_heads + 2 * n_groups, -1))
    queries = heads[:n_heads].unflatten(0, (n_groups, -1))
    keys, values = heads[n_heads:].unflatten(0, (2, n_groups)).unsqueeze(2)
    return torch.cat([queries, keys, values], dim=1).flatten(0, 2)


def _per_head(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "out ..."]:
    (numbers,) = parts
    heads: Tensor = numbers.unflatten(0, (3, config.n_head, -1))
    return heads.transpose(0, 1).flatten(0, 2)


def _beside(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "expert out in"]:
    return torch.cat([*parts], dim=1)


def _stored_beside(shape: Shape) -> tuple[Shape, ...]:
    return ((shape[0], shape[1] // 2, *shape[2:]),)


def _alternating(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "expert ..."]:
    gate_up = torch.stack([*parts], dim=2).flatten(1, 2)
    return gate_up.mT if gate_up.ndim > 2 else gate_up


def _stored_alternating(shape: Shape) -> tuple[Shape, ...]:
    return ((shape[0], shape[-1] // 2, *shape[1:-1]),)


def _row(parts: Sequence[Tensor], config: Any) -> Float[Tensor, "1 in"]:
    (numbers,) = parts
    return numbers.reshape(1, -1)


AS_IT_IS = Layout(_same, _whole)
TURNED = Layout(_stored_turned, _turned)
"""(out, in) in the file, (in, out) in the model: GPT-2's blocks, gpt-oss's experts."""
LESS_ONE = Layout(_same, _less_one)
"""A norm that multiplies by 1 + weight; the file has the sum."""
HALVES_Q = Layout(_same, _halves("num_attention_heads"))
"""llama.cpp rotates neighbouring coordinates of a Llama's head, transformers those half a head apart."""
HALVES_K = Layout(_same, _halves("num_key_value_heads"))
GROUPED = Layout(_same, _grouped)
"""All queries, all keys, all values in the file; in Falcon's model, group by group."""
PER_HEAD = Layout(_same, _per_head)
"""All queries, all keys, all values in the file; in BLOOM's model, head by head."""
BESIDE = Layout(_stored_beside, _beside)
"""Two stacks of experts' matrices in the file, gate and up; in the model one, the gate's rows first."""
ALTERNATING = Layout(_stored_alternating, _alternating)
"""The same of gpt-oss, which has the columns of gate and up in turn."""
ROW = Layout(lambda shape: (shape, shape[1:]), _row)
"""A matrix of one row, which the converter may write as a vector."""
