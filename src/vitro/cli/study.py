"""`vitro study`."""

from typing import Annotated

import typer

from vitro.cli.parameters import FolderOption, Json, ModelOption, TaskArgument, default_folder, takes_options, task_of
from vitro.cli.printing import print_json
from vitro.cli.start import resumable
from vitro.options import Machine, Options, TaskOptions


@takes_options
@resumable()
def study(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    out: FolderOption = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<name>", help="Another measurement too, one that takes minutes: patching, edges, curve, successor."
        ),
    ] = None,
    no_find: Annotated[
        bool, typer.Option("--no-find", help="Do not search for the circuit that does the task.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a task on a model: tables, figures and report.html in a folder. Stopped, it goes on where it was."""
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model, options)

    from vitro.experiments import EVERY_STUDY, FIND
    from vitro.study import run_study, summary

    asked = [*(name for name in EVERY_STUDY if not (no_find and name == FIND.name)), *(also or [])]
    measured = run_study(chosen, model, folder, options, experiments=asked, device=machine.device, dtype=machine.dtype)
    left_out, without_value = measured.record.left_out, measured.record.without_value
    sentences = [sentence.text for sentence in summary(measured)]
    if as_json:
        said = {"folder": str(folder), "report": str(measured.report), "summary": sentences}
        print_json({**said, "left_out": left_out, "without_value": without_value})
        return
    for sentence in sentences:
        print(sentence)
    for name in also or []:
        if name in left_out:
            print(f"Left out: {name}, which needs {left_out[name]}.")
    for name, why in without_value.items():
        print(f"Left out: {name}: {why}.")
    print(f"The report: {measured.report}")
