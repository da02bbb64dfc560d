"""Information flow routes: how much of the stream that a reader reads each source wrote."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import Graph
from vitro.circuits.nodes import INPUTS
from vitro.discovery.case import Case
from vitro.engine import Clean, clean_runs, precise_format


def by_flow(case: Case) -> Float[Tensor, "edge prompt"]:
    """A source's proximity to the reader's stream, as a share of all its sources', the mean over a prompt's positions.

    proximity = max(0, |y|_1 - |y - s|_1), with s what the source writes and y the whole stream that is read, biases
    and positions in it. Neither metric nor ablation count. The same for a layer's heads and their q, k and v. What a
    head writes through a norm after the heads is divided by the clean run's scale (docs/method.md, section 4.3).
    Source: Ferrando & Voita 2024 (arXiv 2403.00824), aggregated as EAP-IG's code does (docs/method.md, section 9.7).

    >>> by_flow(case).shape
    torch.Size([262, 7])
    """
    scores = []
    for _, clean in clean_runs(case.model, case.questions.tokens, case.memory):
        within = clean.there.paths >= 0
        shares = [
            (share[:, clean.there.paths] * within).sum(-1) / within.sum(-1) for share in _shares(clean, case.graph)
        ]
        scores.append(torch.cat(shares).float().cpu())
    return torch.cat(scores, dim=1)


def _shares(clean: Clean, graph: Graph) -> Iterator[Float[Tensor, "edge node"]]:
    """At each node, the share of every source in what its readers read, in the order of the edges."""
    model = clean.model
    n_heads, per_source = graph.n_heads, graph.n_heads * len(INPUTS)
    written = _written(clean, graph)
    for layer, cache in enumerate(clean.layers):
        before = len(graph.sources_before(layer))
        into_heads = _share(written[:, :before], cache.resid_pre)
        if model.parallel:
            yield into_heads.repeat_interleave(per_source + 1, dim=0)
        else:
            yield into_heads.repeat_interleave(per_source, dim=0)
            yield _share(written[:, : before + n_heads], cache.resid_mid)
    yield _share(written, clean.resid_final)


def _share(
    written: Float[Tensor, "node source d_model"], read: Float[Tensor, "node d_model"]
) -> Float[Tensor, "source node"]:
    """Each source's proximity to what is read, over the sum of all; 0 where none is near."""
    read = read.to(written.dtype)
    proximity = (read.abs().sum(-1, keepdim=True) - torch.cdist(written, read[:, None], p=1)[..., 0]).clamp_min(0.0)
    total = proximity.sum(-1, keepdim=True)
    return (proximity / total).where(total > 0, 0.0).T


def _written(clean: Clean, graph: Graph) -> Float[Tensor, "node source d_model"]:
    """What each source writes to the stream; of heads, with the scale of a norm after them held."""
    model = clean.model
    shape, n_nodes = model.shape, len(clean.tree.tokens)
    size = (n_nodes, len(graph.sources), shape.d_model)
    written = torch.empty(size, dtype=precise_format(model), device=model.device)
    written[:, 0] = clean.layers[0].resid_pre
    for layer, cache in enumerate(clean.layers):
        first = len(graph.sources_before(layer))
        heads = torch.einsum("nhd,hdm->nhm", cache.z, model.w_out(layer))
        scale = model.write_scale(layer, cache.z)
        written[:, first : first + shape.n_heads] = heads if scale is None else heads / scale[:, None]
        written[:, first + shape.n_heads] = cache.mlp_out
    return written
