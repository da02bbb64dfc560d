"""The smallest models and tasks there are, and those in which nothing matters, through every measurement."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import Vitro
from small_models import hf_model
from task_tokenizers import knowing
from vitro import study_page
from vitro.experiments import EXPERIMENTS, Options
from vitro.record import Study
from vitro.study import run_study
from vitro.tasks import Pair, Pairs, Successors, Task, days

TWO = Successors("two", "If {word} then", ("on", "off"), cyclic=True)
ONE_TOKEN = Successors("one-token", "{word}", ("on", "off"), cyclic=True)
ROW = Pair("When Mary saw John", (" it",), (" her",), "When Mary saw Anna", marks={"S": 3})
ONE_ROW = Pairs("one-row", (ROW,))
ALIKE = Pairs("alike", (ROW,) * 3)
UNCHANGED = Pairs("unchanged", tuple(Pair(row.clean, row.right, row.wrong, row.clean) for row in (ROW, ROW)))
"""Counterfactuals that are their prompts, so that nothing can change."""
LONGEST = Pairs("longest", (Pair("Anna saw" * 7 + " it", (" her",), (" it",), "Mary saw" * 7 + " it"),) * 2)
BACKWARDS = Successors("backwards", days().template, days().words[::-1], cyclic=True)


@dataclass(frozen=True)
class Case:
    """A task on a random model of a type, with these fields of its configuration."""

    task: Task
    model_type: str
    fields: dict[str, Any]
    zero: bool = False
    """Whether every weight is zero."""
    bos: str | None = "<s>"

    def saved(self, folder: Path) -> Path:
        """The model's checkpoint, with a tokenizer that knows the words of the task and no others."""
        tokenizer = knowing(*texts(self.task), bos=self.bos)
        hf = hf_model(self.model_type, vocab_size=len(tokenizer), **self.fields)
        if self.zero:
            for weight in hf.parameters():
                weight.zero_()
        hf.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder


def texts(task: Task) -> Sequence[str]:
    if isinstance(task, Successors):
        return [f"{task.fill(word)} {answer}" for word in task.words for answer in task.words]
    assert isinstance(task, Pairs)
    return [text for row in task.rows for text in (row.clean, row.corrupt or "", *map(str, (*row.right, *row.wrong)))]


ONE = {"n_layer": 1, "n_head": 1, "n_inner": 1, "n_embd": 8}
CASES = {
    "one layer, one head, one neuron": Case(days(), "gpt2", ONE),
    "a stream of one number": Case(TWO, "gpt2", {**ONE, "n_embd": 1}),
    "heads of one number, two words": Case(TWO, "gpt2", {"n_layer": 1, "n_head": 3, "n_embd": 3}),
    "one row, heads that share keys": Case(
        ONE_ROW,
        "llama",
        {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 4},
    ),
    "one parallel layer, prompts all alike": Case(ALIKE, "gpt_neox", {"num_hidden_layers": 1, "hidden_size": 16}),
    "prompts of one token": Case(ONE_TOKEN, "gpt2", {"n_layer": 1}, bos=None),
    "prompts as long as the context": Case(LONGEST, "gpt2", {**ONE, "n_positions": 16}),
    "counterfactuals that change nothing": Case(UNCHANGED, "llama", {"num_hidden_layers": 1}),
    "no weights, days": Case(days(), "gpt2", {"n_layer": 1}, zero=True),
    "no weights, one row": Case(ONE_ROW, "gpt_neox", {"num_hidden_layers": 1}, zero=True),
}
NOTHING_TO_EXPLAIN = {name for name in CASES if re.search("no weights|change nothing|one number$", name)}


def assert_whole(measured: Study, spanless: bool) -> None:
    """Every measurement was made or is named with a reason, and what is said of it is English."""
    record = measured.record
    assert {*record.experiments, *record.left_out, *record.without_value} == set(EXPERIMENTS)
    assert set(record.without_value) == ({"curve"} if spanless else set())
    if spanless:
        assert "there is nothing to explain" in record.without_value["curve"]
        assert "How many edges it takes (there is nothing to explain" in measured.report.read_text("utf-8")
    tables = {name: measured.table(name) for done in record.experiments.values() for name in done.tables}
    for name in record.experiments:
        sentence = EXPERIMENTS[name].summary(tables)
        assert not re.search(r"\bnan\b|\binf\b|\b1 (prompts|heads|ways|sets)\b", sentence), sentence


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, which takes longer than all that is measured."""
    monkeypatch.setattr(study_page, "to_svg", lambda figure: '<svg class="marks"></svg>')


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_is_measured_as_far_as_it_can_be(name: str, tmp_path: Path, undrawn: None) -> None:
    case = CASES[name]
    model = case.saved(tmp_path / "model")
    whole = run_study(str(model), case.task, tmp_path / "study", Options(samples=4), experiments=EXPERIMENTS)
    assert_whole(whole, name in NOTHING_TO_EXPLAIN)


@pytest.mark.parametrize("name", ["a stream of one number", "no weights, days"])
def test_every_figure_of_the_smallest_is_drawn(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = case.saved(tmp_path / "model")
    whole = run_study(str(model), case.task, tmp_path / "study", Options(samples=4), experiments=EXPERIMENTS)
    drawn = [path.read_text("utf-8") for path in (whole.folder / "figures").glob("*.svg")]
    assert len(drawn) > 20
    assert not any("NaN" in svg or "undefined" in svg for svg in drawn)


def test_a_task_of_which_all_answers_are_wrong_is_measured(
    planted_folder: Path, planted_model: object, tmp_path: Path, undrawn: None
) -> None:
    options = Options(samples=4, sweep_prompts=2)
    whole = run_study(str(planted_folder), BACKWARDS, tmp_path / "study", options, experiments=EXPERIMENTS)
    assert_whole(whole, spanless=False)


def test_what_has_no_value_is_told_in_one_line_where_it_is_asked_for_alone(tmp_path: Path, vitro: Vitro) -> None:
    case = CASES["no weights, days"]
    model = case.saved(tmp_path / "model")
    done = vitro("curve", "days", "--model", str(model), "--samples", "4", "--out", str(tmp_path / "study"))
    assert (done.code, done.out) == (2, "")
    assert "How many edges it takes: there is nothing to explain" in done.err
    assert (tmp_path / "study" / "report.html").is_file()


def test_the_smallest_circuit_is_run_and_judged(tmp_path: Path, vitro: Vitro) -> None:
    model = CASES["one layer, one head, one neuron"].saved(tmp_path / "model")
    for circuit in ("input -> logits", "input -> m0; m0 -> logits", "input -> a0.h0[subject]; a0.h0 -> logits"):
        done = vitro("circuit", circuit, "days", "--model", str(model), "--samples", "4", "--judge")
        assert done.code == 0, done.err
