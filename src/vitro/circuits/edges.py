"""Every edge of a model cut alone, exactly: a reader gets a changed output of a source, and the rest runs on."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits.constants import Constants, Nodes
from vitro.circuits.graph import Graph
from vitro.circuits.nodes import INPUT, INPUTS, Kind, Node, head
from vitro.engine import (
    Change,
    Clean,
    Placed,
    Prepared,
    Progress,
    Prompts,
    Read,
    Results,
    alone,
    mlp_out,
    resid_post,
    run_placed,
    variant_begins,
    visible,
    z,
)
from vitro.models import Model, attend


@torch.inference_mode()
def cut_edges(
    model: Model,
    prompts: Prompts,
    layer: int,
    constants: Constants,
    read: Read,
    *,
    only: Sequence[int] | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Cut each of `Graph.edges_into(layer)` alone and keep what `read` says: name -> [edge, prompt, ...], on the CPU.

    only: the numbers of the edges to cut, rising; None: all of them.

    A cut edge: the reader reads the stream with the source's output replaced by `constants`, at every position at
    which they say something, and everything after the reader is the model. A reader's new output takes a part of its
    block, computed for all its edges at once; the rest is a sweep of edits (`run_placed`).
    Raises PromptError and CircuitError for prompts and constants that do not fit, NotFiniteError where a run comes to
    NaN or infinity.
    Source: path patching (Goldowsky-Dill et al. 2023, arXiv 2304.05969), of every edge on its own.

    >>> constants = vitro.circuits.resampled(model, prompts, seed=0)
    >>> cut_edges(model, prompts, 3, constants, lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([16, 7])
    """
    prepared, edges = Prepared.of(model, prompts, memory), Graph.of(model).edges_into(layer)
    constants.check(prepared.prompts)
    rows = {edge: row for row, edge in enumerate(range(len(edges)) if only is None else only)}
    results = Results(len(rows), len(prepared), progress)
    for part in prepared.parts(lambda tree, _: constants.apart()):
        tree = part.clean.tree
        nodes = constants.changing(tree, part.prompts.start)
        n_sources = prepared.budget.rows(len(nodes), len(tree.tokens), len(tree.finals))
        first = 0
        places = Nodes.of(tree, part.prompts.start, model.device)
        for of_sources in _cut(part.clean, layer, places, nodes, constants, n_sources):
            cut = [number for number in range(len(of_sources)) if first + number in rows]
            for batch, values in run_placed(part, [of_sources[number] for number in cut], read, prepared.budget):
                results.put(values, [rows[first + cut[number]] for number in batch], part.prompts)
            first += len(of_sources)

    cut_edge = list(rows)

    def begins(row: int, prompt: int) -> str | None:
        clean = alone(model, prepared.prompts[prompt])
        places = Nodes.of(clean.tree, prompt, model.device)
        nodes = constants.changing(clean.tree, prompt)
        placed = chain.from_iterable(_cut(clean, layer, places, nodes, constants, n_sources=len(edges)))
        return variant_begins(clean, next(islice(placed, cut_edge[row], None)))

    return results.finished(model, begins, lambda row: f"cut edge {edges[cut_edge[row]]}")


def source_changes(
    clean: Clean,
    sources: Sequence[Node],
    constants: Constants,
    places: Nodes,
    nodes: Int[Tensor, " node"],
    head_writes: "HeadWrites | None" = None,
) -> Float[Tensor, "source node d_model"]:
    """How what each source writes at some nodes of the tree would change at its constant: new minus old.

    places: the same nodes, each as a position of a prompt; both on the model's device. head_writes: what becomes of a
    head's change where a norm stands after the heads; by itself `recomputed`.
    """
    model, head_writes = clean.model, head_writes or recomputed
    changes = torch.empty(len(sources), len(nodes), model.shape.d_model, dtype=model.dtype, device=model.device)
    z_layer, z_change, writes = -1, torch.empty(0), None
    for number, source in enumerate(sources):
        if source == INPUT:
            changes[number] = constants.embed_at(model, places) - clean.layers[0].resid_pre[nodes]
        elif source.kind is Kind.head:
            if source.layer != z_layer or writes is None:
                z_layer, z = source.layer, clean.layers[source.layer].z[nodes]
                z_change, writes = constants.z_at(model, z_layer, places) - z, head_writes(model, z_layer, z)
            changes[number] = writes(source.head, z_change[:, source.head])
        else:
            changes[number] = constants.mlp_at(model, source.layer, places) - clean.layers[source.layer].mlp_out[nodes]
    return changes


