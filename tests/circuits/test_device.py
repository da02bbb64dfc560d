"""Circuits and edges of a model on another device: `meta` stands for a GPU (see elsewhere.py)."""

import numpy as np
import pytest
from torch import Tensor

from circuits.wirings import PROMPTS, SENTENCES, SUBJECT, WIRINGS
from elsewhere import elsewhere
from small_models import random_model
from vitro.circuits import (
    Circuit,
    Constant,
    Constants,
    Graph,
    cut_edges,
    node,
    resampled,
    run_circuits,
    run_within,
)
from vitro.circuits.distinct import Distinct
from vitro.engine import Finals, mean_activations
from vitro.engine.budget import BATCH_NODES
from vitro.models import Model

CIRCUITS = [Circuit.wire(wiring) for wiring in WIRINGS.values()]
FAMILIES = [
    *("gpt2", "llama-gqa-3", "neox-parallel", "mistral-window"),
    *("bloom", "falcon-alibi-groups", "olmo2"),
]


def there(name: str) -> Model:
    model = random_model(name)
    model.hf.to("meta")
    return model


def reading(finals: Finals) -> dict[str, Tensor]:
    return {
        "logits": finals.logits,
        "kl": finals.kl,
        **{str(site): weights for site, weights in finals.attention.items()},
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_while_circuits_run_nothing_is_sent_to_the_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def sent(batch_nodes: int) -> tuple[int, int]:
        monkeypatch.setitem(BATCH_NODES, "meta", batch_nodes)
        done_so_far: list[int] = []
        with elsewhere() as crossings:
            model = there(name)
            means = Constants.of(mean_activations(model, SENTENCES))
            constants: dict[Constant, Constants] = {
                "zero": means,
                "mean": means,
                "resample": resampled(model, PROMPTS, seed=3),
            }
            results = run_circuits(
                model,
                PROMPTS,
                CIRCUITS,
                reading,
                marks={"subject": (SUBJECT,) * len(PROMPTS)},
                constants=constants,
                watch=[node("a1.h1")],
                progress=lambda done, total: done_so_far.append(done),
            )
        assert results["logits"].shape[:2] == (len(CIRCUITS), len(PROMPTS))
        # What is read, and of each run (means, resampling, the circuits) whether it is finite.
        assert crossings[-len(results) - 1 :] == ["fetched"] * (len(results) + 1)
        assert (crossings.count("fetched"), len(results)) == (len(results) + 3, 3)
        return len(crossings), len(done_so_far)

    (at_once, few), (one_by_one, many) = sent(10**6), sent(1)
    assert (few, many) == (2, len(CIRCUITS))
    assert at_once == one_by_one


@pytest.mark.parametrize("name", FAMILIES)
def test_edges_are_cut_where_the_model_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(BATCH_NODES, "meta", 256)
    model = there(name)
    n_edges = 0
    with elsewhere() as crossings:
        means = Constants.of(mean_activations(model, SENTENCES), since=SUBJECT)
        for layer in range(model.shape.n_layers + 1):
            crossings.clear()
            cut = cut_edges(model, PROMPTS, layer, means, reading)
            assert len(cut["kl"]) == len(Graph.of(model).edges_into(layer))
            # The two that are read, and whether the runs are finite.
            assert (crossings[-3:], crossings.count("fetched")) == (["fetched"] * 3, 3)
            n_edges += len(cut["kl"])
    assert n_edges == len(Graph.of(model))


@pytest.mark.parametrize("name", FAMILIES)
def test_while_circuits_run_within_the_model_one_plan_a_batch_is_sent_and_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def crossings_of() -> tuple[int, int]:
        done_so_far: list[int] = []
        with elsewhere() as crossings:
            model = there(name)
            graph = Graph.of(model)
            masks = np.random.default_rng(0).random((12, len(graph))) < 0.5
            absent = resampled(model, PROMPTS, seed=3)
            crossings.clear()
            results = run_within(
                model,
                PROMPTS,
                masks,
                absent,
                reading,
                progress=lambda done, total: done_so_far.append(done),
            )
        assert results["logits"].shape[:2] == (len(masks), len(PROMPTS))
        # What is read, and whether the runs are finite, when all are done.
        n_read = len(results) + 1
        assert crossings[-n_read:] == ["fetched"] * n_read
        assert crossings.count("fetched") == n_read
        return len(crossings), len(done_so_far)

    at_once, few = crossings_of()
    monkeypatch.setattr(Distinct, "batches", lambda self, most: ([number] for number in range(len(self.masks))))
    one_by_one, many = crossings_of()
    assert (few, many) == (1, 12)
    assert one_by_one - at_once == many - few
