"""`vitro export`: takes all that `vitro edges` takes, since the scores are measured in a study's folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vitro.cli.parameters import (
    FolderOption,
    Json,
    ModelOption,
    TaskArgument,
    default_folder,
    rankings_of,
    takes_options,
    task_of,
)
from vitro.cli.printing import print_json, print_plain, print_table, print_text
from vitro.cli.start import resumable
from vitro.options import SCORES, Machine, OptionError, Options, TaskOptions


@takes_options
@resumable()
def export(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    mib: Annotated[Path, typer.Option(help="Write TASK_MODEL/ to this folder, as the benchmark MIB takes it.")],
    scores: Annotated[
        str, typer.Option(metavar="<name>", help=f"How edges are scored: one of {', '.join(SCORES)}.")
    ] = "eap-ig",
    circuits: Annotated[
        bool, typer.Option("--circuits", help="Nine circuits, of 0.1 to 50 % of the edges, instead of the scores.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Another name than TASK_MODEL.")] = None,
    out: FolderOption = None,
    as_json: Json = False,
) -> None:
    """Write the scores of a model's edges, or circuits made of them, for the benchmark MIB.

    The scores are measured in the study's folder, unless they are there. What the folder for MIB holds is replaced
    where it is as it was written here; a folder that is not is left alone.
    """
    names = rankings_of(scores, options)
    if len(names) != 1:
        raise OptionError(f"--scores must be one score here, not {scores!r}")
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model, options)

    from vitro import submission
    from vitro.circuits import Graph
    from vitro.experiments import SCORE_EXPERIMENTS, edge_scores
    from vitro.folder import check_writable
    from vitro.study import run_study

    check_writable(mib)
    called = submission.submission_name(chosen.name, model) if name is None else name
    experiment = SCORE_EXPERIMENTS[names[0]]
    study = run_study(model, chosen, folder, options, experiments=[experiment.name], **asdict(machine))
    values = edge_scores(study.tables(experiment), names[0])
    shape = study.record.model
    graph = Graph(int(shape["n_layers"]), int(shape["n_heads"]), parallel=False)
    if len(graph) != len(values):
        # In parallel blocks an MLP does not read the heads of its own layer.
        graph = Graph(graph.n_layers, graph.n_heads, parallel=True)
    make = submission.circuits if circuits else submission.importances
    files = make(graph, values, int(shape["d_model"]))
    about = {"score": names[0], "study": study.record.settings.model_dump(mode="json")}
    place = submission.write_submission(mib, called, files, about)
    if as_json:
        print_json({"folder": str(place), "files": list(files), "study": str(folder)})
        return
    print_table(("file", "kB"), [(file, f"{len(content) / 1000:,.0f}") for file, content in files.items()])
    print_text(f"{names[0]} of {len(values):,} edges, for MIB: {place}")
    print_plain(f"The study: {folder}")
