"""What the help, the README and the docs tell one to type is true: examples run, and every command line is one."""

import ast
import importlib
import operator
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from transformers import GPT2Config, GPT2LMHeadModel

import vitro
from command import Vitro
from task_tokenizers import knowing
from vitro.circuits import Circuit, Graph, to_importances, to_mib
from vitro.cli.commands import app
from vitro.cli.examples import EXAMPLES
from vitro.cli.printing import print_circuit
from vitro.models import FAMILIES, load
from vitro.models.gguf.architectures import ARCHITECTURES
from vitro.strict_json import to_json
from vitro.tasks import days
from vitro.tasks.ioi import NAMES, OBJECTS, PLACES, TEMPLATES

ROOT = Path(__file__).parents[1]
COMMAND = typer.main.get_command(app)


def code_blocks(language: str) -> list[tuple[str, str]]:
    """The blocks of code in a language in the README and the docs, with their page; "": what is typed."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    block = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page.name, code) for page in pages for code in block.findall(page.read_text("utf-8"))]


def typed() -> list[tuple[str, str]]:
    """Every command line of Vitro in the README and the docs, with its page."""
    lines = [(name, line) for name, block in code_blocks("") for line in block.splitlines()]
    return [(name, line) for name, line in lines if line.startswith("vitro ")]


@pytest.mark.parametrize(("page", "code"), code_blocks("python"))
def test_what_the_pages_show_of_python_is_python_with_names_that_vitro_has(page: str, code: str) -> None:
    tree = ast.parse(code)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for name in map(ast.unparse, names):
        if name.startswith("vitro.") and "(" not in name:
            operator.attrgetter(name.removeprefix("vitro."))(vitro)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize(("page", "line"), typed())
def test_what_the_pages_tell_to_type_is_a_command_line(page: str, line: str) -> None:
    _, command, *words = shlex.split(line, comments=True)
    # Raises where an option or argument is none of the command's.
    COMMAND.commands[command].make_context(command, words)  # type: ignore[attr-defined]


def test_the_readme_lists_the_model_types_and_the_gguf_architectures_that_are_read() -> None:
    _, models = (ROOT / "README.md").read_text("utf-8").split("\n## Models\n")
    models = models.split("\n## ")[0]
    rows = [line for line in models.splitlines() if line.startswith("| ") and "model_type" not in line]
    listed = [kind for row in rows for kind in re.findall(r"`(\w+)`", row)]
    read = {kind for family in FAMILIES for kind in family.model_types}
    assert set(listed) == read
    assert len(listed) == len(read)
    assert f"Vitro reads {len(read)} `model_type`s" in models
    said = " ".join(models.split()).partition("Read are the architectures ")[2].partition(" (")[0]
    assert set(said.split(", ")) == set(ARCHITECTURES)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the examples name: a small random model called gpt2, rows, scores, a circuit."""
    desk = tmp_path_factory.mktemp("desk")
    words = " ".join(("", *NAMES, *PLACES, *OBJECTS))
    tokenizer = knowing(words, *days().prompts, *TEMPLATES)
    sizes = {"n_layer": 10, "n_head": 2, "n_embd": 16, "n_positions": 32, "vocab_size": len(tokenizer)}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=tokenizer.bos_token_id, eos_token_id=None))
    model.save_pretrained(desk / "gpt2")
    tokenizer.save_pretrained(desk / "gpt2")
    (desk / "path" / "to").mkdir(parents=True)
    (desk / "path" / "to" / "checkpoint").symlink_to(desk / "gpt2")
    (desk / "models.txt").write_text("gpt2\n")
    rows = [f'"If today is {day}","If today is Monday"," {day} Monday"," Friday"' for day in days().words[1:4]]
    (desk / "rows.csv").write_text("\n".join(["clean,corrupt,right,wrong", *rows]))
    graph = Graph(10, 2, parallel=False)
    (desk / "scores.json").write_bytes(
        to_json(to_importances(graph, np.arange(len(graph), dtype=np.float32), 16)).encode()
    )
    circuit = Circuit.wire("absent: mean; input -> a9.h1; a9.h1 -> logits")
    (desk / "found.json").write_text(to_json(to_mib(circuit, load(str(desk / "gpt2")))))
    return desk


@pytest.mark.parametrize("line", [line for name, lines in EXAMPLES.items() if name != "reproduce" for line in lines])
def test_every_example_of_the_help_runs_and_prints_lines_of_80_columns(
    vitro: Vitro, desk: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("COLUMNS", "80")
    # What is drawn is looked at elsewhere, and takes most of the time.
    monkeypatch.setattr("vitro.study._show", lambda folder, record: None)
    _, *words = shlex.split(line.replace("smollm2", "gpt2"))
    done = vitro(*words)
    assert done.code == 0, done.err
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_help_shows_its_examples_in_80_columns(
    vitro: Vitro, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = vitro(*([] if command == "vitro" else [command]), "--help").out.splitlines()
    assert set(EXAMPLES[command]) <= {line.strip() for line in lines}
    assert [line for line in lines if len(line) > 80] == []


def test_a_circuit_is_printed_in_80_columns_as_text_that_is_read_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    graph = Graph(3, 12, parallel=False)
    everything = Circuit.of(graph, np.ones(len(graph), dtype=bool), "mean")
    print_circuit(str(everything))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert Circuit.wire(printed) == everything
