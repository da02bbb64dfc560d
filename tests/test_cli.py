"""The command line: what it prints, and every mistake told in one line with exit code 2."""

import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from command import Vitro, refusal
from vitro.circuits import Graph, read_mib, to_circuit_file, to_importances
from vitro.cli import main
from vitro.cli.tasks import ROW, TEMPLATE
from vitro.discovery import SIZES, select
from vitro.errors import VitroError
from vitro.models import Model, find, load_tokenizer
from vitro.options import Options
from vitro.study import run_study
from vitro.tasks import Pairs, days, from_toml, named


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
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    done = vitro("study", "days", "--model", str(planted_folder), "--out", str(out), "--samples", "4")
    assert done.code == 0, done.err
    assert "answers 7 of 7 prompts right" in done.out
    assert "mean ablation of a1.h1 lowers the answer's probability most" in done.out
    assert str(out / "report.html") in done.out
    assert done.err == ""
    drawn = []
    # Once is enough to see that it can be drawn.
    monkeypatch.setattr("vitro.study._show", lambda folder, record: drawn.append(folder))
    again = vitro("study", "days", "--model", str(planted_folder), "--out", str(out), "--samples", "4", "--json")
    assert json.loads(again.out)["report"] == str(out / "report.html")
    assert vitro("report", str(out)).code == 0
    assert drawn == [out, out]


