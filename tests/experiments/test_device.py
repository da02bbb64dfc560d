"""Every measurement of a model on another device (`meta` stands for a GPU, see elsewhere.py) and in half precision."""

import copy
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from elsewhere import elsewhere
from experiments.every import every
from planted import COPY, SUCCESSOR
from vitro.engine.budget import BATCH_NODES
from vitro.experiments import EXPERIMENTS, Options, Tables
from vitro.models import Model, load
from vitro.tables import SCORE_TABLES
from vitro.tasks import days

OPTIONS = Options(samples=8, heads=(SUCCESSOR, COPY))
BY_ITS_NUMBERS = ("curve", "successor")
"""What looks at numbers on its way, once, and not batch by batch: a device without numbers cannot stand for a GPU."""
NEAR = {
    "clean": "answer_prob",
    "head_ablation": "answer_prob_change",
    "head_lens": "answer_prob",
    "layer_lens": "answer_prob",
    "mlp_ablation": "answer_prob_change",
    "attention": "weight",
    "attention_pin": "answer_prob",
    "steering": "answer_prob",
    "edges": "answer_prob_change",
    **{table: "score" for name, table in SCORE_TABLES.items() if name != "exact"},
    "patching": "answer_prob_change",
}
"""Tables that are about the same things in every number format. In which components a circuit stands, small
differences decide."""


def measured(model: Model, besides: Collection[str] = ()) -> Tables:
    return {
        name: table
        for experiment, setup in every(model, days(), OPTIONS)
        if experiment.name not in besides
        for name, table in setup.tables(experiment).items()
    }


@pytest.fixture(scope="module")
def tables(planted_model: Model) -> Tables:
    return measured(planted_model)


def test_every_measurement_is_made_where_the_model_is(
    planted_model: Model, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BATCH_NODES, "meta", 1024)
    model = type(planted_model).of(copy.deepcopy(planted_model.hf).to("meta"), planted_model.tokenizer)
    model.origin = planted_model.origin
    with elsewhere() as crossings:
        there = measured(model, besides=BY_ITS_NUMBERS)
    here = {table for name in BY_ITS_NUMBERS for table in EXPERIMENTS[name].tables}
    assert {name: table.schema for name, table in there.items()} == {
        name: table.schema for name, table in tables.items() if name not in here
    }
    assert "fetched" in crossings


@pytest.mark.parametrize(("dtype", "within"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_every_measurement_in_half_precision_is_near_the_full_one(
    planted_folder: Path, tables: Tables, dtype: str, within: float
) -> None:
    results = measured(load(str(planted_folder), dtype=dtype))
    assert {name: table.schema for name, table in results.items()} == {
        name: table.schema for name, table in tables.items()
    }
    for name, column in NEAR.items():
        half, full = (of[name][column].to_numpy() for of in (results, tables))
        # Probabilities, or nats: of the largest.
        assert np.abs(half - full).max() < within * max(1, np.abs(full).max()), name
