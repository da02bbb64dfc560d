"""Finding a circuit, as a measurement: its tables hold what plain modules with hooks give, and say what was done."""

import math
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress

import numpy as np
import pytest
import torch
from jaxtyping import Float

import vitro
from circuits.slow_within import SlowWithin
from clock import Clock
from pair_tasks import words
from planted import SUCCESSOR
from slow import slow_logits
from small_models import hf_model, random_model
from vitro.circuits import Edge, Graph, from_text, node, run_within
from vitro.discovery import trial
from vitro.experiments import FIND, Options, Setup
from vitro.experiments.find import split
from vitro.figures import to_spec
from vitro.models import Model
from vitro.models.load import family_of
from vitro.options import Ablation, Level
from vitro.parts import to_parquet
from vitro.tables import Tables, checked
from vitro.tasks import Pair, Pairs, Successors, Task, days

HEAD = "a{}.h{}".format(*SUCCESSOR)
FAMILIES = ["gpt2", "neox-parallel", "llama-gqa-3", "one layer, one head"]
STARTS = ("When Mary and", "Then Paul saw", "Anna gave it", "When John met")
ENDS = (" her", " John", " him", " Paul", " Mary", " Anna")
ANSWERS = [f" worda{letter}" for letter in "abcdefgh"]
TAU = 0.6
OPTIONS = Options(samples=8)
MODULE = sys.modules[split.__module__]
"""That of the experiment: by its path there is the function of the same name."""


def small_model(name: str) -> Model:
    tiny = name == FAMILIES[-1]
    model = family_of("gpt2").of(hf_model("gpt2", n_layer=1, n_head=1), None) if tiny else random_model(name)
    model.tokenizer = words()
    return model


def said_by(model: Model, n: int = 9) -> Pairs:
    """What a random model does: it gives the right answer more than the wrong one, less so to the counterfactual."""
    tokenizer, rows = words(), []
    answers = [tokenizer.encode(word, add_special_tokens=False)[0] for word in ANSWERS]
    for row in range(n):
        start, first, other = STARTS[row % 4], ENDS[row % 6], ENDS[(row + 1 + row % 3) % 6]
        prompts = [[tokenizer.bos_token_id, *tokenizer(start + end).input_ids] for end in (first, other)]
        logits = slow_logits(model, prompts, [()])[0][:, answers]
        clean, corrupt = logits[:, :, None] - logits[:, None]
        right, wrong = divmod(int((clean - corrupt).where(clean > 0, -torch.inf).argmax()), len(answers))
        rows.append(Pair(start + first, (ANSWERS[right],), (ANSWERS[wrong],), start + other, group=start))
    return Pairs("said", tuple(rows))


@dataclass(frozen=True, eq=False)
class Slow:
    """Circuits within a model by plain modules with hooks: their metric is the mean difference of two logits."""

    setup: Setup

    def differences(self, edges: Collection[Edge]) -> Float[np.ndarray, " prompt"]:
        setup, questions = self.setup, self.setup.questions
        absent = setup.constants(setup.edge_ablation)
        logits = [
            SlowWithin(setup.model, list(tokens), prompt, edges, absent).logits()
            for prompt, tokens in enumerate(questions.tokens)
        ]
        return np.array(
            [
                float(row[list(right)].mean() - row[list(wrong)].mean())
                for row, right, wrong in zip(logits, questions.right, questions.wrong, strict=True)
            ]
        )

    @cached_property
    def ends(self) -> tuple[float, float]:
        edges = Graph.of(self.setup.model).edges
        return float(self.differences(edges).mean()), float(self.differences([]).mean())

    def worth(self, edges: Collection[Edge]) -> tuple[float, int]:
        (model, empty), differences = self.ends, self.differences(edges)
        return (float(differences.mean()) - empty) / (model - empty), int((differences > 0).sum())


@pytest.mark.parametrize(
    ("name", "level"), [*((name, "edge") for name in FAMILIES), ("gpt2", "node"), (FAMILIES[-1], "node")]
)
def test_a_circuit_of_a_random_model_is_worth_what_plain_modules_give_and_without_any_part_too_little(
    name: str, level: Level
) -> None:
    model = small_model(name)
    task, options = said_by(model), Options(faithful=TAU, level=level)
    tables = tables_of(model, task, options)
    row, slow = tables["find"].row(0, named=True), Slow(split(Setup(model, task, options))[0])
    edges = from_text(row["circuit"]).edges
    f, right = slow.worth(edges)
    assert (row["minimal"], row["level"], row["method"]) == (True, level, "counterfactual")
    assert row["faithfulness"] == pytest.approx(f, abs=1e-4)
    assert row["right_circuit"] == right
    least = math.ceil(TAU * row["right_model"])
    assert f >= TAU
    assert right >= least
    assert row["edges"] == len(edges)
    # Each node goes with all its edges; edges one by one where they were searched.
    without = {
        node: [edge for edge in edges if node not in map(str, (edge.source, edge.reader))] for node in names(tables)
    }
    costs = dict(tables["find_nodes"].select("node", "cost").iter_rows())
    if level == "edge":
        written = tables["find_edges"].select("source", "reader", "input").rows()
        called = [f"{source}->{reader}" + (f"<{by}>" if by else "") for source, reader, by in written]
        assert set(called) == set(map(str, edges))
        without |= {str(edge): [other for other in edges if other != edge] for edge in edges}
        costs |= dict(zip(called, tables["find_edges"]["cost"], strict=True))
    else:
        assert tables["find_edges"]["cost"].null_count() == len(edges)
    for part, left in without.items():
        worth, answered = slow.worth(left)
        assert costs[part] == pytest.approx(f - worth, abs=1e-4)
        assert worth < TAU or answered < least


