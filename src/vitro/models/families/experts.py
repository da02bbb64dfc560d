"""What one expert of a mixture adds, by the checkpoint's own weights; what all add, by its own module."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from vitro.models.block import Experts


def gated_experts(moe: Any) -> Experts:
    """A mixture of gated MLPs, as in Mixtral and Qwen. moe: transformers' module, with a `gate` and `experts`."""
    experts = moe.experts

    def one(normed: Tensor, expert: int) -> Tensor:
        gate, up = linear(normed, experts.gate_up_proj[expert]).chunk(2, dim=-1)
        return linear(experts.act_fn(gate) * up, experts.down_proj[expert])

    return Experts(experts.num_experts, moe.gate.top_k, moe, partial(weighted, moe.gate, one))


def weighted(
    router: Callable[[Tensor], tuple[Tensor, Float[Tensor, "node k"], Int[Tensor, "node k"]]],
    one: Callable[[Tensor, int], Tensor],
    normed: Float[Tensor, "row node d_model"],
    expert: int,
) -> Float[Tensor, "row node d_model"]:
    """What one expert adds to streams. router: gives its logits, the weights of those that it chooses, and which.

    The expert is computed for every stream, chosen or not: to pick them, a GPU would have to wait for the CPU.
    """
    flat = normed.flatten(0, -2)
    _, weights, chosen = router(flat)
    weight = (weights * (chosen == expert)).sum(-1, keepdim=True)
    return (one(flat, expert) * weight).to(normed.dtype).view_as(normed)
