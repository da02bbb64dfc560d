"""Information flow routes are how near each source's output is to what is read, by plain sums."""

import pytest
import torch
from torch import Tensor

from discovery.cases import case_of
from places import places_of
from slow import Seen, held_out, slow_run
from small_models import random_model
from vitro.circuits import INPUT, Kind, Node, counterfactual
from vitro.circuits.nodes import LOGITS
from vitro.discovery import score_edges
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4]]


def wrote(model: Model, seen: Seen, source: Node) -> Tensor:
    """What a source writes: [position, d_model]."""
    if source == INPUT:
        return seen.resid_pre[0]
    if source.kind is Kind.mlp:
        return seen.mlp_out[source.layer]
    return held_out(model, seen, source.layer, source.head, seen.z[source.layer][:, source.head])


def read_by(model: Model, seen: Seen, reader: Node) -> Tensor:
    if reader == LOGITS:
        return seen.resid_post[-1]
    after_heads = reader.kind is Kind.mlp and not places_of(model).parallel
    return (seen.resid_mid if after_heads else seen.resid_pre)[reader.layer]


@pytest.mark.parametrize("name", ["gpt2", "neox-parallel", "gemma3_text", "olmo2-biases-tied", "granite"])
def test_every_edge_has_its_share_of_all_that_is_near_what_is_read(name: str) -> None:
    model = random_model(name)
    case = case_of(model, PROMPTS, counterfactual(model, PROMPTS, PROMPTS))
    scores = score_edges(case, "flow")
    for prompt, tokens in enumerate(PROMPTS):
        seen = slow_run(model, tokens)
        near: dict[tuple[Node, str | None], dict[Node, Tensor]] = {}
        for edge in case.graph.edges:
            y = read_by(model, seen, edge.reader)
            proximity = y.abs().sum(-1) - (y - wrote(model, seen, edge.source)).abs().sum(-1)
            near.setdefault((edge.reader, edge.input), {})[edge.source] = proximity.clamp_min(0.0)
        total = {reads: torch.stack(list(sources.values())).sum(0) for reads, sources in near.items()}
        expected = [
            (near[edge.reader, edge.input][edge.source] / total[edge.reader, edge.input]).nan_to_num(0.0).mean()
            for edge in case.graph.edges
        ]
        torch.testing.assert_close(scores[:, prompt].double(), torch.stack(expected), atol=1e-4, rtol=0)
