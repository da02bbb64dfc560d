"""Whether a head turns a cycle of words in one plane: what M = W_V W_O makes of each Fourier mode of the cycle.

Words of a cycle often lie near a circle, which is the plane of one mode, and M may turn that plane and nothing else.
The k-th mode of vectors v_0 .. v_(n-1) is the complex vector `v^_k = sum over i of v_i exp(-2 pi i k i / n)`,
k = 1 .. floor((n-1)/2); its real and its imaginary part span a plane of the stream, in which the cycle goes round k
times. What M writes of the words x is y = x M, and so y^_k = x^_k M. Where it takes every word to the next word's
target t (x itself, or the unembedding vectors), y_i = t_(i+1), it turns the k-th mode by k n-th parts of a whole turn:
`y^_k = exp(2 pi i k / n) t^_k`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from vitro.successors.orders import p_values

Space = Literal["input", "output"]
"""Whose planes: those of the words as M reads them, or those of the words' unembedding vectors."""
_NOTHING = 1e-12
"""A mode with less than this share of its vectors' variance is rounding."""


@dataclass(frozen=True)
class Mode:
    """What M makes of the k-th mode, k = `mode`. Vectors are rows: x the words, y = x M, t the targets, all centred."""

    space: Space
    """input: t = x, so M is asked to turn a plane. output: t is the unembedding, so M is asked to take a plane to
    another, a step on."""
    mode: int
    variance: float
    """`2 |t^_k|^2 / sum over j = 1 .. n-1 of |t^_j|^2`: the mode's share of the targets' variance, 2 / (n - 1) on
    average over all orders."""
    written: float
    """The same of y: the mode's share of what M writes of the cycle."""
    stays: float
    """`|y^_k P|^2 / |y^_k|^2`, P the projection on the plane of t^_k: the share of what M writes of the mode that lies
    in that plane. About 2 / d_model for a random M."""
    turned: float
    """Of that share, how much is t^_k turned and scaled: `|u|^2 / stays` with the coherency
    `u = <y^_k, t^_k> / (|y^_k| |t^_k|)`. 1 for a turn, 0 for a reflection, 1/2 on average for a random map of the plane
    of a circle."""
    advance: float
    """By how many words it turns: the angle of u over 2 pi k / n, from -n / 2k to n / 2k. 0 for a copy of the word, 1
    for the next word, and n / 2k either way for the word's opposite."""
    margin: float
    """`r(1) - max of r(j) over the other turns`, where `r(j) = cos(y^_k, exp(2 pi i k j / n) t^_k)` is how well what M
    writes fits the targets j words on. Above 0 only where one word on fits best: never for a copy."""
    p: float
    """The share of the cyclic orders of the same words (all, or 10,000 drawn) with at least this margin."""


def modes(
    x: Float[Tensor, "word d_model"],
    written: Float[Tensor, "word d_model"],
    unembed: Float[Tensor, "word d_model"],
    orders: Int[Tensor, "order word"],
) -> tuple[Mode, ...]:
    """All modes in both spaces, of centred vectors; but none that the targets or what M writes do not have."""
    found = []
    spaces: tuple[tuple[Space, Float[Tensor, "word d_model"]], ...] = (("input", x), ("output", unembed))
    pairs = [(written, written), *((b, b) for _, b in spaces), *((written, b) for _, b in spaces)]
    own, *spectra = cross_spectra(pairs, orders)
    written_shares = own.real
    for (space, target), other, across in zip(spaces, spectra[:2], spectra[2:], strict=True):
        shares = other.real
        there = (written_shares > _NOTHING) & (shares > _NOTHING)
        u = torch.where(there, across / (written_shares * shares).sqrt(), 0)
        margins = margin(u, len(x))
        p = p_values(margins)
        of_written, of_target = torch.fft.fft(written, dim=0), torch.fft.fft(target, dim=0)
        for row in there[0].nonzero().flatten().tolist():
            k = row + 1
            stays = share_in_plane(of_written[k], of_target[k])
            found.append(
                Mode(
                    space=space,
                    mode=k,
                    variance=float(shares[0, row]),
                    written=float(written_shares[0, row]),
                    stays=stays,
                    turned=float(u[0, row].abs().square()) / max(stays, 1e-300),
                    advance=float(u[0, row].angle()) / (math.tau * k / len(x)),
                    margin=float(margins[0, row]),
                    p=float(p[row]),
                )
            )
    return tuple(found)


def cross_spectra(
    pairs: Sequence[tuple[Float[Tensor, "word d_model"], Float[Tensor, "word d_model"]]],
    orders: Int[Tensor, "order word"],
) -> Complex[Tensor, "pair order mode"]:
    """`2 <a^_k, b^_k> / (n |a| |b|)` of every mode in every order: where a is b, the modes' shares of its variance.

    It is the Fourier transform of `sum over i of a_(i+lag) . b_i`, so one table of inner products serves all orders.
    """
    n = orders.shape[-1]
    tables = [(a @ b.T / (a.norm() * b.norm()).clamp(min=1e-300)).flatten() for a, b in pairs]
    by_lag = torch.empty(len(pairs), len(orders), n, dtype=torch.float64)
    for lag in range(n):
        places = (orders.roll(-lag, dims=-1) * n + orders).flatten()
        for number, table in enumerate(tables):
            by_lag[number, :, lag] = table.index_select(0, places).view(-1, n).sum(-1)
    spectra: Tensor = torch.fft.rfft(by_lag) * 2 / n
    # Not that of even n which alternates: it spans no plane.
    return spectra[..., 1 : (n + 1) // 2]


def margin(u: Complex[Tensor, "order mode"], n: int) -> Float[Tensor, "order mode"]:
    """By how much u points more along the turn by one word, exp(2 pi i k / n), than along that by any other number."""
    margins = torch.zeros_like(u.real)
    for k in range(1, u.shape[-1] + 1):
        # Numbers of words that differ by a multiple of n / k are the same turn of this plane.
        turns = sorted({k * words % n for words in range(n)} - {k})
        angles = torch.tensor([k, *turns], dtype=torch.float64) * math.tau / n
        fits = torch.view_as_real(u[:, k - 1]) @ torch.stack([angles.cos(), angles.sin()])
        margins[:, k - 1] = fits[:, 0] - fits[:, 1:].amax(-1)
    return margins


def share_in_plane(y: Complex[Tensor, " d_model"], t: Complex[Tensor, " d_model"]) -> float:
    """The share of |y|^2 that lies in the plane of the real and the imaginary part of t."""
    _, sizes, directions = torch.linalg.svd(torch.stack([t.real, t.imag]), full_matrices=False)
    plane = directions[sizes > 1e-6 * sizes[0]].to(y.dtype)
    return float((plane @ y).abs().square().sum() / y.abs().square().sum())
