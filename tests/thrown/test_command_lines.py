"""Command lines that nobody means: each ends in a result or in one line, and nothing is written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vitro.cli
from command import Vitro, refusal
from vitro.cli.printing import print_json, print_plain, print_table
from vitro.errors import LONGEST, VitroError
from vitro.options import OptionError, Options, options_of, read

HALF = "\udcff"
"""What a byte that is no UTF-8 is read as, on the command line."""
ESCAPE = "\x1b[31mred"
LONG = "x" * 100_000
CIRCUIT = "input -> m0; m0 -> logits"
VALUES = (
    "", " ", "-1", "0", "4" * 400, "9" * 18, "9" * 18 + "TB", "1e9", "1e400", "nan", "inf", "-inf", "0x10",
    "1_000", "٣", "½", "9.9.9", "a0.h-1", ",", ",,", HALF, ESCAPE, "a\0b", LONG,
)  # fmt: skip


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own: what a shell does to its streams. `{vitro}` is the command."""
    vitro = f"{sys.executable} -m vitro.cli"
    return subprocess.run(["bash", "-c", command.replace("{vitro}", vitro)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("option", [option.name for option in options_of(Options)])
def test_every_value_of_every_option_is_read_or_refused(option: str) -> None:
    for text in VALUES:
        try:
            value = getattr(read(Options, {option: text}), option)
        except OptionError:
            continue
        # What is read can be written, as the report's command does.
        (known,) = (each for each in options_of(Options) if each.name == option)
        assert known.kind.read(known.write(value).encode().decode()) == value


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tasks", HALF), "there is no task"),
        (("tasks", ESCAPE), "there is no task"),
        (("tasks", LONG), "there is no task"),
        (("tasks", f"{ESCAPE}.csv"), "there is no such file"),
        (("tasks", "\u202etxt.csv"), "\\u202etxt.csv: there is no such file"),
        (("tasks", "a\0b.toml"), "the character 0"),
        (("tasks", "a\0b.csv"), "the character 0"),
        (("tasks", "a\0b.jsonl:5"), "the character 0"),
        (("tasks", f"{LONG}.toml"), "File name too long"),
        (("tasks", f"{'x' * 300}.parquet"), "File name too long"),
        (("tasks", "~nosuchuser/x.toml"), "there is no such file"),
        (("tasks", "days", "--first", "1" * 30), "--first"),
        (("tasks", "days", "--first", "9" * 5000), "--first"),
        (("report", "a\0b"), "null byte"),
        (("report", "x" * 300), "File name too long"),
        (("report", "x/" * 3000), "File name too long"),
        (("report", ESCAPE), "\\u001b[31mred holds no study"),
        (("report", HALF), "\\udcff holds no study"),
        (("report", "~nosuchuser/x"), "holds no study"),
        (("report", "/dev/null"), "a file is in its way"),
        (("circuit", LONG, "days", "--model", "m"), "is no file"),
        (("circuit", ESCAPE, "days", "--model", "m"), "is no file"),
        (("circuit", HALF, "days", "--model", "m"), "is no file"),
        (("circuit", "/dev/zero", "days", "--model", "m"), "a pipe or device"),
        (("successor", "--model", "m", "--top", str(2**70)), "--top"),
        (("study", "days", "--model", "m", "--out", "x" * 300), "File name too long"),
        (("study", "days", "--model", "m", "--samples", str(10**9)), "1,000,000 at most"),
        (("study", "days", "--model", "m", "--memory", "4" * 400), "is not a size"),
        (("study", "days", "--model", "m", "--steer-token", HALF), "in UTF-8"),
        (("study", "days", "--model", "m", "--heads", "1.1," * 20_000), "are not heads"),
        ((ESCAPE,), "No such command"),
        ((f"--{LONG}",), "No such option"),
        ((LONG,), "No such command"),
        (("study", "days", "--model", "m", ESCAPE), "unexpected extra argument"),
    ],
)  # fmt: skip
def test_what_is_typed_wrongly_is_told_in_one_line(
    vitro: Vitro, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refusal(vitro(*words))
    assert list(tmp_path.iterdir()) == []


def test_an_error_shows_what_was_quoted_in_it_and_leaves_out_the_middle_of_what_is_long() -> None:
    error = str(VitroError(f"no\nfile {ESCAPE} {HALF} \u202e, " + "x" * 10**7 + " at the end"))
    assert error.startswith("no file \\u001b[31mred \\udcff \\u202e, xxx")
    assert error.endswith("x at the end")
    assert " characters ...] " in error
    assert len(error) < 1.1 * LONGEST
    # Told again by whoever adds the file's name, it says the same.
    assert str(VitroError(str(VitroError(ESCAPE)))) == "\\u001b[31mred"
    assert len(str(VitroError("\x1b" * 10**6))) < 1.1 * LONGEST


def test_what_is_printed_shows_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    print_plain(ESCAPE, HALF, "two\nlines\tand a tab")
    print_table(("name",), [(ESCAPE,)])
    print_json({"name": ESCAPE, "half": HALF, "c1": "\x9b31m"})
    out = capsys.readouterr().out
    assert out.startswith("\\u001b[31mred\n\\udcff\ntwo\nlines\tand a tab\n")
    assert "\x1b" not in out
    assert "\x9b" not in out
    said = json.loads(out[out.index("{") :])
    assert said == {"name": ESCAPE, "half": HALF, "c1": "\x9b31m"}


def test_nothing_else_prints() -> None:
    """A command that calls Python's print would show a file's name as the terminal obeys it."""
    for file in Path(vitro.cli.__file__).parent.glob("*.py"):
        text = file.read_text("utf-8")
        stdout = [line for line in text.splitlines() if " print(" in line and "file=sys.stderr" not in line]
        assert file.name == "printing.py" or stdout == [], file.name


@pytest.mark.parametrize("words", ["tasks", "models", "tasks days", "tasks --json", "--help", "--version"])
def test_a_full_disk_behind_stdout_is_told_in_one_line(words: str) -> None:
    done = shell(f"{{vitro}} {words} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("vitro: ")
    assert done.stderr.endswith("\n")
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_reader_that_has_seen_enough_and_streams_that_are_closed_are_no_errors() -> None:
    done = shell("{vitro} tasks | head -1; echo ${PIPESTATUS[0]}")
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("task")
    assert done.stdout.splitlines()[1] in ("0", "141")
    assert shell("{vitro} tasks days >&-").stderr == ""
    assert shell("{vitro} nothing 2>&-").returncode == 2
    assert shell("{vitro} nothing 2>/dev/full").returncode == 2


def test_other_measurements_are_named_apart_or_together(vitro: Vitro, planted_folder: Path, tmp_path: Path) -> None:
    study = ("study", "days", "--model", str(planted_folder), "--out", str(tmp_path / "study"))
    for also in (("--also", "patching,curv"), ("--also", "patching", "--also", "curv")):
        assert "there is no measurement 'curv'" in refusal(vitro(*study, *also))


def test_edges_that_are_cut_alone_are_compared_with_nothing(
    vitro: Vitro, planted_folder: Path, planted_model: object, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    cut = vitro("edges", "days", "--model", str(planted_folder), "--out", str(out), "--scores", "exact")
    assert cut.code == 0
    assert "input->a1.h1<v>" in cut.out
    assert "Each score against exact" not in cut.out


def test_a_stdout_without_the_characters_of_a_text_gets_their_numbers() -> None:
    done = shell("PYTHONIOENCODING=ascii {vitro} tasks '\u0129'.csv")
    assert (done.returncode, done.stderr) == (2, "vitro: \\u0129.csv: there is no such file\n")


def test_ctrl_c_while_the_command_line_is_imported_is_told_in_one_line() -> None:
    script = """
import os, sys
class Stop:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Stop())
from vitro.cli import main
main()
"""
    for name in ("vitro.cli.commands", "typer", "vitro.options", "vitro.cli.tasks"):
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (130, "vitro: stopped\n"), name


def test_ctrl_c_while_torch_is_imported_reaches_no_library_that_ends_the_process_for_it() -> None:
    script = f"""
import os, sys
class Stop:
    def find_spec(self, name, path, target=None):
        if name == "torch":
            try:
                os.kill(os.getpid(), 2)
            except BaseException:
                os.abort()
sys.meta_path.insert(0, Stop())
sys.argv = ["vitro", "circuit", "{CIRCUIT}", "days", "--model", "no/such/model.gguf"]
from vitro.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "vitro: stopped\n")


def test_a_command_for_which_ctrl_c_is_ignored_goes_on_ignoring_it() -> None:
    done = shell("trap '' INT; {vitro} --version & sleep 0.05; kill -INT $!; wait $!; echo $?")
    assert done.stdout.splitlines()[-1] == "0"
