"""`vitro edges`: takes all that `vitro study` takes, since a folder holds one study."""

from typing import Annotated

import typer

from vitro.cli.parameters import FolderOption, Json, ModelOption, TaskArgument, default_folder, takes_options, task_of
from vitro.cli.printing import print_json, print_table
from vitro.cli.start import resumable
from vitro.options import Machine, Options, TaskOptions


@takes_options
@resumable()
def edges(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    out: FolderOption = None,
    approx: Annotated[
        bool, typer.Option("--approx", help="Only the estimates from gradients (EAP, EAP-IG): seconds, not minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Cut every edge of a model alone, exactly: what the answer loses. Minutes; stopped, it goes on where it was.

    The folder may be a study's own, made with the same options: its report then shows the edges too.
    """
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model)

    from vitro.experiments import EXPERIMENTS
    from vitro.study import run_study

    asked = ["edges_approx"] if approx else ["edges_approx", "edges", "edges_agreement"]
    measured = run_study(chosen, model, folder, options, experiments=asked, device=machine.device, dtype=machine.dtype)
    shown = EXPERIMENTS["edges_approx" if approx else "edges"]
    strongest = shown.numbers(measured.tables(shown))
    if as_json:
        print_json({"folder": str(folder), "report": str(measured.report), "strongest": strongest.to_dicts()})
        return
    print_table(strongest.columns, [(row[0], *(f"{value:+.4f}" for value in row[1:])) for row in strongest.rows()])
    for name in asked:
        if sentence := EXPERIMENTS[name].summary(measured.tables(EXPERIMENTS[name])):
            print(sentence)
    print(f"The table: {folder / 'tables' / shown.name}.parquet")
    print(f"The report: {measured.report}")