def tables_of(model: Model, task: Task, options: Options) -> Tables:
    """The tables of a search, as their schemas say; what shows them is drawn."""
    measurement = vitro.find(model, task, options)
    assert all(map(to_spec, measurement.figures.values()))
    assert measurement.numbers.height == measurement.tables["verdict"].height
    return {name: checked({name: measurement.tables[name]})[name] for name in FIND.tables}


def names(tables: Tables) -> list[str]:
    return tables["find_nodes"]["node"].to_list()


@pytest.fixture(scope="module")
def planted_tables(planted_model: Model) -> Tables:
    return tables_of(planted_model, days(), OPTIONS)


def test_the_planted_head_is_found_and_nothing_else(planted_tables: Tables) -> None:
    row = planted_tables["find"].row(0, named=True)
    assert (row["found"], row["why"], row["finished"]) == (True, "", True)
    assert row["circuit"] == f"absent: mean\ninput -> {HEAD}<v>\n{HEAD} -> logits"
    assert planted_tables["find_nodes"].select("node", "layer", "head", "attends_to").rows() == [
        (HEAD, *SUCCESSOR, "subject")
    ]
    assert planted_tables["find_edges"].select("source", "reader", "input").rows() == [
        ("input", HEAD, "v"),
        (HEAD, "logits", None),
    ]
    assert planted_tables["verdict"]["holds"].all()
    last = planted_tables["ladder"].filter("kept").row(-1, named=True)
    assert (last["circuit"], last["right"]) == (f"input -> {HEAD}\n{HEAD} -> logits", 7)
    assert FIND.summary(planted_tables).startswith("1 component keeps 1.25 of the margin")


def test_the_steps_lead_from_the_whole_model_to_the_circuit(planted_model: Model, planted_tables: Tables) -> None:
    steps, graph = planted_tables["search"], Graph.of(planted_model)
    nodes = set(map(str, graph.sources[1:])) - set(steps.filter(level="node", action="dropped")["component"])
    assert nodes | set(steps.filter(level="node", action="added")["component"]) == {HEAD}
    among = compress(graph.edges, graph.among([node(name) for name in ("input", HEAD, "logits")]))
    assert set(map(str, among)) - set(steps.filter(level="edge")["component"]) == {
        f"input->{HEAD}<v>",
        f"{HEAD}->logits",
    }
    assert steps["step"].is_sorted()
    assert steps["measured"].is_sorted()
    assert (steps["faithfulness"] >= 0.85).all()


def test_the_same_seed_gives_the_same_tables_byte_for_byte(planted_model: Model, planted_tables: Tables) -> None:
    again = tables_of(planted_model, days(), OPTIONS)
    for name in FIND.tables:
        assert to_parquet(again[name]) == to_parquet(planted_tables[name])


def test_nodes_alone_keep_all_edges_among_them(planted_model: Model) -> None:
    tables = tables_of(planted_model, days(), replace(OPTIONS, level="node"))
    graph = Graph.of(planted_model)
    among = compress(graph.edges, graph.among([node(name) for name in ("input", HEAD, "logits")]))
    assert names(tables) == [HEAD]
    assert from_text(tables["find"]["circuit"].item()).edges == frozenset(among)
    assert set(tables["search"]["level"]) == {"node"}


@pytest.mark.parametrize("kind", ["zero", "resample", "counterfactual"])
def test_metric_and_ablation_are_the_requested_ones(planted_model: Model, kind: Ablation) -> None:
    options = replace(OPTIONS, metric="prob_diff", edge_ablation=kind)
    row = tables_of(planted_model, days(), options)["find"].row(0, named=True)
    assert (row["metric"], row["method"], row["minimal"]) == ("prob_diff", kind, True)
    circuit = from_text(row["circuit"])
    assert circuit.absent == kind
    setup = split(Setup(planted_model, days(), options))[0]
    graph = Graph.of(planted_model)
    masks = np.stack([graph.among(graph.nodes), graph.mask([]), graph.mask(circuit.edges)])
    logits = run_within(
        planted_model, setup.questions.tokens, masks, setup.constants(kind), lambda finals: {"logits": finals.logits}
    )["logits"]
    probs = logits.double().softmax(-1)
    asked = zip(setup.questions.right, setup.questions.wrong, strict=True)
    model, empty, within = np.mean(
        [
            (probs[:, i, list(right)].sum(-1) - probs[:, i, list(wrong)].sum(-1)).numpy()
            for i, (right, wrong) in enumerate(asked)
        ],
        0,
    )
    assert row["faithfulness"] == pytest.approx((within - empty) / (model - empty), abs=1e-4)


