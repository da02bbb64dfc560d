"""What holds of every score: it follows no budget, is made where the model is, and agrees with what is exact."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from discovery.cases import case_of
from elsewhere import elsewhere
from planted import COPY, SUCCESSOR
from small_models import random_model
from vitro.circuits import Constants, Graph, counterfactual, resampled
from vitro.circuits.nodes import head
from vitro.discovery import Case, score_edges, score_nodes
from vitro.discovery.gradients import ScoreError, _budget
from vitro.engine import mean_activations, pack, run
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.options import SCORES, ScoreName
from vitro.tasks import days

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7, 8], [0, 5, 9], [0, 5, 9, 6, 7]]
PARTNERS = [[0, 5, 9, 4, 7], [0, 6, 9, 4, 7, 8], [0, 5, 9], [0, 5, 8, 6, 7]]
FAMILIES = ["gpt2", "llama-gqa-3", "neox-parallel", "mistral-window"]
MADE = [name for name in SCORES if name not in ("exact", "random")]


def counterfactual_case(name: str) -> Case:
    model = random_model(name)
    return case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("score", MADE)
def test_scores_do_not_depend_on_the_memory_budget(name: str, score: ScoreName) -> None:
    case = counterfactual_case(name)
    one_prompt = _budget(case.model, None).need(len(PROMPTS[1]), 1)
    ample, tight = score_edges(case, score), score_edges(replace(case, memory=one_prompt), score)
    assert ample.shape == (len(case.graph), len(PROMPTS))
    torch.testing.assert_close(tight, ample, atol=1e-5 * float(ample.abs().max()), rtol=0)


@pytest.mark.parametrize("score", MADE)
def test_a_caller_in_inference_mode_gets_the_same_scores(score: ScoreName) -> None:
    model = random_model("gpt2")
    outside = score_edges(case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS)), score)
    with torch.inference_mode():
        inside = score_edges(case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS)), score)
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("score", [name for name in MADE if name != "flow"])
def test_nothing_scores_where_nothing_changes(score: ScoreName) -> None:
    model = random_model("gpt2")
    case = case_of(model, PROMPTS[2:3], counterfactual(model, PROMPTS[2:3], PARTNERS[2:3]))
    assert not score_edges(case, score).any()
    assert not score_edges(counterfactual_case("gpt2"), score)[:, 2].any()


@pytest.mark.parametrize("name", FAMILIES)
def test_eap_is_the_slope_of_every_exact_cut(name: str) -> None:
    model = random_model(name)
    model.hf.double()
    prompts = [PROMPTS[0], PROMPTS[3]]
    constants = resampled(model, prompts, seed=1)
    # Final logits leave the engine in float32: a step this large keeps their rounding below the slope's own error.
    size = 1e-3
    ends = [
        score_edges(case_of(model, prompts, nearly_clean(model, prompts, constants, signed)), "exact")
        for signed in (size, -size)
    ]
    slope = (ends[0] - ends[1]) / (2 * size)
    assert slope.abs().max() > 0.1
    torch.testing.assert_close(
        score_edges(case_of(model, prompts, constants), "eap"), slope.float(), atol=5e-3, rtol=1e-3
    )


def nearly_clean(model: Model, prompts: list[list[int]], constants: Constants, size: float) -> Constants:
    """What the components put out, moved a little towards their constants."""
    clean = run(model, tree := pack(prompts, apart=0))

    def towards(now: Tensor, constant: Tensor) -> Tensor:
        return now + size * (constant - now)

    return replace(
        constants,
        embed=towards(clean.layers[0].resid_pre[tree.paths], constants.embed),
        z=torch.stack([towards(layer.z[tree.paths], constants.z[i]) for i, layer in enumerate(clean.layers)]),
        mlp_out=torch.stack(
            [towards(layer.mlp_out[tree.paths], constants.mlp_out[i]) for i, layer in enumerate(clean.layers)]
        ),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_mlp_ablated_alone_is_its_edge_cut_and_the_input_is_the_partners_run(name: str) -> None:
    case = counterfactual_case(name)
    nodes = score_nodes(case, "exact")
    last = len(case.graph.sources) - 1
    edge = [str(edge) for edge in case.graph.edges].index(f"{case.graph.sources[last]}->logits")
    # The last MLP has one edge: to the logits.
    torch.testing.assert_close(nodes[last], score_edges(case, "exact")[edge], atol=1e-5, rtol=1e-4)
    # With the input at its counterfactual, all of the partner's run follows.
    swapped = case_of(case.model, PARTNERS, counterfactual(case.model, PARTNERS, PROMPTS))
    torch.testing.assert_close(nodes[0], -score_nodes(swapped, "exact")[0], atol=1e-4, rtol=1e-4)


def test_nodes_score_the_sum_over_their_edges() -> None:
    case = counterfactual_case("gpt2")
    edges, nodes = score_edges(case, "eap-ig"), score_nodes(case, "eap-ig")
    for number, source in enumerate(case.graph.sources):
        own = [at for at, edge in enumerate(case.graph.edges) if edge.source == source]
        torch.testing.assert_close(nodes[number], edges[own].sum(0), atol=1e-5, rtol=1e-5)


def test_the_planted_edges_are_on_top_by_exact_scores(planted_model: Model) -> None:
    questions = days().questions(planted_model.tokenizer, None)
    constants = resampled(planted_model, questions.tokens, seed=0)
    case = Case(planted_model, questions, METRICS["logit_diff"], constants)
    graph, scores = Graph.of(planted_model), score_edges(case, "exact").mean(1).abs()
    planted = {f"input->a{layer}.h{number}<v>" for layer, number in (COPY, SUCCESSOR)}
    planted |= {f"{head(*where)}->logits" for where in (COPY, SUCCESSOR)}
    assert {str(graph.edges[at]) for at in scores.topk(len(planted)).indices.tolist()} == planted


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("score", MADE)
def test_scores_are_made_where_the_model_is(name: str, score: ScoreName) -> None:
    model = random_model(name)
    model.hf.to("meta")
    with elsewhere():
        means = Constants.of(mean_activations(model, [PROMPTS[0], PROMPTS[3]]), since=2)
        scores = score_edges(case_of(model, [PROMPTS[0], PROMPTS[3]], means), score)
    assert scores.shape == (len(Graph.of(model)), 2)
    assert scores.device == torch.device("cpu")


def test_a_metric_without_a_gradient_is_refused_with_what_works() -> None:
    case = replace(counterfactual_case("gpt2"), metric=METRICS["right_first"])
    with pytest.raises(ScoreError, match=r"right_first has no gradient .* what works: exact scores, or answer_prob"):
        score_edges(case, "eap")


@pytest.mark.parametrize("metric", ["answer_prob", "answer_logit", "prob_diff"])
def test_probabilities_have_scores_too(metric: str) -> None:
    case = replace(counterfactual_case("gpt2"), metric=METRICS[metric])
    assert score_edges(case, "eap").abs().max() > 1e-3
