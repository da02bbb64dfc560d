"""Scores of edges, behind one interface: what each edge is worth to the metric, prompt by prompt."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.circuits import cut_edges
from vitro.discovery.case import Case
from vitro.discovery.flow import by_flow
from vitro.discovery.gradients import CLEAN, by_activations, by_inputs, mib_weights, paper_weights
from vitro.discovery.rules import RELP
from vitro.engine import Finals
from vitro.options import IgEndpoints, ScoreName

STEPS = 5
"""How many gradients EAP-IG averages: as many as its authors take."""
WEIGHTS: Mapping[IgEndpoints, tuple[float, ...]] = {"mib": mib_weights(STEPS), "paper": paper_weights(STEPS)}

Scores = Float[Tensor, "edge prompt"]


def score_edges(case: Case, name: ScoreName) -> Scores:
    """A score of every edge of the model's graph in every prompt, on the CPU: positive where the edge helps the metric.

    name: how it is made (docs/method.md, section 9); `exact` cuts each edge alone, which takes minutes.
    Raises what `cut_edges` and `attribute_edges` do.

    >>> score_edges(case, "eap").shape
    torch.Size([262, 7])
    """
    return _SCORES[name](case)


def _exact(case: Case) -> Scores:
    def read(finals: Finals) -> dict[str, Tensor]:
        asked = case.asked[finals.prompts]
        clean, cut = (case.metric.of(asked.of_logits(logits)) for logits in (finals.clean, finals))
        return {"lost": clean - cut}

    layers = range(case.model.shape.n_layers + 1)
    model, prompts, memory = case.model, case.questions.tokens, case.memory
    return torch.cat([cut_edges(model, prompts, at, case.constants, read, memory=memory)["lost"] for at in layers])


def _eap(case: Case) -> Scores:
    return by_inputs(case, CLEAN)


def _eap_ig(case: Case) -> Scores:
    return by_inputs(case, WEIGHTS[case.endpoints])


def _eap_ig_activations(case: Case) -> Scores:
    return by_activations(case, STEPS)


def _relp(case: Case) -> Scores:
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
