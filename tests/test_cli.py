"""The command line: what it prints, and every mistake told in one line with exit code 2."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vitro.cli import main
from vitro.cli.tasks import EXAMPLE
from vitro.errors import VitroError
from vitro.tasks import from_toml


@dataclass
class Done:
    code: int
    out: str
    err: str


Vitro = Callable[..., Done]


@pytest.fixture
def vitro(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitro:
    """The command line, run in this process: another one would load torch anew each time."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["vitro", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    return run


def test_help_does_not_wait_for_torch() -> None:
    script = (
        "import sys; sys.argv = ['vitro', '--help']; from vitro import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
    )
    script += (
        "heavy = {'torch', 'transformers', 'polars', 'altair', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "study" in done.stdout


def test_a_study_prints_what_it_found_and_where_the_report_is(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    done = vitro("study", "days", "--model", str(planted_folder), "--out", str(out), "--samples", "4")
    assert done.code == 0, done.err
    assert "answers 7 of 7 prompts right" in done.out
    assert "mean ablation of a1.h1 costs the answer most" in done.out
    assert str(out / "report.html") in done.out
    assert done.err == ""
    again = vitro("study", "days", "--model", str(planted_folder), "--out", str(out), "--samples", "4", "--json")
    assert json.loads(again.out)["report"] == str(out / "report.html")
    assert vitro("report", str(out)).code == 0


def test_models_and_tasks_are_listed_for_people_and_machines(vitro: Vitro) -> None:
    assert "smollm2" in vitro("models").out
    assert json.loads(vitro("models", "--json").out)["families"]["GPT2"] == ["gpt2"]
    assert "If today is {day}, tomorrow is" in vitro("tasks").out
    assert json.loads(vitro("tasks", "--json").out)["days"]["cyclic"] is True


def test_the_example_of_a_task_is_one(tmp_path: Path) -> None:
    (tmp_path / "seasons.toml").write_text(EXAMPLE)
    assert from_toml(tmp_path / "seasons.toml").answers == ("summer", "autumn", "winter", "spring")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stdy"], "No such command 'stdy'"),
        (["study", "days"], "Missing option '--model'"),
        (["study", "dayz", "--model", "smollm2"], "there is no task 'dayz'; did you mean days?"),
        (["study", "none.toml", "--model", "smollm2"], "none.toml"),
        (["study", "days", "--model", "./none"], "no such file or folder"),
        (["study", "days", "--model", "MODEL", "--seed", "-1"], "seed must be 0 or more"),
        (["study", "days", "--model", "MODEL", "--seed", "x"], "--seed"),
        (["study", "days", "--model", "MODEL", "--samples", "0"], "samples must be 1 or more"),
        (["study", "days", "--model", "MODEL", "--memory", "lots"], "--memory: 'lots' is not a size"),
        (["study", "days", "--model", "MODEL", "--alphas", "x"], "--alphas: 'x' are not numbers"),
        (["study", "days", "--model", "MODEL", "--ablations", "none"], "one or more of zero, random, mean"),
        (["study", "days", "--model", "MODEL", "--memory", "1kB"], "memory budget of 1 kB is too small"),
        (["study", "days", "--model", "MODEL", "--device", "abacus"], "device 'abacus' is not known"),
        (["study", "days", "--model", "MODEL", "--dtype", "int3"], "dtype 'int3' is not known"),
        (["study", "days", "--model", "MODEL", "--value-bias", "x"], "excluded or included"),
        (["study", "numbers", "--model", "MODEL"], "task 'numbers-10'"),
        (["report", "OUT"], "holds no study"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    vitro: Vitro, arguments: list[str], says: str, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    known = {"MODEL": str(planted_folder), "OUT": str(out)}
    arguments = [known.get(argument, argument) for argument in arguments]
    if arguments[0] == "study" and "--model" in arguments:
        arguments += ["--out", str(out)]
    done = vitro(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not out.exists()


def test_debug_shows_where_a_mistake_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vitro", "--debug", "study", "dayz", "--model", "smollm2"])
    with pytest.raises(VitroError):
        main()


def test_ctrl_c_says_that_the_same_command_goes_on(vitro: Vitro, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitro.tasks.named", interrupted)
    done = vitro("study", "days", "--model", "smollm2")
    assert (done.code, done.err.count("\n")) == (130, 1)
    assert "the same command goes on" in done.err


@pytest.mark.parametrize(
    "command",
    [("circuit", "input -> a0.h2; a0.h2 -> logits", "days", "--model", "M"), ("reproduce", "--model", "M")],
    ids=["circuit", "reproduce"],
)
def test_ctrl_c_promises_nothing_where_nothing_is_kept(
    vitro: Vitro, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def interrupted(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitro.tasks.named", interrupted)
    monkeypatch.setattr("vitro.models.find", interrupted)
    done = vitro(*command)
    assert (done.code, done.err) == (130, "vitro: stopped\n")


def test_a_circuit_is_run_from_its_text(vitro: Vitro, planted_folder: Path, planted_model: object) -> None:
    text = "input -> a0.h2[subject], a1.h1[subject]; a0.h2, a1.h1 -> logits"
    done = vitro("circuit", text, "days", "--model", str(planted_folder), "--samples", "4")
    assert done.code == 0, done.err
    assert "7 of 7 right" in done.out
    assert "a0.h2 0.00 0.00 0.00 0.00 1.00 0.00 0.00 0.00" in re.sub(" +", " ", done.out)
    judged = vitro("circuit", text, "days", "--model", str(planted_folder), "--samples", "4", "--judge", "--json")
    said = json.loads(judged.out)
    assert [row["answer_rank"] for row in said["prompts"]] == [0] * 7
    assert all(row["leading_answer"] == row["answer"] for row in said["prompts"])
    assert len(said["answer_table"]) == 7 * 7
    looked = {(row["layer"], row["head"]): row["position"] for row in said["attention"] if row["weight"] == 1.0}
    assert looked == {(0, 2): 4, (1, 1): 4}
    assert {row["question"].split(":")[0] for row in said["quality"]} == {"faithful", "complete", "minimal", "chance"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("input -> a0.h2", "the circuit has no logits"),
        ("input -> a0.h2; a0.hx -> logits", "line 2: 'a0.hx' is not a component"),
        ("input -> a7.h2; a7.h2 -> logits", "there is no a7.h2 in this model"),
        ("input -> a0.h2[9]; a0.h2 -> logits", "pinned to stream 9"),
    ],
)
def test_a_circuit_that_cannot_be_is_told_in_a_line(
    vitro: Vitro, planted_folder: Path, planted_model: object, text: str, words: str
) -> None:
    done = vitro("circuit", text, "days", "--model", str(planted_folder))
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_claims_about_gpt2_small_are_not_asked_of_another_model(
    vitro: Vitro, planted_folder: Path, planted_model: object
) -> None:
    done = vitro("reproduce", "--model", str(planted_folder))
    assert done.code == 2
    assert "the claims are about GPT-2 small" in done.err
    assert vitro("reproduce", "--conventions", "some").code == 2


def test_a_circuit_is_written_to_files_and_read_back(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    model = ("--model", str(planted_folder), "--samples", "4", "--json")
    written, drawn = tmp_path / "circuit.json", tmp_path / "circuit.svg"
    text = "input -> a0.h2, a1.h1; a0.h2, a1.h1 -> logits"
    first = vitro("circuit", text, "days", *model, "--export", str(written), "--drawing", str(drawn))
    assert first.code == 0, first.err
    assert drawn.read_text().startswith("<svg")
    again = vitro("circuit", str(written), "days", *model)
    assert json.loads(again.out) == json.loads(first.out)
    pinned = vitro(
        "circuit", "input -> a0.h2[4]; a0.h2 -> logits", "days", *model, "--export", str(tmp_path / "no.json")
    )
    assert pinned.code == 2
    assert not (tmp_path / "no.json").exists()