def test_a_study_with_options_of_its_own_gets_edges_by_the_command_that_its_report_prints(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    options = Options(samples=4, alphas=(0.0, 1.0), steer_token=" tomorrow", metric="logit_diff")
    run_study(str(planted_folder), days(), out, options, experiments=["prompts"])
    command = json.loads((out / "study.json").read_text())["command"]
    _, _, *words = shlex.split(command)
    done = vitro("edges", *words, "--out", str(out), "--scores", "eap")
    assert done.code == 0, done.err
    page = html.unescape(re.sub("<[^>]+>", "", (out / "report.html").read_text()))
    assert page.count(shlex.join(["vitro", "edges", *words, "--scores", "eap"])) == 2, "of the section and of the page"


def test_scores_are_printed_against_exact_and_those_that_are_there_are_not_measured_again(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("edges", "days", "--model", str(planted_folder), "--samples", "4", "--out", str(tmp_path))
    done = vitro(*words, "--scores", "exact,eap")
    assert done.code == 0, done.err
    assert re.search(r"^eap +0\.\d{3}", done.out, re.MULTILINE)
    assert "Of 262 edges, each cut alone" in done.out
    # A model that is not loaded cannot be run.
    monkeypatch.setattr("vitro.study.load_checkpoint", None)
    told = json.loads(vitro(*words, "--scores", "eap", "--json").out)
    assert {"edge", "score", "node", "sum of its edges"} == set(told["strongest"][0])
    assert told["strongest"][0]["edge"] == "a1.h1->logits"
    assert [row["by"] for row in told["agreement"]] == ["exact", "eap"]
    assert told["agreement"][1]["worst misses"]


def test_some_edges_are_cut_in_a_folder_of_their_own_and_rank_nothing(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("days", "--model", str(planted_folder), "--samples", "4", "--top", "9")
    done = vitro("edges", *words, "--scores", "exact,eap")
    assert done.code == 0, done.err
    assert "Of 9 edges, each cut alone" in done.out
    (study,) = (tmp_path / "studies").iterdir()
    assert study.name.endswith("-top-9")
    for command in (["curve"], ["export", "--mib", "mib"]):
        told = refusal(vitro(*command, *words, "--scores", "exact"))
        assert told == "--top leaves edges without an exact score, and so without a rank; what works: eap-ig"


def test_a_circuit_is_found_and_printed_with_what_speaks_for_it(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("find", "days", "--model", str(planted_folder), "--samples", "8", "--out", str(tmp_path))
    stopped = vitro(*words, "--budget", "0.001s")
    assert (stopped.code, stopped.err) == (0, "")
    assert "The time was up: the same command goes on from there." in stopped.out
    done = vitro(*words)
    assert (done.code, done.err) == (0, "")
    assert "absent: mean\ninput -> a1.h1<v>\na1.h1 -> logits\n" in done.out
    assert re.search(r"^held_out +holds +On \d+ held-out prompts", done.out, re.MULTILINE)
    assert f"The report: {tmp_path / 'report.html'}" in done.out
    assert "The time was up" not in done.out
    # A model that is not loaded cannot be run.
    monkeypatch.setattr("vitro.study.load_checkpoint", None)
    said = json.loads(vitro(*words, "--json").out)
    wanted = {"found", "why", "nodes", "edges", "circuit", "faithfulness", "right", "p_random", "seconds", "finished"}
    assert wanted <= set(said)
    assert (said["found"], said["why"]) == (True, "")
    assert (said["nodes"], said["edges"]) == (["a1.h1"], ["input->a1.h1<v>", "a1.h1->logits"])
    assert set(said["faithfulness"]) == {"searched", "held_out", "interval"}
    low, high = said["faithfulness"]["interval"]
    assert low < said["faithfulness"]["held_out"] < high
    assert {"model": 7, "circuit": 7}.items() <= said["right"].items()
    assert said["seconds"] > 0


def test_what_a_circuit_is_found_by_can_be_chosen(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    words = ("find", "days", "--model", str(planted_folder), "--samples", "8", "--out", str(tmp_path))
    chosen = ("--metric", "prob_diff", "--ablation", "zero", "--level", "node", "--faithful", "0.7")
    said = json.loads(vitro(*words, *chosen, "--json").out)
    assert (said["metric"], said["ablation"], said["nodes"]) == ("prob_diff", "zero", ["a1.h1"])
    assert said["circuit"].startswith("absent: zero\ninput -> a1.h1\n")
    # --ablation is --edge-ablation, as the command on the page has it.
    command = json.loads((tmp_path / "study.json").read_text())["command"]
    assert vitro("find", *shlex.split(command)[2:], "--out", str(tmp_path)).code == 0


def test_a_study_searches_for_its_circuit_unless_it_is_told_not_to(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.experiments.EVERY_STUDY", ("prompts", "clean", "find"))
    words = ("days", "--model", str(planted_folder), "--samples", "8", "--out", str(tmp_path))
    assert vitro("study", *words, "--no-find").code == 0
    assert list(json.loads((tmp_path / "study.json").read_text())["experiments"]) == ["prompts", "clean"]
    assert vitro("study", *words).code == 0
    assert list(json.loads((tmp_path / "study.json").read_text())["experiments"]) == ["prompts", "clean", "find"]
    refused = vitro("find", *words, "--faithful", "0.9")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "its faithful is '0.85', not '0.9'" in refused.err


def test_models_and_tasks_are_listed_for_people_and_machines(vitro: Vitro) -> None:
    assert "smollm2" in vitro("models").out
    known = json.loads(vitro("models", "--json").out)
    assert "learned positions" in known["families"]["GPT2"]["gpt2"]
    assert known["text_parts"]["mistral3"] == ["mistral", "ministral3"]
    listed = vitro("tasks").out
    assert "If today is Monday, tomorrow is -> Tuesday" in listed
    assert "Wang et al. 2022" in listed
    assert json.loads(vitro("tasks", "--json").out)["ioi"]["typed"] == "ioi[:n]"
    assert "If today is {day}, tomorrow is" in vitro("tasks", "days").out
    assert json.loads(vitro("tasks", "days", "--json").out)["name"] == "days"


def test_a_model_is_checked_against_transformers_by_its_name(
    vitro: Vitro, planted_folder: Path, planted_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planted_model.origin is not None
    assert "Beside transformers (eager attention): logits" in " ".join(
        vitro("models", str(planted_folder), "--check").out.split()
    )
    checked = json.loads(vitro("models", str(planted_folder), "--check", "--dtype", "auto", "--json").out)
    assert checked["difference"] == planted_model.origin.parity.difference
    assert (checked["model_type"], checked["holds"], checked["dtype"]) == ("gpt2", True, "float32")
    assert 0 <= checked["difference"] <= checked["tolerance"] < 1e-3
    assert "--check goes with the name of a model" in vitro("models", "--check").err
    assert "what works: vitro models smollm2 --check" in vitro("models", "smollm2").err
    monkeypatch.setattr(Model, "final_norm", lambda model, resid: 1.01 * model.readout.norm(resid))
    wrong = vitro("models", str(planted_folder), "--check", "--json")
    assert (wrong.code, json.loads(wrong.out)["holds"]) == (1, False)


def test_the_examples_of_tasks_are_some(tmp_path: Path) -> None:
    (tmp_path / "seasons.toml").write_text(TEMPLATE)
    assert from_toml(tmp_path / "seasons.toml").answers == ("summer", "autumn", "winter", "spring")
    (tmp_path / "keys.jsonl").write_text(ROW)
    keys = named(str(tmp_path / "keys.jsonl"))
    assert isinstance(keys, Pairs)
    assert (keys.rows[0].right, keys.rows[0].wrong) == ((" are",), (" is",))


def test_a_tasks_prompts_are_shown_without_the_model_s_weights(
    vitro: Vitro, planted_folder: Path, planted_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*given: object) -> None:
        raise AssertionError("weights were read")

    # By the module's own name: in its room, `load` is the function.
    monkeypatch.setattr(sys.modules["vitro.models.load"], "_read_weights", read)
    shown = vitro("tasks", "days:all", "--model", str(planted_folder), "--first", "2")
    assert shown.code == 0, shown.err
    assert "If| today| is| Monday|,| tomorrow| is" in shown.out
    assert "subject 4 ' Monday', final 7 ' is'" in shown.out
    assert "right           ' Tuesday'\n  wrong           ' Monday'" in shown.out
    assert "counterfactual  If today is" in shown.out
    assert "2 of 42 prompts" in shown.out
    preview = json.loads(vitro("tasks", "days", "--model", str(planted_folder), "--json").out)
    assert (preview["total"], len(preview["rows"]), preview["rows"][0]["answer"]) == (7, 3, "Tuesday")
    assert load_tokenizer(find(str(planted_folder)))[1] == planted_model.shape.n_ctx


def test_rows_that_are_left_out_are_told_of_before_anything_is_run(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows_of = [("Monday", "Tuesday", " Tuesday"), ("Monday", "Tuesday", " a b c"), ("Friday", "Sunday", " Saturday")]
    rows.write_text(
        "\n".join(
            json.dumps(
                {"clean": f"If today is {day},", "corrupt": f"If today is {other},", "right": right, "wrong": " house"}
            )
            for day, other, right in rows_of
        )
    )
    command = ("tasks", str(rows), "--model", str(planted_folder))
    refused = vitro(*command)
    assert (refused.code, refused.out) == (2, "")
    assert "row 2" in refused.err
    shown = vitro(*command, "--skip-bad-rows")
    assert shown.code == 0, shown.err
    assert "2 of 2 prompts" in shown.out
    assert "row 2" in shown.out


def test_every_option_of_a_study_is_one_of_its_edges_curves_and_circuits_too(vitro: Vitro) -> None:
    study, edges, curve, find = (
        set(re.findall(r"--[a-z-]+", vitro(command, "--help").out)) for command in ("study", "edges", "curve", "find")
    )
    assert edges - study == {"--scores"}
    assert curve - study == {"--scores", "--file", "--vary", "--figure"}
    assert find - study == {"--ablation"}
    assert study - edges == study - curve == study - find == {"--also", "--no-find", "--measure"}


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
        (["edges", "days", "--model", "MODEL", "--scores", "eapig"], "one or more of exact, eap, eap-ig"),
        (["curve", "days", "--model", "MODEL", "--scores", "eapig"], "one or more of exact, eap, eap-ig"),
        (["curve", "days", "--model", "MODEL", "--file", "none.json"], "none.json: there is no such file"),
        (["find", "days", "--model", "MODEL", "--ablation", "none"], "--ablation must be zero or random or mean or"),
        (
            ["find", "days", "--model", "MODEL", "--ablation", "zero", "--edge-ablation", "mean"],
            "say the same: give one",
        ),
        (["find", "days", "--model", "MODEL", "--faithful", "0"], "faithful must be a number above 0, and 1 at most"),
        (["find", "days", "--model", "MODEL", "--faithful", "2"], "faithful must be a number above 0, and 1 at most"),
        (["find", "days", "--model", "MODEL", "--faithful", "x"], "--faithful: 'x' is not a number; what works: 0.85"),
        (["find", "days", "--model", "MODEL", "--budget", "soon"], "--budget: 'soon' is not a time; what works: 90s"),
        (["find", "days", "--model", "MODEL", "--budget", "0"], "budget must be a time of more than 0 seconds, not 0"),
        (["find", "days", "--model", "MODEL", "--level", "x"], "level must be node or edge, not 'x'"),
        (["report", "OUT"], "holds no study"),
        (["tasks", "dayz"], "did you mean days?"),
        (["tasks", "--model", "smollm2"], "no task is named; what works: vitro tasks ioi --model smollm2"),
        (["tasks", "days", "--first", "0"], "--first"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    vitro: Vitro, arguments: list[str], says: str, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    known = {"MODEL": str(planted_folder), "OUT": str(out)}
    arguments = [known.get(argument, argument) for argument in arguments]
    if arguments[0] in ("study", "find") and "--model" in arguments:
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
    printed = json.loads(judged.out)
    assert [row["answer_rank"] for row in printed["prompts"]] == [0] * 7
    assert all(row["leading_answer"] == row["answer"] for row in printed["prompts"])
    assert len(printed["answer_table"]) == 7 * 7
    looked = {(row["layer"], row["head"]): row["position"] for row in printed["attention"] if row["weight"] == 1.0}
    assert looked == {(0, 2): 4, (1, 1): 4}
    assert {row["question"].split(":")[0] for row in printed["quality"]} == {
        "faithful",
        "complete",
        "minimal",
        "chance",
    }
    widest = [max(len(row[column]) for row in printed["quality"]) for column in printed["quality"][0]]
    assert sum(widest) + 3 * (len(widest) - 1) <= 80, "the table of --judge is wider than a terminal"


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


WITHIN = "absent: counterfactual; input -> a0.h2, a1.h1; a0.h2, a1.h1 -> logits"


def test_a_circuit_is_run_within_the_model_from_text_and_from_files(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    model = ("days", "--model", str(planted_folder), "--samples", "4")
    (tmp_path / "circuit.txt").write_text(WITHIN)
    exported = tmp_path / "circuit.json"
    first = vitro("circuit", WITHIN, *model, "--export", str(exported))
    assert first.code == 0, first.err
    assert first.out.startswith("absent: counterfactual\n")
    assert "Within the model, absent edges counterfactual: 7 of 7 right" in first.out
    assert "vitro" not in first.out.lower()
    assert "Attention" not in first.out
    assert vitro("circuit", str(tmp_path / "circuit.txt"), *model).out == first.out
    assert vitro("circuit", str(exported), *model, "--absent", "counterfactual").out == first.out
    in_vitro = vitro("circuit", str(exported), *model)
    assert "Within the model" not in in_vitro.out
    assert in_vitro.out.startswith("input -> a0.h2")
    judged = vitro("circuit", WITHIN, *model, "--judge", "--json")
    printed = json.loads(judged.out)
    assert printed["circuit"].startswith("absent: counterfactual\n")
    assert {row["question"].split(":")[0] for row in printed["quality"]} == {
        *("faithful", "complete", "minimal", "chance"),
    }


def test_of_a_circuit_of_many_edges_the_number_is_printed(
    vitro: Vitro, planted_folder: Path, planted_model: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.cli.circuit.SHOWN", 5)
    done = vitro("circuit", WITHIN, "days", "--model", str(planted_folder))
    assert done.code == 0, done.err
    assert done.out.startswith("8 edges\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((WITHIN, "--absent", "mean"), "what absent edges carry is said already: counterfactual"),
        ((WITHIN, "--absent", "median"), "an absent edge cannot carry 'median'; what works: --absent zero, random"),
        (("absent: mean; a1.h1 -> a0.h2",), "in the model a0.h2 does not come after a1.h1"),
        (("input logits",), "'input logits' is no file, and a wiring has arrows"),
        (("/",), "/: it is a folder, not a file"),
    ],
)
def test_a_circuit_within_a_model_that_cannot_be_is_told_in_a_line(
    vitro: Vitro, planted_folder: Path, planted_model: object, words: tuple[str, ...], told: str
) -> None:
    done = vitro("circuit", words[0], "days", "--model", str(planted_folder), *words[1:])
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1


def test_scores_and_circuits_are_exported_for_mib_and_can_be_run(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    mib, graph = tmp_path / "mib", Graph.of(planted_model)
    words = ("days", "--model", str(planted_folder), "--out", str(tmp_path / "study"), "--mib", str(mib))
    done = vitro("export", *words, "--scores", "eap", "--name", "ioi_gpt2")
    assert done.code == 0, done.err
    assert f"eap of {len(graph)} edges, for MIB: {mib / 'ioi_gpt2'}" in done.out
    scores = read_mib(mib / "ioi_gpt2" / "importances.json", graph, planted_model.shape.d_model).ranking()
    table = pl.read_parquet(tmp_path / "study" / "tables" / "edges_eap.parquet")
    means = table.group_by("source", "target", "input", maintain_order=True).agg(pl.col("score").mean())
    np.testing.assert_allclose(scores, means["score"].to_numpy(), rtol=1e-4, atol=1e-6)

    circuits = vitro("export", *words, "--scores", "eap", "--circuits", "--json")
    printed = json.loads(circuits.out)
    assert printed["files"][-1] == "50.json"
    given = vitro("curve", "days", "--model", str(planted_folder), "--file", printed["folder"])
    assert "(days_planted); CMD" in given.out, given.err
    assert "score" not in given.out
    half = Path(printed["folder"]) / "50.json"
    run = vitro("circuit", str(half), "days", "--model", str(planted_folder), "--absent", "counterfactual")
    assert "absent edges counterfactual: 7 of 7 right" in run.out, run.err

    (mib / "ioi_gpt2" / "importances.json").write_text("{}")
    refused = vitro("export", *words, "--scores", "eap", "--name", "ioi_gpt2")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is not as vitro wrote it" in refused.err
    assert vitro("export", *words, "--scores", "eap", "--name", "").code == 2


def test_one_score_is_exported(vitro: Vitro, tmp_path: Path) -> None:
    done = vitro("export", "days", "--model", "gpt2", "--mib", str(tmp_path), "--scores", "eap,exact")
    assert (done.code, done.err) == (2, "vitro: --scores must be one score here, not 'eap,exact'\n")


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


def test_a_curve_is_printed_with_both_areas_and_their_rankings(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    command = ("curve", "days", "--model", str(planted_folder), "--samples", "4", "--out", str(tmp_path / "study"))
    done = vitro(*command, "--figure", str(tmp_path / "curve.svg"))
    assert done.code == 0, done.err
    assert re.search(r"^100 % +262 +262 +1\.000 +262 +1\.000", done.out, re.MULTILINE)
    assert re.search(r"^CPR \d\.\d+ .* by signed score$", done.out, re.MULTILINE)
    assert re.search(r"^CMD \d\.\d+ .* by absolute score$", done.out, re.MULTILINE)
    assert (tmp_path / "curve.svg").read_text().startswith("<svg")
    # Scores are kept; those that are asked for are shown.
    again = json.loads(vitro(*command, "--scores", "random,eap", "--json").out)
    assert {row["score"] for row in again["rankings"]} == {"random", "eap"}
    first = again["rankings"][0]
    assert (first["sizes"][0], first["edges"][-1], first["faithfulness"][-1]) == (0.001, 262, 1.0)
    assert {"cpr", "cmd", "metric_model", "metric_empty", "ranking", "selection", "n", "seconds"} <= set(first)
    assert "edges_eap_ig" in {path.stem for path in (tmp_path / "study" / "tables").iterdir()}


def test_circuits_of_a_search_are_printed_beside_a_curve_and_are_no_ranking(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    study = ("days", "--model", str(planted_folder), "--samples", "4", "--out", str(tmp_path / "study"))
    before = json.loads(vitro("curve", *study, "--json").out)
    found = json.loads(vitro("find", *study, "--json").out)
    done = vitro("curve", *study)
    assert done.code == 0, done.err
    assert re.search(r"^share +n +f +f signed +f absolute *$", done.out, re.MULTILINE)
    assert re.search(r"^0\.763 % +2 +\d\.\d+ +\d\.\d+ \(eap-ig, (top|greedy)\)", done.out, re.MULTILINE)
    assert "With 2 edges (0.763 %) the circuit of the search" in done.out
    after = json.loads(vitro("curve", *study, "--json").out)
    assert "search" not in before
    last = [row for row in after["search"] if row["by"] == "find"]
    edges = len(found["edges"])
    assert [(row["n"], row["ranking"]) for row in last] == [(edges, "signed"), (edges, "absolute")]
    assert {"size", "f", "score", "selection", "ranked_f", "rivals", "better", "beyond"} <= set(last[0])
    assert {row["score"] for row in after["rankings"]} == {"eap-ig"}
    assert [row["sizes"] for row in after["rankings"]] == [row["sizes"] for row in before["rankings"]]


def test_a_curve_of_files_is_that_of_the_scores_in_them_and_touches_no_folder(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = Graph.of(planted_model)
    scores = np.random.default_rng(0).normal(size=len(graph))
    Path("scores.json").write_text(json.dumps(to_importances(graph, scores, 64)))
    Path("circuits").mkdir()
    for size, mask in zip(SIZES[:9], select(graph, scores, "signed", "top").masks, strict=False):
        Path("circuits", f"{100 * size:g}.json").write_text(json.dumps(to_circuit_file(graph, mask, 64)))
    command = ("curve", "days", "--model", str(planted_folder), "--samples", "4", "--file", "scores.json")
    printed = json.loads(vitro(*command, "--file", "circuits", "--json").out)["rankings"]
    named = {(row["score"], row["ranking"], row["selection"]): row for row in printed}
    assert list(named) == [
        *(("scores.json", ranking, way) for ranking in ("signed", "absolute") for way in ("top", "greedy")),
        ("circuits", None, None),
    ]
    assert named["circuits", None, None]["cpr"] == named["scores.json", "signed", "top"]["cpr"]
    assert {path.name for path in tmp_path.iterdir()} == {"scores.json", "circuits"}
    both = vitro(*command, "--scores", "random", "--out", "study")
    assert both.code == 0, both.err
    assert "random\n" in both.out
    assert "scores.json\n" in both.out
    assert "the best of 2" in both.out


def test_a_file_that_no_curve_can_be_had_of_is_told_in_one_line(
    vitro: Vitro, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    graph = Graph.of(planted_model)
    good = to_importances(graph, np.arange(len(graph)), 64)
    other = Graph(2, 4, parallel=False)
    missing, nan = ({**good, "edges": dict(good["edges"])} for _ in range(2))
    del missing["edges"]["m0->m1"]
    nan["edges"]["m0->m1"] = {"score": float("nan"), "in_graph": False}
    (tmp_path / "two").mkdir()
    files = {
        "other.json": (to_importances(other, np.arange(len(other)), 64), "it is of another model"),
        "missing.json": (missing, "m0->m1"),
        "nan.json": (nan, "m0->m1"),
        "two": (None, "there are 2 circuits; what works: 9"),
    }
    for name in ("two/a.json", "two/b.json"):
        (tmp_path / name).write_text(json.dumps(good))
    (tmp_path / "good.json").write_text(json.dumps(good))
    for name, (content, says) in files.items():
        if content is not None:
            (tmp_path / name).write_text(json.dumps(content))
        paths = ("--file", str(tmp_path / "good.json"), "--file", str(tmp_path / name))
        done = vitro("curve", "days", "--model", str(planted_folder), *paths)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done.err
        assert says in done.err
        assert done.err.count(name) == 1, done.err
    empty = vitro("curve", "days", "--model", str(planted_folder), "--scores", "")
    assert (empty.code, empty.err.count("\n")) == (2, 1)


def test_ablations_and_metrics_are_varied_where_that_is_asked_for(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    command = ("curve", "days", "--model", str(planted_folder), "--samples", "4", "--out", str(tmp_path / "study"))
    varied = (*command, "--scores", "eap,random", "--ablations", "mean", "--vary")
    done = vitro(*varied)
    assert done.code == 0, done.err
    assert "Of 4 choices of ablation and metric: CPR by signed score is best of eap" in done.out
    choices = json.loads(vitro(*varied, "--json").out)["choices"]
    assert {(row["method"], row["by"]) for row in choices} == {("mean", "eap"), ("mean", "random")}
