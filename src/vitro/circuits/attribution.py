"""Every edge of a model scored at once by gradients: attribution patching, and its integrated-gradients form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.edges import source_changes
from vitro.circuits.graph import Graph
from vitro.engine import (
    Budget,
    Prompts,
    Tree,
    alone,
    attend,
    checked_prompts,
    clean_begins,
    in_parts,
    pack,
    read_out,
    refuse_broken,
    run,
    visible,
)
from vitro.models import Model

Metrics = Callable[[Float[Tensor, "prompt d_vocab"]], Mapping[str, Float[Tensor, " prompt"]]]
"""Numbers of each prompt by name, from the final logits of all prompts: differentiable, and each prompt's from its own
logits only. Where prompts are worked on in parts, the logits of the others are zeros and their numbers are not used."""


CLEAN = (1.0,)
"""Where EAP takes its gradient: the clean run."""


def mib_weights(steps: int) -> tuple[float, ...]:
    """Where EAP-IG's main branch and MIB take their gradients: 0, 1/m ... (m-1)/m. The clean run is not among them.

    >>> mib_weights(4)
    (0.0, 0.25, 0.5, 0.75)
    """
    return tuple(step / steps for step in range(steps))


def paper_weights(steps: int) -> tuple[float, ...]:
    """Where EAP-IG's paper takes its gradients: 1/m, 2/m ... 1. The ablated run is not among them.

    >>> paper_weights(4)
    (0.25, 0.5, 0.75, 1.0)
    """
    return tuple((step + 1) / steps for step in range(steps))


# Not under `inference_mode`, even where the caller is: its tensors can have no gradient.
@torch.inference_mode(False)
@torch.no_grad()
def attribute_edges(
    model: Model,
    prompts: Prompts,
    constants: Constants,
    metrics: Metrics,
    *,
    weights: Sequence[float] = CLEAN,
    memory: int | None = None,
) -> dict[str, Tensor]:
    """Estimate how each metric would change if an edge were cut, for all edges: name -> [edge, prompt], on the CPU.

    The edges are those of the model's `Graph`, in its order. A score is the sum, over the positions at which
    `constants` say something, of (what the source would write at its constant - what it writes) . (d metric / d the
    stream as the reader reads it, before its norm). A head reads three times, for its q, k and v; where heads share
    keys and values, each head's <k> and <v> is its own: the other heads keep theirs.

    weights: the gradients are averaged over runs whose embedding at those positions is w embed + (1 - w)
    constants.embed, one for each w. `CLEAN`: edge attribution patching, the first order of `cut_edges` (EAP, Syed et
    al. 2023, arXiv 2310.10348). `mib_weights(m)`, `paper_weights(m)`: EAP-IG-inputs (Hanna et al. 2024, arXiv
    2403.17806) with the endpoints of its code and of its paper. EAP-IG's own score of an edge, where its metric is a
    sum over the batch, is the mean over prompts of the scores here.

    memory: bytes for everything but the model; prompts that do not fit together are worked on in parts.
    Raises ValueError for no weights, MemoryBudgetError where not even one prompt fits, and what `cut_edges` does.

    >>> constants = vitro.circuits.resampled(model, prompts, seed=0)
    >>> attribute_edges(model, prompts, constants, lambda logits: {"logit": logits[:, 3]})["logit"].shape
    torch.Size([262, 7])
    """
    if not weights:
        raise ValueError("weights must name at least one run whose gradient is taken, as CLEAN does")
    prompts = checked_prompts(model, prompts)
    constants.check(prompts)
    parts: dict[str, list[Tensor]] = {}
    # Prompts are kept apart from their first token on: to the budget they share no beginning.
    unshared = [[number] * len(prompt) for number, prompt in enumerate(prompts)]
    for part, here in in_parts(model, unshared, _budget(model, memory)):
        # A stream that two prompts share would get the sum of their gradients.
        tree = pack(prompts[part], apart=0)
        for name, scores in _attribute(here, tree, part, len(prompts), constants, metrics, weights).items():
            parts.setdefault(name, []).append(scores.cpu())
    scores_by_name = {name: torch.cat(scores, dim=1) for name, scores in parts.items()}
    refuse_broken(
        model,
        torch.stack([~scores.isfinite().all(0) for scores in scores_by_name.values()]),
        lambda row, prompt: clean_begins(alone(model, prompts[prompt])) or "the gradients",
        lambda row: f"scores of edges by {list(scores_by_name)[row]}",
    )
    return scores_by_name


def _attribute(
    model: Model,
    tree: Tree,
    part: slice,
    n_prompts: int,
    constants: Constants,
    metrics: Metrics,
    weights: Sequence[float],
) -> dict[str, Float[Tensor, "edge prompt"]]:
    """The scores of the prompts on one tree."""
    tree_nodes = Nodes.of(tree, part.start, model.device)
    changing = constants.changing(tree, part.start)
    nodes = changing.to(model.device)
    clean = run(model, tree)
    there, embed = clean.there, clean.layers[0].resid_pre
    sources = Graph.of(model).sources
    change = source_changes(clean, sources, constants, tree_nodes, nodes)
    del clean
    # Kept apart, the nodes lie prompt by prompt.
    lengths = torch.isin(tree.paths, changing).sum(1).tolist()
    totals: dict[str, Tensor] = {}
    for weight in weights:
        start = embed.index_add(0, nodes, change[0], alpha=1 - weight)
        with torch.enable_grad():
            streams, reads = _run(model, there, start.requires_grad_())
            logits = read_out(model, reads[-1][0, there.finals])
            values = metrics(pad(logits, (0, 0, part.start, n_prompts - part.stop)))
            sums = {name: value[part].sum() for name, value in values.items()}
        for name, value in sums.items():
            gradients = torch.autograd.grad(value, reads, retain_graph=True)
            readers = _readers(
                model, [stream[0, nodes] for stream in streams], [gradient[0, nodes] for gradient in gradients]
            )
            scores = torch.cat([_products(change[:n], gradient, lengths) for n, gradient in readers]) / len(weights)
            totals[name] = totals[name] + scores if name in totals else scores
    return totals


def _run(
    model: Model, tree: Tree, embed: Float[Tensor, "node d_model"]
) -> tuple[list[Float[Tensor, "row node d_model"]], list[Tensor]]:
    """A forward pass from an embedding: the stream that enters each layer, and everything that is read.

    What is read: for each layer every head's own q, k and v before rotation and the stream that its MLP reads; then
    the final stream. Each is a tensor of its own, so that its gradient is what passes through this reader alone.
    tree: on the model's device.
    """
    resid = embed[None]
    group = model.shape.n_heads // model.shape.n_kv_heads
    streams, reads = [], []
    for layer in range(model.shape.n_layers):
        q, k, v = model.project(layer, model.head_norm(layer)(resid))
        k, v = (shared.repeat_interleave(group, dim=2) for shared in (k, v))
        turned_q, turned_k = model.rotate(q, k, tree.positions)
        z = attend(model, layer, turned_q, turned_k, v, visible(model, layer, tree))
        mid = resid + model.attn_out(layer, z)
        mlp_in = (resid if model.parallel else mid).clone()
        streams.append(resid)
        reads += [q, k, v, mlp_in]
        resid = mid + model.mlp_out(layer, mlp_in)
    return streams, [*reads, resid]


def _readers(
    model: Model,
    streams: Sequence[Float[Tensor, "node d_model"]],
    gradients: Sequence[Float[Tensor, "node ..."]],
) -> Iterator[tuple[int, Float[Tensor, "reader node d_model"]]]:
    """The gradients of the readers' streams, from those of everything that `_run` says is read, at some nodes.

    In the order of the edges: a layer's heads (each by q, k and v), its MLP, the next layer's, the logits last. Readers
    of the same sources come together, with the number of those sources (the first ones in the model's order).
    """
    graph = Graph.of(model)
    for layer, stream in enumerate(streams):
        *qkv, mlp_in = gradients[4 * layer : 4 * layer + 4]
        weights = (model.w_query(layer), model.w_key(layer), model.w_value(layer))
        at_norm = torch.stack(
            [gradient.transpose(0, 1) @ w.mT for gradient, w in zip(qkv, weights, strict=True)], dim=1
        ).flatten(0, 1)
        with torch.enable_grad():
            copies = stream.detach().expand_as(at_norm).requires_grad_()
            normed = model.head_norm(layer)(copies)
        before = len(graph.sources_before(layer))
        into_heads, into_mlp = torch.autograd.grad(normed, copies, at_norm)[0], mlp_in[None]
        if model.parallel:
            yield before, torch.cat([into_heads, into_mlp])
        else:
            yield before, into_heads
            yield before + graph.n_heads, into_mlp
    yield len(graph.sources), gradients[-1][None]


def _products(
    change: Float[Tensor, "source node d_model"], gradient: Float[Tensor, "reader node d_model"], lengths: Sequence[int]
) -> Float[Tensor, "edge prompt"]:
    """Change . gradient, summed over each prompt's nodes: for every source, every reader.

    lengths: how many of the nodes, which lie prompt by prompt, each prompt has.
    """
    pairs = zip(change.split(lengths, dim=1), gradient.split(lengths, dim=1), strict=True)
    return torch.stack([(new.flatten(1) @ grad.flatten(1).T).flatten() for new, grad in pairs], dim=-1)


def _budget(model: Model, memory: int | None) -> Budget:
    """A sweep's budget, with what is held here for each node: changes, autograd's graph, gradients of a layer."""
    shape, size, budget = model.shape, model.dtype.itemsize, Budget.of(model, memory)
    n_sources = len(Graph.of(model).sources)
    # While the changes are stacked, they are in memory twice.
    changes = 2 * n_sources * shape.d_model
    # Of each block: the streams and normed streams; q, k, v and z; an MLP's hidden layer, up to four times over.
    graph = shape.n_layers * (10 * shape.d_model + 12 * shape.n_heads * shape.d_head + 5 * shape.d_mlp)
    return replace(
        budget,
        kept_per_node=budget.kept_per_node + (changes + graph) * size,
        used_per_node=budget.used_per_node + 4 * 3 * shape.n_heads * shape.d_model * size,
    )
