"""Edges the slow way: what a source writes differently, and where in a checkpoint a head's inputs are made."""

from typing import Any

from torch import Tensor

from slow import Seen
from vitro.circuits import Constants, Edge
from vitro.models import Model, Shape


def written(model: Model, seen: Seen, edge: Edge, constants: Constants, prompt: int) -> Tensor:
    """What the source of an edge would write differently: [position, d_model], new minus old."""
    source = edge.source

    def of(values: Tensor) -> Tensor:
        return values[prompt if len(values) > 1 else 0].double()

    if str(source) == "input":
        return of(constants.embed) - seen.resid_pre[0]
    if source.head >= 0:
        new = of(constants.z[source.layer])[:, source.head]
        return (new - seen.z[source.layer][:, source.head]) @ model.w_out(source.layer)[source.head].double()
    return of(constants.mlp_out[source.layer]) - seen.mlp_out[source.layer]


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
