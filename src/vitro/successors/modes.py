"""Whether a head turns a cycle of words in one plane: how M = W_V W_O maps each Fourier mode of the cycle.

Words of a cycle often lie near a circle, which lies in the plane of one mode. M may turn that plane and nothing else.
The k-th mode of vectors v_0 .. v_(n-1) is the complex vector `v^_k = sum over i of v_i exp(-2 pi i k i / n)`, k = 1 ..
floor((n-1)/2); its real and its imaginary part span a plane of the stream, in which the cycle goes round k times. M
maps the words x to y = x M, and so y^_k = x^_k M. If it takes every word to the next word's target t (x itself, or the
unembedding vectors), y_i = t_(i+1), it turns the k-th mode by k / n of a full turn: `y^_k = exp(2 pi i k / n) t^_k`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from vitro.models import Model
from vitro.successors.orders import cyclic_orders, p_values
from vitro.successors.scores import effective_embedding, spoken_by
from vitro.successors.sets import Known

Space = Literal["input", "output"]
"""Which vectors span the planes: the words as M reads them, or the words' unembedding vectors."""
_NOTHING = 1e-12
"""A mode with less than this share of its vectors' variance is rounding error."""


@dataclass(frozen=True)
class Mode:
    """How M maps the k-th mode, k = `mode`. Vectors are rows: x the words, y = x M, t the targets, all centred."""

    space: Space
    """input: t = x, so the question is whether M turns a plane. output: t is the unembedding, so the question is
    whether M takes one plane to another, one step on."""
    mode: int
    variance: float
    """`2 |t^_k|^2 / sum over j = 1 .. n-1 of |t^_j|^2`: the mode's share of the targets' variance, 2 / (n - 1) on
    average over all orders."""
    written: float
    """The same for y: the mode's share of what M writes for the cycle."""
    stays: float
    """`|y^_k P|^2 / |y^_k|^2`, P the projection on the plane of t^_k: the share of what M writes for the mode that
    lies in that plane. About 2 / d_model for a random M."""
    turned: float
    """How much of that share is t^_k turned and scaled: `|u|^2 / stays` with the coherency
    `u = <y^_k, t^_k> / (|y^_k| |t^_k|)`. 1 for a turn, 0 for a reflection, 1/2 on average for a random map of the plane
    of a circle."""
    advance: float
    """How many words it turns by: the angle of u over 2 pi k / n, from -n / 2k to n / 2k. 0 for a copy of the word, 1
    for the next word, and n / 2k either way for the word's opposite."""
    margin: float
    """`r(1) - max of r(j) over the other turns`, where `r(j) = cos(y^_k, exp(2 pi i k j / n) t^_k)` is how well what M
    writes fits the targets j words on. It is above 0 only where one word on fits best, so never for a copy."""
    p: float
    """The share of the cyclic orders of the same words (all, or 10,000 drawn) with at least this margin."""


