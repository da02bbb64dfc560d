"""A report of a pair task: it opens with what was asked, draws kinds and marks, and names what was left out."""

import re
from html import unescape
from typing import Any

import pytest

from small_models import hf_model
from task_tokenizers import knowing
from vitro.experiments import EVERY_STUDY, EXPERIMENTS, Options
from vitro.experiments.prompts import asked
from vitro.figures import to_spec
from vitro.models import Model
from vitro.record import Study
from vitro.study import run_study
from vitro.tasks import days, named
from vitro.tasks.ioi import NAMES, OBJECTS, PLACES, TEMPLATES

N = 36
"""Prompts: too many for a line each."""
MARKS = ["<s>", "IO", "S1", "S1+1", "S2", "final"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("pairs")
    tokenizer = knowing(
        *(re.sub(r"\[\w+\]", "Mary", text) for text in TEMPLATES), " ".join(("", *NAMES, *PLACES, *OBJECTS))
    )
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64}
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.bos_token_id}
    hf_model("gpt2", vocab_size=len(tokenizer), **tokens, **sizes).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return run_study(str(folder / "model"), named(f"ioi:{N}"), folder / "study", Options(alphas=(0.0, 5.0)))


@pytest.fixture(scope="module")
def report(study: Study) -> str:
    """What a reader reads, without figures."""
    html = re.sub(r"<(script|style).*?</\1>", "", study.report.read_text(), flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", "\n", html))


@pytest.fixture(scope="module")
def specs(study: Study) -> dict[str, Any]:
    return {
        name: to_spec(figure)
        for experiment in EXPERIMENTS.values()
        if experiment.name in study.record.experiments
        for name, figure in experiment.figures(study.tables(experiment)).items()
    }


def test_it_begins_with_what_was_asked(report: str, study: Study) -> None:
    first = study.table("questions").row(0, named=True)
    lead = next(line for line in report.splitlines() if line.startswith(f"{N} prompts"))
    assert lead.startswith(f"{N} prompts of 30 kinds, such as “")
    assert f"right is {first['answer']} (the indirect object), wrong {first['wrong']} (the subject)" in lead
    assert "ranked by the logit difference under counterfactual ablation" in lead


def test_what_it_cannot_answer_is_named_with_the_reason_in_one_line(report: str, study: Study) -> None:
    assert "answer_table" in study.record.left_out
    for name, reason in study.record.left_out.items():
        assert f"{EXPERIMENTS[name].title} (needs {reason})" in report
        assert f'<section id="{name}">' not in study.report.read_text()
    assert set(study.record.left_out) | set(study.record.experiments) == set(EVERY_STUDY)


def test_no_figure_has_a_row_for_each_of_many_prompts_and_none_has_a_hole(specs: dict[str, Any]) -> None:
    for name, spec in specs.items():
        for rows in spec["datasets"].values():
            assert not [row for row in rows if None in row.values()], name
    lines = max(specs["clean"]["datasets"].values(), key=len)
    assert [row["label"] for row in lines] == [f"{order} {n}" for order in ("ABBA", "BABA") for n in range(1, 16)]


def test_no_table_of_it_has_more_than_forty_rows_or_a_column_named_in_code(study: Study) -> None:
    for experiment in EXPERIMENTS.values():
        if experiment.name in study.record.experiments:
            numbers = experiment.numbers(study.tables(experiment))
            assert len(numbers) <= 40, experiment.name
            names = " ".join(numbers.columns)
            assert not re.search(r"\b(answer_prob|logit_diff|wrong_prob)\b", names), experiment.name


def test_places_are_the_marks_and_bos_and_what_lies_beside(study: Study) -> None:
    attention, pinned = (
        EXPERIMENTS[name].numbers(study.tables(EXPERIMENTS[name])) for name in ("attention", "attention_pin")
    )
    assert attention.columns[1:] == [*MARKS, "elsewhere"]
    assert pinned.columns == ["heads", "clean", *MARKS[1:]]
    row = attention.select(attention.columns[1:]).row(0)
    assert sum(row) == pytest.approx(1, abs=1e-4)


def test_every_sentence_speaks_of_the_task_in_its_own_words(study: Study) -> None:
    tables = {name: study.table(name) for done in study.record.experiments.values() for name in done.tables}
    sentences = [EXPERIMENTS[name].summary(tables) for name in study.record.experiments]
    assert sum(map(bool, sentences)) >= 10
    for sentence in sentences:
        assert not re.search(
            r"logit_diff|answer_prob|right - wrong|None|nan|elsewhere\b.*at elsewhere|the IO|the S", sentence
        )


def test_each_kind_is_shown_by_its_first_prompt(study: Study) -> None:
    shown = EXPERIMENTS["prompts"].numbers(study.tables(EXPERIMENTS["prompts"]))
    assert shown["kind of prompt"].to_list()[:2] == ["ABBA 1", "ABBA 2"]
    assert shown["prompts"].sum() == N
    assert shown["the first of them"][0].startswith("Then, ")


def test_the_facts_say_how_many_rows_were_drawn_and_by_which_seed(report: str) -> None:
    assert f"{N}, drawn by seed 0" in report


def test_the_facts_say_what_the_task_made_of_options_that_were_left_to_it(report: str) -> None:
    for name, value in (("Metric", "logit_diff"), ("Edge ablation", "counterfactual")):
        assert re.search(rf"\n{name}\n+{value}\n", report)


def test_the_lens_has_one_count_where_the_answers_are_of_no_list(study: Study) -> None:
    columns = EXPERIMENTS["layer_lens"].numbers(study.tables(EXPERIMENTS["layer_lens"])).columns
    assert columns == ["layer", "mean answer prob", "mean prob of the subject", "answer above the subject in"]


def test_of_a_template_with_a_gap_it_says_the_template(planted_model: Model) -> None:
    tables = EXPERIMENTS["prompts"].measure(planted_model, days(), Options(samples=4)).tables
    assert asked(tables) == (
        "7 prompts that differ in the subject alone, \u201cIf today is {subject}, tomorrow is\u201d: right is Tuesday "
        "where it is Monday. Components are ranked by the answer's probability under mean ablation."
    )