HeadWrites = Callable[
    [Model, int, Float[Tensor, "node head d_head"]],
    Callable[[int, Float[Tensor, "node d_head"]], Float[Tensor, "node d_model"]],
]
"""Of a layer and its heads' z: by how much the stream changes where one head's z does, and the others' stays."""


def recomputed(
    model: Model, layer: int, z: Float[Tensor, "node head d_head"]
) -> Callable[[int, Float[Tensor, "node d_head"]], Float[Tensor, "node d_model"]]:
    """A head's change as the model makes it: a norm after the heads is computed anew."""
    if model.blocks[layer].after_heads is None:
        return held(model, layer, z)
    together, w_together = model.together(layer, z), model.w_together(layer)
    before = model.after_heads(layer, together)
    return lambda head, change: model.after_heads(layer, together + change @ w_together[head]) - before


def held(
    model: Model, layer: int, z: Float[Tensor, "node head d_head"]
) -> Callable[[int, Float[Tensor, "node d_head"]], Float[Tensor, "node d_model"]]:
    """The same where that norm's scale stays what it is: docs/method.md, section 4.3."""
    w_out, scale = model.w_out(layer), model.write_scale(layer, z)
    if scale is None:
        return lambda head, change: change @ w_out[head]
    return lambda head, change: (change @ w_out[head] / scale).to(change.dtype)


def _cut(
    clean: Clean,
    layer: int,
    places: Nodes,
    nodes: Int[Tensor, " node"],
    constants: Constants,
    n_sources: int,
) -> Iterator[list[Placed]]:
    """The edits that cut the edges, some sources at a time, in the order of `Graph`. places: all nodes of the tree."""
    model, n_layers = clean.model, clean.model.shape.n_layers
    before = Graph.of(model).sources_before(layer)

    # The logits are read at the final nodes only.
    nodes = clean.tree.finals.unique() if layer == n_layers else nodes
    at, there = tuple(nodes.tolist()), nodes.to(model.device)
    places = Nodes(places.prompt[there], places.position[there])

    def changes(sources: Sequence[Node]) -> Iterator[Float[Tensor, "source node d_model"]]:
        for start in range(0, len(sources), n_sources):
            yield source_changes(clean, sources[start : start + n_sources], constants, places, there)

    if layer == n_layers:
        for change in changes(before):
            yield [Placed((Change(resid_post(n_layers - 1), True, at, value),)) for value in change]
        return
    cache = clean.layers[layer]
    stream = (cache.resid_pre if model.parallel else cache.resid_mid)[there]

    def into_mlp(change: Float[Tensor, "source node d_model"]) -> list[Placed]:
        return [Placed((Change(mlp_out(layer), False, at, out),)) for out in model.mlp_out(layer, stream + change)]

    for change in changes(before):
        mixed = _mixed(clean, layer, there, change)
        into_mlps = [[edit] for edit in into_mlp(change)] if model.parallel else [[]] * len(change)
        yield [
            placed
            for source in range(len(change))
            for placed in (
                *(
                    Placed((Change(z(layer, number), False, at, mixed[name][source, :, number]),))
                    for number in range(model.shape.n_heads)
                    for name in INPUTS
                ),
                *into_mlps[source],
            )
        ]
    if not model.parallel:
        heads = [head(layer, number) for number in range(model.shape.n_heads)]
        for change in changes([*before, *heads]):
            yield into_mlp(change)


def _mixed(
    clean: Clean, layer: int, nodes: Int[Tensor, " node"], change: Float[Tensor, "source node d_model"]
) -> dict[str, Float[Tensor, "source node head d_head"]]:
    """Every head's z where only its queries, only its keys or only its values are made from a changed stream."""
    model, tree, cache = clean.model, clean.there, clean.layers[layer]
    stream, positions = cache.resid_pre[nodes], tree.positions[nodes]
    q = model.qkv(layer, stream[None], positions)[0].expand(len(change), -1, -1, -1)
    k, v = (clean_one.expand(len(change), -1, -1, -1) for clean_one in (cache.k, cache.v))
    new_q, *new_kv = model.qkv(layer, stream + change, positions)
    new_k, new_v = k.clone(), v.clone()
    new_k[:, nodes], new_v[:, nodes] = new_kv
    mask = visible(model, layer, tree)[nodes]
    return {
        "q": attend(model, layer, new_q, k, v, mask),
        "k": attend(model, layer, q, new_k, v, mask),
        "v": attend(model, layer, q, k, new_v, mask),
    }
