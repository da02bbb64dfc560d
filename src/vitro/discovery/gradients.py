"""Every edge of a model scored at once by gradients: EAP, EAP-IG over inputs and over activations, RelP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import Graph
from vitro.circuits.edges import held, recomputed, source_changes
from vitro.circuits.nodes import mlp
from vitro.discovery.case import Case
from vitro.discovery.columns import Block, Columns, run_block, run_from
from vitro.discovery.rules import GRADIENT, Rules
from vitro.discovery.sums import Sums
from vitro.engine import (
    Budget,
    Unembedded,
    alone,
    checked_prompts,
    clean_begins,
    in_parts,
    pack,
    refuse_broken,
    run,
)
from vitro.errors import NoValueError
from vitro.metrics import DIFFERENTIABLE
from vitro.models import Model

CLEAN = (1.0,)
"""Where EAP takes its gradient: the clean run."""


class ScoreError(NoValueError):
    """Scores that a case has not what is needed for."""


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


def by_inputs(case: Case, weights: Sequence[float], rules: Rules = GRADIENT) -> Float[Tensor, "edge prompt"]:
    """Change . gradient, the mean over runs whose embedding is w embed + (1 - w) constants.embed, for each weight w.

    `CLEAN`: edge attribution patching, the first order of `cut_edges` (EAP, Syed et al. 2023, arXiv 2310.10348);
    with the rules `RELP`, relevance patching. `mib_weights(m)`, `paper_weights(m)`: EAP-IG over inputs (Hanna et al.
    2024, arXiv 2403.17806) with the endpoints of its code and of its paper.

    >>> by_inputs(case, mib_weights(2)).shape
    torch.Size([262, 7])
    """

    def passes(part: _Part) -> None:
        for weight in weights:
            part.run(0, part.embed + (1 - weight) * part.change[0])

    return _scores(case, rules, passes, len(weights))


def by_activations(case: Case, steps: int) -> Float[Tensor, "edge prompt"]:
    """Change . gradient, the mean over runs in which input, a layer's heads or an MLP is on its way to its constant.

    EAP-IG over activations, as its code and MIB have it (docs/method.md, section 9.5).

    >>> by_activations(case, steps=2).shape
    torch.Size([262, 7])
    """
    weights, n_layers = paper_weights(steps), case.model.shape.n_layers

    def passes(part: _Part) -> None:
        # Below the layer that is changed, every run is the clean one. A backward pass is linear, so there they go
        # through it once, with the sum of the gradients that arrive.
        arriving = torch.zeros_like(part.embed)
        for layer in reversed(range(n_layers)):
            resid, z, mlp_out = part.clean(layer)
            z_change, mlp_change = part.z_change(layer), part.change[part.graph.sources.index(mlp(layer))]
            leaving = part.through(layer, resid, arriving)
            for weight in weights:
                leaving += part.run(layer, resid, z=z + (1 - weight) * z_change)
                leaving += part.run(layer, resid, mlp_out=mlp_out + (1 - weight) * mlp_change)
            arriving = leaving
        with part.sums.input_constant():
            for weight in weights:
                part.run(0, part.embed + (1 - weight) * part.change[0])

    return _scores(case, GRADIENT, passes, (2 * n_layers + 1) * steps)


# Not under `inference_mode`, even where the caller is: its tensors can have no gradient.
@torch.inference_mode(False)
@torch.no_grad()
def _scores(case: Case, rules: Rules, passes: Callable[["_Part"], None], n_runs: int) -> Float[Tensor, "edge prompt"]:
    """(What a source writes - what it would write at its constant) . the mean gradient of a reader's stream.

    passes: makes the runs of some prompts, n_runs of them.
    """
    model, metric = case.model, case.metric
    if metric.name not in DIFFERENTIABLE:
        raise ScoreError(
            f"{metric.name} has no gradient to score edges by; what works: exact scores, or {', '.join(DIFFERENTIABLE)}"
        )
    prompts = checked_prompts(model, case.questions.tokens)
    case.constants.check(prompts)
    # What is held for each prompt is its own from its first token on: to the budget they share no beginning.
    unshared = [[number] * len(prompt) for number, prompt in enumerate(prompts)]
    scores = []
    for numbers, here in in_parts(model, unshared, _budget(model, case.memory)):
        columns = Columns.of(run(here, pack(prompts[numbers])), numbers.start, case.constants)
        if columns.n_live:
            part = _Part(case, rules, columns, numbers)
            passes(part)
            scores.append(part.scores().cpu() / -n_runs)
        else:
            scores.append(torch.zeros(len(case.graph), len(columns.nodes)))
    together = torch.cat(scores, dim=1).float()
    refuse_broken(
        model,
        ~together.isfinite().all(0)[None],
        lambda row, prompt: clean_begins(alone(model, prompts[prompt])) or "the gradients",
        lambda row: f"scores of edges by {metric.name}",
    )
    return together


class _Part:
    """Some prompts of a case, and the sums over runs of the gradients of their readers' streams."""

    def __init__(self, case: Case, rules: Rules, columns: Columns, numbers: slice) -> None:
        self.case, self.rules, self.columns, self.numbers = case, rules, columns, numbers
        self.graph = case.graph
        self.embed = columns.clean.layers[0].resid_pre[columns.live]
        self.change = source_changes(
            columns.clean,
            self.graph.sources,
            case.constants,
            columns.places,
            columns.live,
            held if rules.scales_held else recomputed,
        )
        self.change.masked_fill_(~columns.changing[:, None], 0.0)
        self.sums = Sums(columns, self.graph, rules)

    def clean(
        self, layer: int
    ) -> tuple[Float[Tensor, "stream d_model"], Float[Tensor, "stream head d_head"], Float[Tensor, "stream d_model"]]:
        """The clean run's stream as it enters a layer, its heads' z and its MLP's output."""
        cache, live = self.columns.clean.layers[layer], self.columns.live
        return cache.resid_pre[live], cache.z[live], cache.mlp_out[live]

    def z_change(self, layer: int) -> Float[Tensor, "stream head d_head"]:
        """How a layer's z would change at its constant."""
        columns = self.columns
        change = self.case.constants.z_at(columns.model, layer, columns.places) - self.clean(layer)[1]
        return change.masked_fill(~columns.changing[:, None, None], 0.0)

    def run(
        self,
        layer: int,
        resid: Float[Tensor, "stream d_model"],
        *,
        z: Float[Tensor, "stream head d_head"] | None = None,
        mlp_out: Float[Tensor, "stream d_model"] | None = None,
    ) -> Float[Tensor, "stream d_model"]:
        """Run from the stream that enters a layer, and add the readers' gradients. Its own is what is returned.

        z, mlp_out: constants in the place of what this layer's heads or MLP put out.
        """
        columns, model = self.columns, self.columns.model
        with torch.enable_grad():
            start = resid[None].requires_grad_()
            z, mlp_out = (None if value is None else value[None] for value in (z, mlp_out))
            final, blocks = run_from(columns, layer, start, self.rules, z=z, mlp_out=mlp_out)
            last = columns.by_prompt(final)[0, :, -1]
            logits = _Graded(model, last, partial(self.rules.norm, model.readout.norm))
            value = self.case.metric.of(self.case.asked[self.numbers].of_logits(logits)).sum()
        at_final, at_start = self._add(value, None, final, start, blocks)
        self.sums.at_logits += at_final[0]
        return at_start[0]

    def through(
        self, layer: int, resid: Float[Tensor, "stream d_model"], arriving: Float[Tensor, "stream d_model"]
    ) -> Float[Tensor, "stream d_model"]:
        """The same for a block of the clean run, from a gradient at the stream that leaves it."""
        with torch.enable_grad():
            start = resid[None].requires_grad_()
            out, block = run_block(self.columns, layer, start, self.rules)
        return self._add(out, arriving[None], out, start, {layer: block})[1][0]

    def _add(
        self, value: Tensor, arriving: Tensor | None, end: Tensor, start: Tensor, blocks: Mapping[int, Block]
    ) -> tuple[Tensor, Tensor]:
        """Add the gradients of what is read; those of the streams at the end and the start are returned."""
        reads = [read for block in blocks.values() for read in block.reads]
        # What is not read, because a constant stands in its reader's place or the rules hold it, has no gradient.
        gradients = torch.autograd.grad(value, [*reads, end, start], arriving, materialize_grads=True)
        self.sums.add(blocks, gradients[:-2])
        return gradients[-2], gradients[-1]

    def scores(self) -> Float[Tensor, "edge prompt"]:
        """Change . summed gradient, over each prompt's streams: for every source, every reader."""
        change = self.columns.by_prompt(self.change).transpose(0, 1).flatten(2)
        products = []
        for n, gradients in self.sums.readers():
            by_prompt = self.columns.by_prompt(gradients).transpose(0, 1).flatten(2)
            products.append((change[:, :n].to(by_prompt.dtype) @ by_prompt.mT).flatten(1))
        return torch.cat(products, dim=1).T


