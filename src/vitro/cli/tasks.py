"""`vitro tasks`: the tasks there are, and a task's prompts before anything is run."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vitro.cli.parameters import Json, Only, takes_options, task_of
from vitro.cli.printing import print_json, print_lines, print_plain, print_table, print_text
from vitro.errors import VitroError
from vitro.options import Options, TaskOptions

if TYPE_CHECKING:
    from vitro.tasks import PreviewRow, Task

FEW = 8
"""Up to this many tokens or notes are printed; for more, only their number."""
TEMPLATE = """name = "seasons"
template = "After {season} comes"
words = ["spring", "summer", "autumn", "winter"]  # the answer is the next one
cyclic = true                                     # the first follows the last
# n = 2                only the first n words are asked about
# content = ["After"]  what random ablation replaces; default: all the words
# other ways to ask, over which circuits are judged:
# paraphrases = ["The season after {season} is"]"""
ROW = """{"clean": "The keys", "corrupt": "The key", "right": " are", "wrong": " is"}"""


@takes_options
def tasks(
    task_options: TaskOptions,
    options: Annotated[Options, Only(("seed",))],
    task: Annotated[str | None, typer.Argument(help="Tell of this task alone.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Show the task's first prompts as this model gets them; its weights are not read."),
    ] = None,
    first: Annotated[int, typer.Option(min=1, max=10**6, metavar="<n>", help="How many prompts to show.")] = 3,
    as_json: Json = False,
) -> None:
    """The tasks that come with Vitro, how to write one of your own, and the first prompts of any (TASK --model M)."""
    if task is not None:
        chosen = task_of(task, options, task_options)
        _tell(chosen, as_json) if model is None else _preview(chosen, model, first, as_json)
    elif model is not None:
        raise VitroError(
            f"--model shows a task's prompts, and no task is named; what works: vitro tasks ioi --model {model}"
        )
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    """Print the tasks to choose from."""
    from vitro.tasks import CATALOGUE

    if as_json:
        print_json({name: asdict(entry) for name, entry in CATALOGUE.items()})
        return
    print_table(
        ("task", "what it asks, an example, and where it is from"),
        [(entry.typed, f"{entry.asks}\n{entry.example}\n{entry.source}\n") for entry in CATALOGUE.values()],
    )
    print_text("A task of your own is a file, named by its path. A TOML file with a template:")
    print_plain(f"\n{TEMPLATE}\n")
    print_text(
        "Or rows, as JSON lines or with the same columns in a CSV; right and wrong may be lists. rows.jsonl:100 takes "
        "the first hundred; --first-token takes an answer of several tokens by its first:"
    )
    print_plain(f"\n{ROW}\n")
    print_text("EAP-IG's CSV, AutoCircuit's JSON and MIB's rows (JSON lines, Parquet) are read as they are.")


def _tell(task: "Task", as_json: bool) -> None:
    """Print what a task says of itself without a tokenizer."""
    if as_json:
        print_json({"name": task.name, **task.facts()})
        return
    print_plain(task.name)
    print_lines(task.facts())
    print_plain("Its prompts in a model's tokens: --model M")


def _preview(task: "Task", model: str, first: int, as_json: bool) -> None:
    """Print the first prompts in a model's tokens, and the notes."""
    from vitro.models import find, load_tokenizer
    from vitro.progress import bar
    from vitro.tasks import preview

    with bar(f"reading the tokenizer of {model}"):
        tokenizer, n_ctx = load_tokenizer(find(model))
    shown = preview(task, tokenizer, n_ctx, first)
    if as_json:
        print_json(asdict(shown))
        return
    for row in shown.rows:
        print_text(f"{row.label}{f' ({row.group})' if row.group else ''}")
        print_lines(_lines(row))
    print_plain(f"{len(shown.rows)} of {shown.total} prompts")
    for note in shown.notes[:FEW]:
        print_text(note)
    if len(shown.notes) > FEW:
        print_plain(f"and {len(shown.notes) - FEW} more such notes (--json prints all)")


def _lines(row: "PreviewRow") -> dict[str, str]:
    """A prompt as lines: a name and a text each."""
    marks = [f"{name} {position} {row.tokens[position]!r}" for name, position in row.marks.items()]
    lines = {
        "tokens": "|".join(row.tokens),
        "marks": ", ".join(marks),
        "right": _tokens(row.right, row.answer),
        "wrong": _tokens(row.wrong, row.other),
        "counterfactual": row.counterfactual or "none",
    }
    return {name: text.replace("\n", "\\n") for name, text in lines.items()}


def _tokens(tokens: Sequence[str], words: str) -> str:
    """Tokens one by one where there are few; otherwise the words and the number."""
    if len(tokens) <= FEW:
        return ", ".join(map(repr, tokens)) or "none"
    return f"{words}: {len(tokens)} tokens"
