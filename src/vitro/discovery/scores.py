"""Scores of edges, behind one interface: what each edge is worth to the metric, prompt by prompt."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import INPUT, Kind, Node, cut_edges
from vitro.discovery.case import Case
from vitro.discovery.flow import by_flow
from vitro.discovery.gradients import CLEAN, ScoreError, by_activations, by_inputs, mib_weights, paper_weights
from vitro.discovery.rules import RELP
from vitro.engine import Finals, Read, Site, mlp_out, resid_pre, sweep, z
from vitro.options import IgEndpoints, ScoreName

STEPS = 5
"""How many gradients EAP-IG averages: as many as its authors take."""
WEIGHTS: Mapping[IgEndpoints, tuple[float, ...]] = {"mib": mib_weights(STEPS), "paper": paper_weights(STEPS)}

Scores = Float[Tensor, "edge prompt"]


def score_edges(case: Case, name: ScoreName) -> Scores:
    """A score of every edge of the model's graph in every prompt, on the CPU: positive where the edge helps the metric.

    name: how it is made (docs/method.md, section 9); `exact` cuts each edge alone, which takes minutes.
    Raises what `cut_edges` does, and ScoreError where the metric has no gradient and the score takes one, and for
    `relp` of a mixture of experts.

    >>> score_edges(case, "eap").shape
    torch.Size([262, 7])
    """
    return _SCORES[name](case)


def score_nodes(case: Case, name: ScoreName) -> Float[Tensor, "source prompt"]:
    """A score of every node that writes, in the order of `Graph.sources`: the sum over its outgoing edges.

    `exact` is no sum: each node is ablated alone, and all that follows it is computed anew.

    >>> score_nodes(case, "eap").shape
    torch.Size([16, 7])
    """
    if name == "exact":
        return _exact_nodes(case)
    of_edges = score_edges(case, name)
    sums = torch.zeros(len(case.graph.sources), of_edges.shape[1])
    return sums.index_add_(0, torch.from_numpy(case.graph.source_of), of_edges)


def _lost(case: Case) -> Read:
    """What a run loses of the metric."""

    def read(finals: Finals) -> dict[str, Tensor]:
        asked = case.asked[finals.prompts]
        clean, cut = (case.metric.of(asked.of_logits(logits)) for logits in (finals.clean, finals))
        return {"lost": clean - cut}

    return read


def _exact(case: Case) -> Scores:
    model, prompts, read = case.model, case.questions.tokens, _lost(case)
    layers = range(model.shape.n_layers + 1)
    return torch.cat([cut_edges(model, prompts, at, case.constants, read, memory=case.memory)["lost"] for at in layers])


def _exact_nodes(case: Case) -> Float[Tensor, "source prompt"]:
    longest = max(case.questions.lengths)
    variants = [case.constants.in_place_of(_site(source), longest) for source in case.graph.sources]
    return sweep(case.model, case.questions.tokens, variants, _lost(case), memory=case.memory)["lost"]


def _site(source: Node) -> Site:
    """Where what a node puts out can be edited."""
    if source == INPUT:
        return resid_pre(0)
    return z(source.layer, source.head) if source.kind is Kind.head else mlp_out(source.layer)


def _eap(case: Case) -> Scores:
    return by_inputs(case, CLEAN)


def _eap_ig(case: Case) -> Scores:
    return by_inputs(case, WEIGHTS[case.endpoints])


def _eap_ig_activations(case: Case) -> Scores:
    return by_activations(case, STEPS)


def _relp(case: Case) -> Scores:
    if any(case.model.n_experts(layer) for layer in range(case.model.shape.n_layers)):
        raise ScoreError("relp has no rule for mixtures of experts; what works: eap, eap-ig, eap-ig-activations, exact")
    return by_inputs(case, CLEAN, RELP)


def _random(case: Case) -> Scores:
    draw = torch.Generator().manual_seed(case.seed)
    return torch.rand(len(case.graph), generator=draw)[:, None].expand(-1, len(case.questions))


_SCORES: Mapping[ScoreName, Callable[[Case], Scores]] = {
    "exact": _exact,
    "eap": _eap,
    "eap-ig": _eap_ig,
    "eap-ig-activations": _eap_ig_activations,
    "relp": _relp,
    "flow": by_flow,
    "random": _random,
}
