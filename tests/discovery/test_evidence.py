"""What speaks for a circuit, on tables by hand and on a planted model by plain runs of circuits."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from jaxtyping import Bool, Int

from discovery.gallery import GALLERY
from vitro.circuits import INPUT, LOGITS, resampled, run_within
from vitro.discovery import Case
from vitro.discovery.evidence import (
    Asked,
    by_guessing,
    complement,
    held_out,
    judged,
    overlap,
    repeats,
    run_asked,
    second,
    stability,
)
from vitro.discovery.find import Finder
from vitro.discovery.intervals import faithfulness_interval
from vitro.discovery.search import Aim, Outcome, OutOfTimeError, Sets, search
from vitro.discovery.trial import Ends, Measured
from vitro.experiments import Setup
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.tasks import days

TAU = 0.8
PROMPTS = 6
WEIGHTS = np.random.default_rng(0).uniform(0.5, 1.5, size=(5, PROMPTS)) * np.array([4, 3, 2, 0.4, 0.2])[:, None]
"""What each of five nodes adds to the metric of each prompt."""
FIRST_THREE = np.array([True, True, True, False, False])


def table(sets: Sets) -> Measured:
    values = sets @ WEIGHTS
    return Measured(values, values > 5)


ENDS = Ends(WEIGHTS.sum(0), np.zeros(PROMPTS), np.ones(PROMPTS, dtype=bool))


def search_table(
    prompts: Int[np.ndarray, " drawn"] | None = None, avoid: Bool[np.ndarray, " node"] | None = None
) -> Outcome:
    return search(lambda sets: ENDS.worth(table(sets), prompts), np.ones(5, dtype=bool), Aim(TAU, 0), avoid)


def asked(shift: float = 0.0, span: float = 4.0, n: int = 7) -> Asked:
    model = span + np.linspace(-1, 1, n)
    return Asked(
        Ends(model, np.zeros(n), np.ones(n, dtype=bool)),
        Measured((TAU * model + shift + 0.1 * (-1) ** np.arange(n))[None], np.ones((1, n), dtype=bool)),
        guessing=1 / 7,
    )


def test_wordings_in_which_the_model_does_not_do_the_task_tell_nothing_of_a_circuit() -> None:
    lost = asked(shift=-3.0)
    lost = replace(lost, ends=replace(lost.ends, right=np.arange(7) < 1))
    condition, without = held_out([asked(), asked(0.2), lost], TAU), held_out([asked(), asked(0.2)], TAU)
    assert (condition.value, condition.low, condition.high) == (without.value, without.low, without.high)
    assert condition.reading.startswith(
        "On 14 held-out prompts of 2 wordings (of 3, those in which the model does the task), each taken by itself,"
    )


def test_the_complement_has_all_nodes_but_the_circuits() -> None:
    condition = complement(table, ENDS, FIRST_THREE, TAU)
    assert condition.value == pytest.approx(WEIGHTS[3:].sum() / WEIGHTS.sum())
    assert condition.holds
    assert not complement(table, ENDS, ~FIRST_THREE, TAU).holds


def test_held_out_prompts_of_several_wordings_are_grouped_by_them() -> None:
    parts = [asked(shift) for shift in (-0.4, -0.2, 0.0, 0.2, 0.4)]
    condition = held_out(parts, TAU)
    circuit = np.concatenate([part.circuit.metric[0] for part in parts])
    model = np.concatenate([part.ends.model for part in parts])
    low, high = faithfulness_interval(circuit, model, 0 * model, np.repeat(np.arange(5), 7))
    assert condition.value == pytest.approx(circuit.sum() / model.sum())
    assert (condition.low, condition.high) == (float(low), float(high))
    assert condition.reading.startswith("On 35 held-out prompts of 5 wordings its faithfulness is")


def test_of_few_wordings_each_prompt_is_taken_by_itself_and_that_is_said() -> None:
    condition = held_out([asked(-0.2), asked(0.2)], TAU)
    assert condition.reading.startswith("On 14 held-out prompts of 2 wordings, each taken by itself, its faithfulness")
    single = held_out([asked()], TAU)
    assert single.reading.startswith("On 7 held-out prompts its faithfulness")


def test_prompts_of_several_kinds_are_grouped_by_them() -> None:
    part = replace(asked(n=10), kinds=tuple("aabbccddee"))
    condition = held_out([part], TAU)
    ends = part.circuit.metric[0], part.ends.model, part.ends.empty
    low, high = faithfulness_interval(*ends, np.repeat(np.arange(5), 2))
    assert (condition.low, condition.high) == (float(low), float(high))
    assert condition.reading.startswith("On 10 held-out prompts of 5 kinds its faithfulness")


def test_where_the_model_does_not_do_the_held_out_prompts_nothing_is_measured() -> None:
    condition = held_out([asked(span=-4.0)], TAU)
    assert condition.value is None
    assert not condition.holds
    assert "the model itself does not do the task" in condition.reading


def test_searches_are_repeated_on_as_many_resampled_prompts_and_judged_on_those_left_out() -> None:
    drawn: list[np.ndarray] = []

    def noted(prompts: Int[np.ndarray, " drawn"] | None, avoid: Bool[np.ndarray, " node"] | None) -> Outcome:
        assert prompts is not None
        assert avoid is None
        drawn.append(prompts)
        return search_table(prompts)

    done = repeats(noted, table, ENDS, FIRST_THREE, seed=0)
    assert [len(prompts) for prompts in drawn] == [PROMPTS] * 4
    for prompts, repeat in zip(drawn, done, strict=True):
        left_out = [prompt for prompt in range(PROMPTS) if prompt not in prompts]
        f = (repeat.inside @ WEIGHTS)[left_out].sum() / WEIGHTS.sum(0)[left_out].sum()
        assert repeat.f == pytest.approx(f)
        assert repeat.overlap == overlap(FIRST_THREE, repeat.inside)
    assert stability(done, TAU).value == pytest.approx(np.mean([repeat.overlap for repeat in done]))
    again = repeats(search_table, table, ENDS, FIRST_THREE, seed=0)
    assert [repeat.inside.tolist() for repeat in again] == [repeat.inside.tolist() for repeat in done]


def test_searches_that_time_cut_short_say_nothing_of_stability() -> None:
    calls = 0

    def stopped(prompts: Int[np.ndarray, " drawn"] | None, avoid: Bool[np.ndarray, " node"] | None) -> Outcome:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OutOfTimeError
        return search_table(prompts, avoid)

    done = repeats(stopped, table, ENDS, FIRST_THREE, seed=0)
    assert len(done) == 2
    assert "in 2 searches" in stability(done, TAU).reading
    condition = stability([], TAU)
    assert (condition.value, condition.holds) == (None, False)


@pytest.mark.parametrize("redundant", [True, False])
def test_a_second_circuit_is_seen_where_there_is_one(redundant: bool) -> None:
    def worth(sets: Sets) -> Measured:
        does = sets[:, :2].all(1) | (sets[:, 2:4].all(1) if redundant else False)
        return Measured(np.outer(does, np.ones(PROMPTS)), np.ones((len(sets), PROMPTS), dtype=bool))

    ends = Ends(np.ones(PROMPTS), np.zeros(PROMPTS), np.ones(PROMPTS, dtype=bool))

    def searching(prompts: Int[np.ndarray, " drawn"] | None, avoid: Bool[np.ndarray, " node"] | None) -> Outcome:
        return search(lambda sets: ends.worth(worth(sets), prompts), np.ones(5, dtype=bool), Aim(TAU, 0), avoid)

    inside = np.array([True, True, False, False, False])
    condition = second(searching, inside, TAU)
    assert condition.holds is not redundant
    assert condition.value == (0 if redundant else 1)


def test_guessing_is_right_as_often_as_right_tokens_are_among_those_they_are_ranked_with(planted_model: Model) -> None:
    questions = days().questions(planted_model.tokenizer, None)
    assert by_guessing(questions) == pytest.approx(1 / 7)
    # As of years that follow one: of seven prompts the last is hard to answer wrong.
    years = replace(questions, among=(), right=((1,),) * 6 + ((1, 2, 3),), wrong=((2, 3, 4),) * 6 + ((4,),))
    assert by_guessing(years) == pytest.approx((6 * 1 / 4 + 3 / 4) / 7)
    assert by_guessing(replace(years, wrong=((),) * 7)) == 1


@pytest.fixture(scope="module")
def finder(planted_model: Model) -> Finder:
    return Finder(case_of(planted_model), TAU)


def case_of(model: Model) -> Case:
    questions = days().questions(model.tokenizer, None)
    return Case(model, questions, METRICS["logit_diff"], resampled(model, questions.tokens, seed=0))


def test_a_circuit_of_a_model_is_judged_by_what_plain_runs_give(finder: Finder) -> None:
    found, case, graph = finder.find("node"), finder.case, finder.case.graph
    verdict = judged(finder, found, [lambda: case], {"days": lambda: case}, seed=0)
    by_name = {condition.condition: condition for condition in verdict.conditions}
    assert list(by_name) == [
        "task", "minimal", "faithful", "held_out", "complement", "random", "second", "stability", "transfer to days",
    ]  # fmt: skip
    rest = [node for node in graph.sources if node not in found.nodes]
    masks = np.stack([graph.among(graph.nodes), graph.mask([]), graph.among([*rest, LOGITS])])
    assert INPUT in rest
    values = run_within(
        case.model, case.questions.tokens, masks, case.constants,
        lambda finals: {"value": case.metric.of(case.asked[finals.prompts].of_logits(finals))},
    )["value"].double().mean(1)  # fmt: skip
    f = (values[2] - values[1]) / (values[0] - values[1])
    assert by_name["complement"].value == pytest.approx(float(f), abs=1e-4)
    # The very prompts that were searched.
    assert by_name["held_out"].value == pytest.approx(found.f, abs=1e-4)
    assert by_name["transfer to days"].value == pytest.approx(found.f, abs=1e-4)
    assert by_name["task"].holds
    assert by_name["minimal"].holds
    assert by_name["faithful"].holds
    # In a model of so few nodes guessing finds it too.
    assert (by_name["random"].value, by_name["random"].holds) == (None, None)


@pytest.mark.parametrize("seed", range(3))
def test_of_two_heads_that_do_the_task_alike_the_other_one_is_a_second_circuit(seed: int) -> None:
    planted = GALLERY["redundant_heads"](seed)
    setup = Setup(planted.model, planted.task)
    case = Case(planted.model, setup.questions, METRICS[planted.metric], setup.constants("mean"))
    finder = Finder(case, TAU)
    found = finder.find("node")
    verdict = judged(finder, found, [lambda: case], {}, seed=0)
    heads = {node for circuit in planted.circuits["mean"] for node in circuit.heads}
    assert len(found.nodes) == 1
    assert set(found.nodes) < heads
    assert "came to another circuit as good: 1 node, 0 of them its own" in verdict.why


def test_what_is_kept_of_a_circuit_on_other_prompts_is_kept_under_that_circuit(finder: Finder) -> None:
    found, kept = finder.find("node"), dict[str, Mapping[str, pl.DataFrame]]()

    def keep(name: str, make: Callable[[], Mapping[str, pl.DataFrame]]) -> Mapping[str, pl.DataFrame]:
        if name not in kept:
            kept[name] = make()
        return kept[name]

    keeping = replace(finder, keep=keep)
    moved = replace(found, mask=np.roll(found.mask, 1))
    fresh = [run_asked(circuit, finder.case, finder, "other").f for circuit in (found, moved)]
    assert [run_asked(circuit, finder.case, keeping, "other").f for circuit in (found, moved)] == fresh
    assert len(kept) == 2


def test_what_time_does_not_suffice_for_is_said_and_does_not_hold(planted_model: Model) -> None:
    finder = Finder(case_of(planted_model), TAU)
    found = finder.find("node")
    finder.until = finder.node_trials.until = time.monotonic()
    finder.node_trials.known.clear()
    verdict = judged(finder, found, [lambda: finder.case], {"days": lambda: finder.case}, seed=0)
    unmeasured = [condition.condition for condition in verdict.conditions if condition.value is None]
    assert unmeasured == ["minimal", "held_out", "complement", "random", "second", "stability"]
    assert not verdict.found
    assert "the model without the circuit, the chance of guessing it, " in verdict.why
    assert verdict.why.endswith(" and stability were not measured: the time was up.")


def test_of_a_circuit_without_heads_and_mlps_the_edges_are_searched_too(planted_model: Model) -> None:
    finder = Finder(case_of(planted_model), TAU)
    graph = finder.case.graph
    bare = replace(finder.find("node"), nodes=(), mask=graph.among([INPUT, LOGITS]), aim=Aim(-100.0, 0))
    found = finder.edges(bare)
    assert (found.nodes, int(found.mask.sum()), found.level, found.minimal) == ((), 0, "edge", True)