@dataclass(frozen=True, eq=False)
class _Graded(Unembedded):
    """Logits that gradients are taken of: nothing on the way is overwritten."""

    norm: Callable[[Tensor], Tensor]

    @cached_property
    def normed(self) -> Float[Tensor, "stream d_model"]:
        return self.norm(self.resid).float()

    @cached_property
    def log_normaliser(self) -> Float[Tensor, " stream"]:
        return self.logits.logsumexp(-1)


def _budget(model: Model, memory: int | None) -> Budget:
    """A sweep's budget, with what is held here for each node: changes, gradients, autograd's graph."""
    shape, size, budget = model.shape, model.dtype.itemsize, Budget.of(model, memory)
    width = shape.n_heads * shape.d_head
    changes = len(Graph.of(model).sources) * shape.d_model
    gradients = shape.n_layers * (3 * shape.n_heads * shape.d_model + 3 * width + shape.d_model)
    # Of each block: the streams and normed streams; q, k, v and z; an MLP's hidden layer, up to four times over.
    graph = shape.n_layers * (10 * shape.d_model + 12 * width + 5 * shape.d_mlp)
    return replace(
        budget,
        kept_per_node=budget.kept_per_node + (changes + gradients + graph) * size,
        used_per_node=budget.used_per_node + 4 * 3 * shape.n_heads * shape.d_model * size,
    )
