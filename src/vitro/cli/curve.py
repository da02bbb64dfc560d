"""`vitro curve`: takes all that `vitro study` takes, since the scores that it ranks by are kept in a study's folder."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from vitro.options import SCORES, Machine, Options, TaskOptions

if TYPE_CHECKING:
    import polars as pl

    from vitro.tables import Tables
    from vitro.tasks import Task


@takes_options
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
        typer.Option(
            metavar="<path>",
            help="Scores in a file of EAP-IG or MIB (.json, .pt), or a folder of MIB's with nine circuits.",
        ),
    ] = None,
    vary: Annotated[
        bool, typer.Option("--vary", help="Also under every other ablation and metric: whether they decide.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the curves to this .svg file.")] = None,
    out: FolderOption = None,
    as_json: Json = False,
) -> None:
    """Run circuits of a model's best edges, from 0.1 % of them to all: how faithful they are (MIB's CPR and CMD).

    Edges are ranked, and circuits judged, by the study's metric where it is in nats, else by the logit difference;
    --vary judges by probabilities too. The scores are kept in a study's folder. Of files alone nothing is kept.
    """
    names = rankings_of(scores, options) if scores is not None else () if file and not vary else ("eap-ig",)
    chosen = task_of(task, options, task_options)

    import polars as pl

    from vitro.experiments import EXPERIMENTS, SCORE_EXPERIMENTS
    from vitro.experiments.curve import by_size, records
    from vitro.experiments.search_points import CIRCUIT, STEPS, comparison
    from vitro.figures import to_svg
    from vitro.folder import check_file, write_file
    from vitro.study import run_study

    if figure is not None:
        check_file(figure, ".svg")
    shown, choices = EXPERIMENTS["curve"], EXPERIMENTS["curve_choices"]
    parts = [_of_files(chosen, model, file, options, machine)] if file else []
    if names:
        folder = out or default_folder(chosen.name, model, options)
        asked = [*(SCORE_EXPERIMENTS[name].name for name in names), shown.name, *([choices.name] if vary else [])]
        with resumable():
            study = run_study(model, chosen, folder, options, experiments=asked, **asdict(machine))
        kept = study.tables(shown)
        # The folder may hold more scores than are asked for now.
        asked_for = pl.col("by").is_in([*names, CIRCUIT, STEPS])
        parts.insert(0, {**kept, **{name: kept[name].filter(asked_for) for name in shown.tables}})
    seconds = sum(dict(part["seconds"].rows())[shown.name] for part in parts)
    tables = {**parts[0], **{name: pl.concat(part[name] for part in parts) for name in shown.tables}}
    if figure is not None:
        write_file(figure, to_svg(shown.figures(tables)["curve"]).encode())
    compared = comparison(tables["curve"])
    if as_json:
        facts = tables["curve_areas"].select("metric", ablation="method").row(0, named=True)
        said: dict[str, Any] = {**facts, "seconds": seconds, "rankings": records(tables)}
        if compared.height:
            said["search"] = compared.to_dicts()
        if vary:
            said["choices"] = study.table(choices.name).to_dicts()
        if names:
            said |= {"folder": str(folder), "report": str(study.report)}
        print_json(said)
        return
    for by in tables["curve_areas"]["by"].unique(maintain_order=True):
        sizes = by_size(tables["curve"], by)
        print_plain(f"{by}\n")
        print_table(
            ["share", *sizes.columns[1:]], [(f"{100 * row[0]:g} %", *map(_cell, row[1:])) for row in sizes.rows()]
        )
        for line in _areas(tables["curve_areas"].filter(by=by)):
            print_text(line)
        print_plain("")
    if compared.height:
        print_text(
            "circuits of the search, and the best of as many edges: f by signed score, the f closest to 1 by absolute"
        )
        print_plain("")
        of_circuit = [rows.to_dicts() for rows in compared.partition_by("n", "by", maintain_order=True)]
        print_table(
            ["share", "n", "f", *(f"f {row['ranking']}" for row in of_circuit[0])],
            [
                (
                    *(f"{100 * rows[0]['size']:.3g} %", f"{rows[0]['n']:,}", _cell(rows[0]["f"])),
                    *(f"{_cell(row['ranked_f'])} ({row['score']}, {row['selection']})" for row in rows),
                )
                for rows in of_circuit
            ],
        )
    print_text(shown.summary(tables))
    print_plain(f"Running the circuits took {seconds:.1f} s.")
    if names:
        if vary:
            print_text(choices.summary(study.tables(choices)))
        print_plain(f"The table: {folder / 'tables' / shown.name}.parquet")
        print_plain(f"The report: {study.report}")


def _of_files(task: "Task", model: str, files: list[Path], options: Options, machine: Machine) -> "Tables":
    """The curves of files: of a model that is loaded for them alone, so nothing of it stays."""
    from vitro.experiments import Setup
    from vitro.experiments.curve import curves_of_files
    from vitro.experiments.prompts import PROMPTS
    from vitro.models import load
    from vitro.progress import bar

    with bar(f"loading {model}"):
        setup = Setup(load(model, **asdict(machine)), task, options)
    setup.check()
    return {**setup.tables(PROMPTS), **curves_of_files(setup, files)}


def _areas(areas: "pl.DataFrame") -> list[str]:
    """Both areas of a score, each with the ranking that MIB takes it from and its interval; of given circuits both."""
    lines = []
    for area, ranking in (("cpr", "signed"), ("cmd", "absolute")):
        said = []
        for row in areas.to_dicts():
            if row["ranking"] in (ranking, None):
                low, high = row[f"{area}_low"], row[f"{area}_high"]
                between = "" if low is None else f" ({low:.3f} to {high:.3f})"
                said.append(f"{row[area]:.3f}{between}{' greedy' if row['selection'] == 'greedy' else ''}")
        by = "" if areas["ranking"][0] is None else f", by {ranking} score"
        lines.append(f"{area.upper()} {', '.join(said)}{by}")
    return lines


def _cell(value: float) -> str:
    # What rounds to -0.000 is 0.
    return f"{round(value, 3) + 0.0:.3f}" if isinstance(value, float) else f"{value:,}"