def test_what_the_model_does_not_do_is_not_searched_and_that_is_why(with_words: Model) -> None:
    measurement = vitro.find(with_words, days(), OPTIONS)
    tables = {name: checked({name: measurement.tables[name]})[name] for name in FIND.tables}
    row = tables["find"].row(0, named=True)
    assert (row["found"], row["nodes"], row["edges"], row["finished"]) == (False, 0, 0, True)
    assert row["why"].startswith("The model answers ")
    assert row["why"].count(". ") == 0
    assert row["why"].endswith(".")
    assert FIND.summary(tables) == f"Not found. {row['why']}"
    assert not measurement.figures
    assert tables["verdict"]["condition"].to_list() == ["task"]
    assert all(tables[name].is_empty() for name in ("find_nodes", "find_edges", "search", "ladder", "ladder_answers"))


def test_a_list_of_words_is_searched_in_its_own_sentence_and_its_paraphrases_are_held_out(planted_model: Model) -> None:
    setup = Setup(planted_model, days(), OPTIONS)
    searched, held = split(setup)
    assert searched.questions.tokens == setup.questions.tokens
    assert [other.task for other in held] == list(days().paraphrased)
    assert all(len(other.questions) == 7 for other in held)


def test_pairs_are_split_evenly_of_all_kinds_or_as_they_are_swept() -> None:
    model = small_model("gpt2")
    task = said_by(model, n=12)
    for options, n in ((Options(), 8), (Options(sweep_prompts=4), 4)):
        searched, (held,) = split(Setup(model, task, options))
        rows = [part.prompt_numbers.tolist() for part in (searched, held)]
        assert list(map(len, rows)) == [n, 12 - n]
        assert sorted(rows[0] + rows[1]) == list(range(12))
        assert {*searched.questions.groups} == {*held.questions.groups} == set(STARTS)
        # They are asked as they are, and with the ablation of all.
        assert searched.questions.tokens == tuple(Setup(model, task).questions.tokens[row] for row in rows[0])
        assert searched.ablations == held.ablations == Setup(model, task, options).ablations


def test_no_more_prompts_are_held_out_than_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "HELD", 3)
    _, (held,) = split(Setup(small_model("gpt2"), said_by(small_model("gpt2"), n=12)))
    assert len(held.questions) == 3


def test_words_without_a_paraphrase_are_split_and_of_one_prompt_none_is_held_out(planted_model: Model) -> None:
    task = Successors("days", days().template, days().words, cyclic=True)
    searched, (held,) = split(Setup(planted_model, task, OPTIONS))
    assert (len(searched.questions), len(held.questions)) == (5, 2)
    single = replace(task, n=1)
    assert split(Setup(planted_model, single, OPTIONS))[1] == []
    tables = tables_of(planted_model, single, replace(OPTIONS, edge_ablation="zero"))
    assert not tables["find"]["found"].item()
    assert tables["find"]["why"].item().count("\n") == 0


def test_a_single_held_out_prompt_makes_nothing_sure() -> None:
    model = small_model("gpt2")
    tables = tables_of(model, said_by(model, n=6), Options(faithful=TAU, sweep_prompts=5, level="node"))
    held = next(row for row in tables["verdict"].to_dicts() if row["condition"] == "held_out")
    assert (held["low"], held["high"], held["holds"]) == (None, None, False)
    assert held["reading"][1:-1] in tables["find"]["why"].item()
    assert not tables["find"]["found"].item()


def test_stopped_by_its_budget_it_has_the_best_so_far_and_says_what_was_not_measured(
    planted_model: Model, planted_tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    for module in (MODULE, trial):
        monkeypatch.setattr(module, "time", clock)
    stages = set()
    for budget in (0.5, 5.5, 11.5, 30.5, 10_000.5):
        tables = tables_of(planted_model, days(), replace(OPTIONS, budget=budget))
        row = tables["find"].row(0, named=True)
        stages.add((row["nodes"] > 0, row["minimal"], row["finished"]))
        assert row["nodes"] == len(names(tables))
        if row["finished"]:
            assert all(tables[name].equals(planted_tables[name]) for name in FIND.tables)
            continue
        assert "the time was up" in row["why"]
        assert not row["found"]
        if row["nodes"]:
            assert row["faithfulness"] >= 0.85
            assert "not proved" in row["why"] or row["minimal"]
            assert from_text(row["circuit"]).edges
    # Nothing yet; a circuit that is too large; its nodes, not yet its edges; all.
    assert stages == {(False, False, False), (True, False, False), (True, True, False), (True, True, True)}
