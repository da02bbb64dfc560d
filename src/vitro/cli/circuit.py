"""`vitro circuit`."""

import os
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitro.cli.parameters import Json, ModelOption, Only, TaskArgument, takes_options, task_of
from vitro.cli.printing import print_circuit, print_json, print_plain, print_table, print_text
from vitro.options import Machine, Options, TaskOptions
from vitro.strict_json import to_json

if TYPE_CHECKING:
    from vitro.circuits import Circuit

SHOWN = 500
"""Up to this many edges are printed as text; of more, their number is."""


@takes_options
def circuit(
    text: Annotated[
        str,
        typer.Argument(
            # The backslash is for the help's markup, which would take the brackets for a style.
            help='The wiring, as "input -> m0; input, m0 -> a9.h1\\[subject]; a9.h1 -> logits", or a file: '
            "such text, or a .json or .pt of EAP-IG."
        ),
    ],
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Annotated[Options, Only(("seed", "samples", "value_bias", "output_bias", "memory"))],
    machine: Machine,
    absent: Annotated[
        str | None,
        typer.Option(
            metavar="<ablation>",
            help="Run it within the model: what absent edges carry (counterfactual, mean, ...), where it does not say.",
        ),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Also: how good it is, against paraphrases, its parts, and chance.")
    ] = False,
    export: Annotated[Path | None, typer.Option(help="Write the circuit to this .json file, as EAP-IG does.")] = None,
    drawing: Annotated[Path | None, typer.Option(help="Draw the circuit to this .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Run a circuit on a task, taken out of a model or within it: what it answers to every prompt."""
    chosen = task_of(task, options, task_options)

    from vitro.circuits import boxes_and_arrows, to_mib
    from vitro.experiments import in_vitro
    from vitro.experiments import judge as judge_circuit
    from vitro.experiments.single_circuit import answers_by_prompt, attention_by_head
    from vitro.figures import circuit_drawing, to_svg
    from vitro.figures.tokens import readable
    from vitro.folder import check_file, write_file
    from vitro.models import load
    from vitro.progress import bar

    for path, suffix in ((export, ".json"), (drawing, ".svg")):
        if path is not None:
            check_file(path, suffix)
    wired = _circuit(text, absent, options.output_bias)
    with bar(f"loading {model}"):
        loaded = load(model, **asdict(machine))
    wired.check(loaded)
    files = {}
    if export is not None:
        files[export] = to_json(to_mib(wired, loaded))
    if drawing is not None:
        boxes, arrows = boxes_and_arrows(wired, loaded.shape.n_heads)
        files[drawing] = to_svg(circuit_drawing(boxes, arrows, f"A circuit in {model}"))
    tables = in_vitro(loaded, chosen, {"circuit": wired}, options).tables
    rows, attention = answers_by_prompt(tables), tables["circuit_attention"].drop("circuit")
    judged = judge_circuit(loaded, chosen, wired, options) if judge else None
    # After all that can be refused.
    for path, content in files.items():
        write_file(path, content.encode())
    if as_json:
        answer_table = tables["circuit_answer_table"].drop("circuit")
        shown = {"prompts": rows, "answer_table": answer_table, "attention": attention}
        if judged is not None:
            shown["quality"] = judged.numbers
        dicts = {name: table.to_dicts() for name, table in shown.items()}
        print_json({"circuit": str(wired), "task": chosen.name, **dicts})
        return
    print_circuit(str(wired) if len(wired.edges) <= SHOWN else f"{len(wired.edges):,} edges")
    print_table(
        ("prompt", "answer", "prob", "rank", "leading answer", "top token", "prob"),
        [
            (row["label"], row["answer"], f"{row['answer_prob']:.4f}", str(row["answer_rank"]),
             row["leading_answer"] or "none", readable(row["top_token"]), f"{row['top_prob']:.4f}")
            for row in rows.to_dicts()
        ],
    )  # fmt: skip
    if len(attention):
        columns, weights = attention_by_head(tables)
        print_text("Attention of its heads from the final stream, mean over the prompts:")
        print_plain("")
        print_table(columns, [(name, *(f"{weight:.2f}" for weight in row)) for name, *row in weights.rows()])
    if judged is not None:
        print_table(judged.numbers.columns, judged.numbers.rows())
        print_plain(fill(judged.experiment.reading, 80), "")
    right = int((rows["answer_rank"] == 0).sum())
    where = f"Within the model, absent edges {wired.absent}: " if wired.absent else ""
    print_text(
        f"{where}{right} of {len(rows)} right; mean answer probability {rows['answer_prob'].to_numpy().mean():.4f}"
    )


def _circuit(text: str, absent: str | None, output_bias: Literal["excluded", "included"]) -> "Circuit":
    """The circuit of a wiring, or of a file. Raises CircuitError for what is neither."""
    from vitro.circuits import CONSTANTS, CircuitError, from_text, read_circuit

    carried = next((kind for kind in CONSTANTS if kind == absent), None)
    if carried != absent:
        raise CircuitError(f"an absent edge cannot carry {absent!r}; what works: --absent {', '.join(CONSTANTS)}")
    if "->" in text or text.lstrip().startswith("absent:"):
        return from_text(text, carried)
    if not os.path.exists(text):
        raise CircuitError(f"{text[:80]!r} is no file, and a wiring has arrows, as input -> m0; m0 -> logits")
    return read_circuit(text, carried, output_bias)