def modes(
    x: Float[Tensor, "head word d_model"],
    w_value: Float[Tensor, "head d_model d_head"],
    w_out: Float[Tensor, "head d_head d_model"],
    unembed: Float[Tensor, "word d_model"],
    seed: int = 0,
) -> list[tuple[Mode, ...]]:
    """How each head maps the Fourier modes of a cycle, in both spaces.

    x: the words' vectors in order, as each head reads them. unembed: the words' unembedding vectors. Modes that the
    targets or M's output do not have are left out. A head that copies turns every plane by 0 words:

    >>> import torch
    >>> angles = torch.arange(7) * torch.pi * 2 / 7
    >>> circle, eye = torch.stack([angles.cos(), angles.sin()], dim=1), torch.eye(2)
    >>> ((mode, _),) = modes(circle[None], eye[None], eye[None], circle)
    >>> mode.space, mode.mode, round(mode.advance, 3), round(mode.turned, 3)
    ('input', 1, 0.0, 1.0)
    """
    x, w_value, w_out, unembed = (tensor.double().cpu() for tensor in (x, w_value, w_out, unembed))
    n = x.shape[1]
    orders = cyclic_orders(n, seed)
    x, unembed = x - x.mean(1, keepdim=True), unembed - unembed.mean(0)
    written = x @ w_value @ w_out
    by_head: list[list[Mode]] = [[] for _ in x]
    spaces: tuple[tuple[Space, Float[Tensor, "head word d_model"]], ...] = (
        ("input", x),
        ("output", unembed.expand_as(x)),
    )
    for space, target in spaces:
        tables = torch.cat([products(written, written), products(target, target), products(written, target)])
        of_written, of_target = torch.fft.fft(written, dim=1), torch.fft.fft(target, dim=1)
        for k in range(1, (n + 1) // 2):
            written_power, target_power, cross = spectrum(tables, orders, k).chunk(3, dim=-1)
            there = (written_power.real > _NOTHING) & (target_power.real > _NOTHING)
            u = torch.where(there, cross / (written_power.real * target_power.real).sqrt(), 0)
            margins = margin(u, k, n)
            stays = share_in_plane(of_written[:, k], of_target[:, k])
            numbers = (
                target_power[0].real,
                written_power[0].real,
                stays,
                u[0].abs().square() / stays.clamp(min=1e-300),
                u[0].angle() / (math.tau * k / n),
                margins[0],
                p_values(margins),
            )
            for head, row in enumerate(torch.stack(numbers, dim=-1).tolist()):
                if there[0, head]:
                    by_head[head].append(Mode(space, k, *row))
    return [tuple(of_head) for of_head in by_head]


def products(a: Float[Tensor, "head word d"], b: Float[Tensor, "head word d"]) -> Float[Tensor, "head word other"]:
    """`2 a_i . b_j / (n |a| |b|)` for all i and j, so that the spectrum of a with itself is its modes' shares."""
    sizes = a.flatten(1).norm(dim=1) * b.flatten(1).norm(dim=1)
    scaled: Tensor = 2 * a @ b.mT / (a.shape[1] * sizes.clamp(min=1e-300))[:, None, None]
    return scaled


def spectrum(
    tables: Float[Tensor, "table word other"], orders: Int[Tensor, "order word"], k: int
) -> Complex[Tensor, "order table"]:
    """`<a^_k, b^_k>` for every order, from tables of a_i . b_j, so that the cost does not depend on the vectors'
    length.

    It is the sum over i and j of `a_i . b_j exp(-2 pi i k (s_i - s_j) / n)`, where word i stands at s_i in the order.
    """
    n = orders.shape[-1]
    stands = orders.argsort(-1)
    i, j = torch.triu_indices(n, n, 1)
    angles = (stands[:, i] - stands[:, j]).double() * (math.tau * k / n)
    upper, lower = tables[:, i, j], tables[:, j, i]
    same = tables.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.complex(same + angles.cos() @ (upper + lower).T, angles.sin() @ (lower - upper).T)


def margin(u: Complex[Tensor, "order head"], k: int, n: int) -> Float[Tensor, "order head"]:
    """How much further u points along the turn by one word, exp(2 pi i k / n), than along any other turn."""
    # Turns by numbers of words that differ by a multiple of n / k are the same turn of this plane.
    turns = sorted({k * words % n for words in range(n)} - {k})
    angles = torch.tensor([k, *turns], dtype=torch.float64) * math.tau / n
    fits = torch.view_as_real(u) @ torch.stack([angles.cos(), angles.sin()])
    return fits[..., 0] - fits[..., 1:].amax(-1)


def share_in_plane(y: Complex[Tensor, "head d_model"], t: Complex[Tensor, "head d_model"]) -> Float[Tensor, " head"]:
    """The share of |y|^2 that lies in the plane of the real and the imaginary part of t."""
    _, sizes, directions = torch.linalg.svd(torch.stack([t.real, t.imag], dim=1), full_matrices=False)
    along = (directions.to(y.dtype) @ y[..., None])[..., 0].abs().square()
    inside: Tensor = torch.where(sizes > 1e-6 * sizes[:, :1], along, 0).sum(-1)
    return inside / y.abs().square().sum(-1)


@torch.inference_mode()
def modes_of(
    model: Model, cycle: Known, heads: Sequence[tuple[int, int]], seed: int = 0
) -> dict[tuple[int, int], tuple[Mode, ...]]:
    """How each head maps the modes of a cyclic set: x = LN1(embed + m0) with the norm of the head's own layer."""
    inputs = effective_embedding(model, cycle.tokens)
    by_head = modes(
        torch.stack([model.head_norm(layer)(inputs) for layer, _ in heads]),
        torch.stack([model.w_value(layer)[head] for layer, head in heads]),
        torch.stack([model.w_out(layer)[head] for layer, head in heads]),
        spoken_by(model, cycle),
        seed,
    )
    return dict(zip(heads, by_head, strict=True))
