"""`vitro study`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitro.cli import find
from vitro.cli.parameters import (
    FolderOption,
    Json,
    MeasureOption,
    ModelOption,
    TaskArgument,
    default_folder,
    measured,
    takes_options,
    task_of,
)
from vitro.cli.printing import print_json, print_plain, print_text
from vitro.cli.start import resumable
from vitro.options import Machine, OptionError, Options, TaskOptions

if TYPE_CHECKING:
    from vitro.record import Study
    from vitro.tables import Tables


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
            metavar="<name,name,...>",
            help="Other measurements too, those that take minutes: patching, edges, curve, successor.",
        ),
    ] = None,
    no_find: Annotated[
        bool, typer.Option("--no-find", help="Do not search for the circuit that does the task.")
    ] = False,
    measure: MeasureOption = None,
    as_json: Json = False,
) -> None:
    """Measure a task on a model: tables, figures and report.html in a folder. Stopped, it goes on where it was."""
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model, options)

    from vitro.experiments import EVERY_STUDY, FIND
    from vitro.study import run_study
    from vitro.study_page import summary

    more = measured(measure or ",".join(also or ())) if measure or also else ()
    asked = more
    if measure is None:
        asked = *(name for name in EVERY_STUDY if not (no_find and name == FIND.name)), *more
    elif also or no_find:
        raise OptionError("--measure names all that is measured; what works: it alone, or --also and --no-find")
    made = run_study(model, chosen, folder, options, experiments=asked, **asdict(machine))
    if as_json:
        print_json(record(made))
        return
    for sentence in summary(made):
        print_text(sentence.text)
    left_out = made.record.left_out
    for name in more:
        if name in left_out:
            print_text(f"Left out: {name}, which needs {left_out[name]}.")
    for name, why in made.record.without_value.items():
        print_text(f"Left out: {name}: {why}.")
    print_plain(f"The report: {made.report}")


def record(study: "Study") -> dict[str, Any]:
    """What a study found, as JSON values (docs/json.md)."""
    from vitro.experiments import EXPERIMENTS, FIND
    from vitro.experiments.clean import CLEAN
    from vitro.study_page import summary

    done = study.record.experiments
    sentences = summary(study)
    finding = {sentence.at: sentence.text for sentence in sentences}
    measurements = {
        name: {
            "title": experiment.title,
            "finding": finding.get(name),
            "numbers": experiment.numbers(study.tables(experiment)).to_dicts(),
            "tables": list(experiment.tables),
            "seconds": done[name].seconds,
        }
        for name, experiment in EXPERIMENTS.items()
        if name in done
    }
    return {
        "model": study.record.settings.model,
        "task": study.table("task").row(0, named=True),
        "answered": _answered(study.tables(CLEAN)) if CLEAN.name in done else None,
        "find": find.record(study.tables(FIND)) if FIND.name in done else None,
        "measurements": measurements,
        "left_out": study.record.left_out,
        "without_value": study.record.without_value,
        "summary": [sentence.text for sentence in sentences],
        "folder": str(study.folder),
        "report": str(study.report),
    }


def _answered(tables: "Tables") -> dict[str, Any]:
    """How many prompts the model answers right, and how surely."""
    from vitro.experiments.findings import does_task

    clean = tables["clean"]
    return {
        "prompts": len(clean),
        "right": int((clean["answer_rank"] == 0).sum()),
        "answer_prob": float(clean["answer_prob"].to_numpy().mean()),
        "does_task": does_task(tables),
    }
