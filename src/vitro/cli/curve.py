"""`vitro curve`: takes all that `vitro study` takes, since the scores that it ranks by are kept in a study's folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitro.cli.parameters import (
    FolderOption,
    Json,
    ModelOption,
    TaskArgument,
    default_folder,
    scores_of,
    takes_options,
    task_of,
)
from vitro.cli.printing import print_json, print_table
from vitro.cli.start import resumable
from vitro.options import SCORES, Machine, Options, TaskOptions

if TYPE_CHECKING:
    import polars as pl

    from vitro.tables import Tables


@takes_options
@resumable()
def curve(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="<name,name,...>",
            help=f"What edges are ranked by: some of {', '.join(SCORES)}.",
            show_default="eap-ig, or the files alone",
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Scores in a file of EAP-IG or MIB (.json, .pt), or a folder of MIB's with nine circuits."),
    ] = None,
    vary: Annotated[
        bool, typer.Option("--vary", help="Also under every other ablation and metric: whether they decide.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the curves to this .svg file.")] = None,
    out: FolderOption = None,
    as_json: Json = False,
) -> None:
    """Run circuits of a model's best edges, from .1 % of them to all: how faithful they are (MIB's CPR and CMD).

    The scores are kept in a study's folder. Of files alone nothing is kept.
    """
    names = scores_of(scores) if scores else () if file and not vary else ("eap-ig",)
    chosen = task_of(task, options, task_options)

    import polars as pl

    from vitro.experiments.curve import CURVE, curves_of_files
    from vitro.experiments.curve_choices import CURVE_CHOICES
    from vitro.experiments.edge_scores import SCORE_EXPERIMENTS
    from vitro.figures import to_svg
    from vitro.folder import check_writable, write_file
    from vitro.study import run_study

    if figure is not None:
        check_writable(figure.parent)
    shown: list[Tables] = []
    if file:
        shown.append(curves_of_files(chosen, model, file, options, machine.device, machine.dtype))
    said: dict[str, Any] = {}
    if names:
        folder = out or default_folder(chosen.name, model)
        asked = [*(SCORE_EXPERIMENTS[name].name for name in names), CURVE.name, *([CURVE_CHOICES.name] if vary else [])]
        study = run_study(chosen, model, folder, options, experiments=asked, device=machine.device, dtype=machine.dtype)
        kept = {name: study.tables(CURVE)[name].filter(pl.col("score").is_in(names)) for name in CURVE.tables}
        shown.insert(0, {**kept, "seconds": study.tables(CURVE)["seconds"]})
        said = {"folder": str(folder), "report": str(study.report)}
