"""The gallery of known answers: what is said to be planted is true by plain means, and it is what a search gives."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from jaxtyping import Bool

from circuits.slow_node_sets import Outputs, slow_answers, slow_mean, slow_node_sets, slow_outputs, slow_zero
from discovery.gallery import GALLERY, TAU, Planted
from vitro.circuits import Circuit, Constant, Graph, run_within
from vitro.experiments import Setup
from vitro.tasks import Questions

SEEDS = range(10)
DOING = [name for name in GALLERY if name != "no_task"]
RANDOM = 6
"""How many sets of other parts are drawn at random."""


def questions_of(planted: Planted) -> Questions:
    return planted.task.questions(planted.model.tokenizer, None)


def absent_outputs(planted: Planted, kind: Constant) -> Outputs:
    """What absent nodes put out, by plain hooks."""
    model, questions = planted.model, questions_of(planted)
    if kind == "zero":
        return slow_zero(model, questions.lengths[0])
    if kind == "counterfactual":
        assert questions.partner is not None
        return slow_outputs(model, questions.partner)
    return slow_mean(model, planted.task.sentences(questions, model.tokenizer, 200, seed=0)["mean"].tolist())


def in_company(circuits: Sequence[Bool[np.ndarray, " part"]]) -> Bool[np.ndarray, "set part"]:
    """Nothing; all; all but one part; each circuit alone, with all others, and with some drawn at random; and in each
    of these companies the circuit without each of its parts.
    """
    n = len(circuits[0])
    nothing, every, single = np.zeros(n, bool), np.ones(n, bool), np.eye(n, dtype=bool)
    companies = [nothing, every, *(np.random.default_rng(0).random((RANDOM, n)) < 0.5)]
    together = [(circuit, company | circuit) for circuit in circuits for company in companies]
    short = [chosen & ~part for circuit, chosen in together for part in single[circuit]]
    return np.array([nothing, every, *~single, *(chosen for _, chosen in together), *short])


def contain_a_circuit(
    sets: Bool[np.ndarray, "set part"], circuits: Sequence[Bool[np.ndarray, " part"]]
) -> Bool[np.ndarray, " set"]:
    return np.array([any((circuit <= chosen).all() for circuit in circuits) for chosen in sets])


def nodes_of(graph: Graph, circuit: Circuit) -> Bool[np.ndarray, " source"]:
    return np.array([source in circuit.order for source in graph.sources])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DOING)
def test_nodes_are_faithful_where_a_planted_circuit_is_among_them_and_nowhere_else(name: str, seed: int) -> None:
    planted = GALLERY[name](seed)
    graph, n_prompts = Graph.of(planted.model), len(questions_of(planted))
    for kind, circuits in planted.circuits.items():
        nodes = [nodes_of(graph, circuit) for circuit in circuits]
        sets = in_company(nodes)
        sets[1:, 0] = True  # the input is in every circuit, but for nothing at all
        logits = slow_node_sets(
            planted.model, questions_of(planted).tokens, torch.from_numpy(sets), absent_outputs(planted, kind)
        )
        values, right = slow_answers(questions_of(planted), logits)
        f = (values - values[0]) / (values[1] - values[0])
        contain = contain_a_circuit(sets, nodes)
        assert ((f >= TAU).numpy() == contain).all()
        assert (right[contain] == n_prompts).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DOING)
def test_edges_are_faithful_where_a_planted_circuit_is_among_them_and_nowhere_else(name: str, seed: int) -> None:
    planted = GALLERY[name](seed)
    graph, setup = Graph.of(planted.model), Setup(planted.model, planted.task)
    for kind, circuits in planted.circuits.items():
        for circuit in circuits:
            among = np.flatnonzero(graph.among(circuit.order))
            edges = [graph.mask(circuit.edges)[among]]
            sets = in_company(edges)
            masks = np.zeros((len(sets), len(graph)), dtype=bool)
            masks[:, among] = sets
            masks[1] = True
            results = run_within(
                planted.model,
                questions_of(planted).tokens,
                masks,
                setup.constants(kind),
                lambda finals: {"logits": finals.logits},
            )
            values, _ = slow_answers(questions_of(planted), results["logits"])
            f = (values - values[0]) / (values[1] - values[0])
            assert ((f >= TAU).numpy() == contain_a_circuit(sets, edges)).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_model_that_does_not_do_the_task_answers_next_to_nothing_right(seed: int) -> None:
    planted = GALLERY["no_task"](seed)
    clean = torch.ones(1, len(Graph.of(planted.model).sources), dtype=torch.bool)
    questions = questions_of(planted)
    logits = slow_node_sets(planted.model, questions.tokens, clean, absent_outputs(planted, "mean"))
    _, right = slow_answers(questions, logits)
    assert int(right) <= len(questions) / 3
