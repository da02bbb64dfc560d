"""`vitro circuit`."""

from pathlib import Path
from typing import Annotated

import typer

from vitro.cli.parameters import Json, ModelOption, Only, TaskArgument, takes_options, task_of
from vitro.cli.printing import print_json, print_table
from vitro.options import Machine, Options, TaskOptions
from vitro.strict_json import to_json


@takes_options
def circuit(
    text: Annotated[
        str,
        typer.Argument(
            # The backslash is for the help's markup, which would take the brackets for a style.
            help='The wiring, as "input -> m0; input, m0 -> a9.h1\\[subject]; a9.h1 -> logits", or EAP-IG\'s .json.'
        ),
    ],
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Annotated[Options, Only(("seed", "samples", "value_bias", "output_bias", "memory"))],
    machine: Machine,
    judge: Annotated[
        bool, typer.Option("--judge", help="Also: how good it is, against paraphrases, its parts, and chance.")
    ] = False,
    export: Annotated[Path | None, typer.Option(help="Write the circuit to this .json file, as EAP-IG does.")] = None,
    drawing: Annotated[Path | None, typer.Option(help="Draw the circuit to this .svg file.")] = None,
    as_json: Json = False,
) -> None:
    """Run a circuit, taken out of a model, on a task: what it answers to every prompt on its own."""
    chosen = task_of(task, options, task_options)

    from vitro.circuits import Circuit, boxes_and_arrows, from_mib, to_mib
    from vitro.experiments import in_vitro
    from vitro.experiments import judge as judge_circuit
    from vitro.experiments.single_circuit import answers_by_prompt, attention_by_head
    from vitro.figures import circuit_drawing, to_svg
    from vitro.folder import write_file
    from vitro.models import load
    from vitro.progress import bar

    wired = from_mib(Path(text), options.output_bias) if text.endswith(".json") else Circuit.wire(text)
    with bar(f"loading {model}"):
        loaded = load(model, device=machine.device, dtype=machine.dtype)
    wired.check(loaded)
    files = {}
    if export is not None:
        files[export] = to_json(to_mib(wired, loaded))
    if drawing is not None:
        boxes, arrows = boxes_and_arrows(wired, loaded.shape.n_heads)
        files[drawing] = to_svg(circuit_drawing(boxes, arrows, f"A circuit in {model}"))
    tables = in_vitro(loaded, chosen, {"circuit": wired}, options).tables
    rows, attention = answers_by_prompt(tables), tables["circuit_attention"].drop("circuit")
    quality = judge_circuit(loaded, chosen, wired, options).numbers if judge else None
    # After all that can be refused.
    for path, content in files.items():
        write_file(path, content.encode())
    if as_json:
        answer_table = tables["circuit_answer_table"].drop("circuit")
        shown = {"prompts": rows, "answer_table": answer_table, "attention": attention}
        if quality is not None:
            shown["quality"] = quality
        dicts = {name: table.to_dicts() for name, table in shown.items()}
        print_json({"circuit": str(wired), "task": chosen.name, **dicts})
        return
    print(wired, end="\n\n")
    print_table(
        ("prompt", "answer", "answer prob", "rank", "leading answer", "top token", "top prob"),
        [
            (row["label"], row["answer"], f"{row['answer_prob']:.4f}", str(row["answer_rank"]),
             row["leading_answer"] or "none", repr(row["top_token"]), f"{row['top_prob']:.4f}")
            for row in rows.to_dicts()
        ],
    )  # fmt: skip
    if len(attention):
        columns, weights = attention_by_head(tables)
        print("Attention of its heads from the final stream, mean over the prompts:\n")
        print_table(columns, [(name, *(f"{weight:.2f}" for weight in row)) for name, *row in weights.rows()])
    if quality is not None:
        print_table(quality.columns, quality.rows())
    right = int((rows["answer_rank"] == 0).sum())
    print(f"{right} of {len(rows)} right; mean answer probability {rows['answer_prob'].to_numpy().mean():.4f}")
