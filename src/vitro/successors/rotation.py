"""Whether a head's M = W_V W_O turns a cycle of words as a rotation would, by numbers that depend on the order.

M is never formed: it is only ever applied through its two factors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from vitro.models import Model
from vitro.successors.orders import cyclic_orders, p_values
from vitro.successors.scores import effective_embedding, spoken_by
from vitro.successors.sets import Known


@dataclass(frozen=True)
class Turn:
    """How M maps the centred vectors of a cycle of n words. B: an orthonormal basis of their span (B^T B = 1).

    Vectors are rows, as in the code of every model: M takes x to `x W_V W_O`.
    """

    n: int
    eigenvalues: tuple[complex, ...]
    """Of `A = B^T M B`, by angle from 0 to 2 pi. For a shift of the cycle: the n-th roots of 1, without 1 itself."""
    stays: float
    """`|X M B|^2 / |X M|^2`: the share of what M writes that lies in the span it reads. 1 for a rotation of it."""
    angle_error: float | None
    """Mean distance of the sorted angles from 2 pi k / n, k = 1 .. n-1, in steps of 2 pi / n; None unless there
    are n - 1 eigenvalues."""
    spread: float | None
    """Largest over smallest modulus of the eigenvalues: 1 for a rotation, however scaled; None where the words are all
    alike as M reads them, and so have no span."""
    input_cosine: float
    """Mean over i of cos(M x_i, x_(i+1)), all centred over the cycle: 1 where M maps each word's input to the next
    word's input, as a rotation by one step must."""
    input_step: float
    """`input_cosine` minus the mean of cos(M x_i, x_(i-1)): neighbours are alike, so a head that copies has
    a high cosine but no step."""
    input_p: float
    """The share of the cyclic orders of the same words (all, or 10,000 drawn) whose `input_step` is at least this."""
    output_cosine: float
    """The same with the next word's unembedding vector in place of x_(i+1): whether M maps each word to saying the
    next word, in another space, as a successor head does, rotation or not."""
    output_step: float
    """`output_cosine` minus the same with the word before."""
    output_p: float
    """The share of orders with at least this `output_step`."""


def turn(
    x: Float[Tensor, "word d_model"],
    w_value: Float[Tensor, "d_model d_head"],
    w_out: Float[Tensor, "d_head d_model"],
    unembed: Float[Tensor, "word d_model"],
    seed: int = 0,
) -> Turn:
    """How M = w_value w_out maps a cycle of words.

    x: the words' vectors in order, as M reads them. unembed: the words' unembedding vectors. seed: of the drawn orders.
    A shift of the words is a rotation by one step:

    >>> import torch
    >>> words, shift = torch.eye(7), torch.eye(7).roll(1, dims=1)
    >>> shifted = turn(words, shift, torch.eye(7), words)
    >>> round(shifted.input_cosine, 3), round(shifted.spread, 3), round(shifted.angle_error, 3)
    (1.0, 1.0, 0.0)
    """
    x, w_value, w_out, unembed = (tensor.double().cpu() for tensor in (x, w_value, w_out, unembed))
    n = len(x)
    orders = cyclic_orders(n, seed)
    centred = x - x.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    basis = directions[sizes > 1e-6 * sizes[0]].T
    eigenvalues = torch.linalg.eigvals((basis.T @ w_value) @ (w_out @ basis))
    eigenvalues = eigenvalues[(eigenvalues.angle() % math.tau).argsort()]
    written = centred @ w_value @ w_out
    angles = (eigenvalues.angle() % math.tau) / (math.tau / n)
    errors = (angles - torch.arange(1, n)).abs() if len(angles) == n - 1 else None
    moduli = eigenvalues.abs()
    input_cosines, output_cosines = cosines(written, centred), cosines(written, unembed - unembed.mean(0))
    return Turn(
        n=n,
        eigenvalues=tuple(complex(value) for value in eigenvalues.tolist()),
        stays=float((written @ basis).square().sum() / written.square().sum().clamp(min=1e-300)),
        angle_error=None if errors is None else float(errors.mean()),
        spread=float(moduli.max() / moduli.min().clamp(min=1e-300)) if len(moduli) else None,
        input_cosine=in_order(input_cosines),
        input_step=step(input_cosines),
        input_p=p_value(input_cosines, orders),
        output_cosine=in_order(output_cosines),
        output_step=step(output_cosines),
        output_p=p_value(output_cosines, orders),
    )


def cosines(a: Float[Tensor, "*head word d"], b: Float[Tensor, "word d"]) -> Float[Tensor, "*head word other"]:
    """cos(a_i, b_j) for all i and j."""
    cosine: Tensor = normalize(a, dim=-1) @ normalize(b, dim=-1).T
    return cosine


def in_order(cosine: Float[Tensor, "word other"]) -> float:
    """The mean cosine between each word and the next; the first word follows the last."""
    n = len(cosine)
    return float(cosine[torch.arange(n), (torch.arange(n) + 1) % n].mean())


def step(cosine: Float[Tensor, "word other"]) -> float:
    """`in_order` forward minus backward."""
    return in_order(cosine) - in_order(cosine.T)


def p_value(cosine: Float[Tensor, "word other"], orders: Int[Tensor, "order word"]) -> float:
    """The share of orders whose step is at least that of the first, the words' own order."""
    following = orders.roll(-1, dims=-1)
    return float(p_values((cosine[orders, following] - cosine[following, orders]).mean(-1)))


def singular_values(
    w_value: Float[Tensor, "d_model d_head"], w_out: Float[Tensor, "d_head d_model"]
) -> Float[Tensor, " d_head"]:
    """The singular values of M = W_V W_O, at most d_head. With W_V = Q R and W_O^T = P S they are those of R S^T."""
    r, s = torch.linalg.qr(w_value.double().cpu()).R, torch.linalg.qr(w_out.double().cpu().T).R
    sizes: Tensor = torch.linalg.svdvals(r @ s.T)
    return sizes


@torch.inference_mode()
def turns(model: Model, cycle: Known, heads: Sequence[tuple[int, int]], seed: int = 0) -> dict[tuple[int, int], Turn]:
    """How each head maps a cyclic set: x = LN1(embed + m0) with the norm of the head's own layer."""
    inputs, spoken = effective_embedding(model, cycle.tokens), spoken_by(model, cycle)
    return {
        (layer, head): turn(
            model.head_norm(layer)(inputs), model.w_value(layer)[head], model.w_out(layer)[head], spoken, seed
        )
        for layer, head in heads
    }


@torch.inference_mode()
def steps(model: Model, cycle: Known) -> pl.DataFrame:
    """`input_step` and `output_step` (see `Turn`) of every head on a cyclic set: a row per layer and head."""
    inputs, spoken = effective_embedding(model, cycle.tokens), spoken_by(model, cycle)
    spoken = spoken - spoken.mean(0)
    rows = []
    for layer in range(model.shape.n_layers):
        x = model.head_norm(layer)(inputs)
        x = x - x.mean(0)
        written = (x @ model.w_value(layer) @ model.w_out(layer)).float()
        input_cosines, output_cosines = cosines(written, x.float()), cosines(written, spoken.float())
        rows += [(layer, head, step(input_cosines[head]), step(output_cosines[head])) for head in range(len(written))]
    return pl.DataFrame(rows, schema=["layer", "head", "input_step", "output_step"], orient="row")
