"""`vitro atlas`."""

import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitro.cli.parameters import Json, MeasureOption, measured, takes_options, task_of
from vitro.cli.printing import print_json, print_plain, print_table, print_text
from vitro.cli.start import resumable
from vitro.options import Machine, OptionError, Options, Spread, TaskOptions

if TYPE_CHECKING:
    from vitro.atlases import Asked, Outcome
    from vitro.tables import Tables

MOST_ROWS = 200
"""Cells of a plan that are printed."""
TasksArgument = Annotated[str, typer.Argument(help="Tasks: days,months,numbers:10 (see vitro tasks).")]
ModelsOption = Annotated[
    str, typer.Option(help="Models: gpt2,smollm2,runs/step1000 (see vitro models), or a file with one a line.")
]
OutOption = Annotated[Path, typer.Option(help="The atlas's folder.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only say what would be made, what is there, and what memory and time it takes."),
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="<commands>", help="With --dry-run: the cells that are missing, a command each."),
]


@takes_options
@resumable()
def atlas(
    tasks: TasksArgument,
    models: ModelsOption,
    out: OutOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    spread: Spread,
    measure: MeasureOption = None,
    dry_run: DryRun = False,
    written_as: As = None,
    as_json: Json = False,
) -> None:
    """Every task on every model, a study each, and one table and page of them all. Stopped, it goes on where it was.

    A cell that fails is a row with its reason; the others go on. Exit code 1: some have failed.
    """
    if written_as not in (None, "commands"):
        raise OptionError(f"--as must be commands, not {written_as!r}")
    if written_as and not dry_run:
        raise OptionError("--as goes with --dry-run; what works: --dry-run --as commands")
    from vitro.atlases import MEASURE, Asked, models_of

    asked = Asked(
        models_of(models),
        tuple(task_of(name.strip(), options, task_options) for name in tasks.split(",")),
        out,
        measured(measure) if measure else MEASURE,
        options,
        machine,
        listed=models,
    )
    if written_as:
        _print_commands(asked, spread)
    elif dry_run:
        _print_plan(asked, spread, as_json)
    else:
        _make(asked, spread, as_json)


def _make(asked: "Asked", spread: Spread, as_json: bool) -> None:
    from vitro.atlases import run
    from vitro.atlases.page import findings

    made = run(asked, spread, _tell)
    if as_json:
        print_json({**_record(made.tables), "folder": str(made.folder), "page": str(made.page)})
    else:
        for sentence in findings(made.tables):
            print_text(sentence)
        print_plain(f"The page: {made.page}")
    if "failed" in made.table["state"]:
        raise typer.Exit(1)


def _tell(outcome: "Outcome", number: int, of: int, seconds: float) -> None:
    """A line on stderr for each cell as it is made."""
    what = f"failed: {outcome.reason}" if outcome.reason else f"done after {seconds:.1f} s"
    print(f"{number} of {of}: {outcome.job}: {what}", file=sys.stderr)


def _record(tables: "Tables") -> dict[str, object]:
    """The tables, as JSON values (docs/json.md)."""
    return {"cells": tables["atlas"].to_dicts(), **{name: tables[name].to_dicts() for name in ("overlaps", "seconds")}}


def _print_commands(asked: "Asked", spread: Spread) -> None:
    from vitro.atlases import cell_command

    for job in asked.jobs:
        if asked.study(job) is None:
            print_plain(cell_command(asked, job, spread))


def _print_plan(asked: "Asked", spread: Spread, as_json: bool) -> None:
    from vitro.atlases.atlas import share
    from vitro.atlases.plan import plan
    from vitro.tables import counted

    # On a cluster it is its machines' memory that counts.
    room = share(spread.jobs or 1) if spread.on is None else None
    made = plan(asked, spread.threads, room.free if room else math.inf)
    if as_json:
        print_json(
            {
                "cells": [
                    {
                        "model": cell.job.model,
                        "task": cell.job.task.typed,
                        "state": cell.state,
                        "reason": cell.reason,
                        "memory": cell.memory,
                        "seconds": cell.seconds,
                        "sizes": asdict(cell.sizes) if cell.sizes else None,
                        "folder": str(cell.job.folder),
                    }
                    for cell in made.cells
                ],
                "download": made.download,
                "seconds": made.seconds,
                "uncounted": made.uncounted,
            }
        )
        return
    rows = [
        (
            cell.job.model,
            cell.job.task.typed,
            cell.state,
            f"{cell.sizes.parameters / 1e6:,.1f}" if cell.sizes else "",
            _bytes(cell.memory) if cell.memory else "",
            _bytes(cell.sizes.download) if cell.sizes and cell.sizes.download else "",
            _about(cell.seconds) if cell.seconds is not None else "",
        )
        for cell in made.cells[:MOST_ROWS]
    ]
    columns = ("model", "task", "state", "million parameters", "memory", "download", "about")
    print_table(columns, rows)
    if len(made.cells) > MOST_ROWS:
        print_text(f"And {len(made.cells) - MOST_ROWS:,} more, which --json prints too.")
    refused = {cell.job.model: cell.reason for cell in made.cells if cell.reason}
    for reason in refused.values():
        print_text(f"Refused: {reason}.")
    missing, jobs = made.missing, spread.jobs or 1
    if not missing:
        print_text(f"{counted(len(made.cells), 'cell')}, of which none is to be made.")
        return
    several = f", {_about(made.seconds / jobs)} with {jobs} at a time" if jobs > 1 else ""
    uncounted = f", without {', '.join(made.uncounted)}, whose time is not known before" if made.uncounted else ""
    print_text(
        f"{counted(len(made.cells), 'cell')}, of which {len(missing):,} are to be made: about {_about(made.seconds)} "
        f"one after the other{several}{uncounted}; right to a factor of three, and better once some are finished."
    )
    if made.download:
        print_text(f"To be downloaded: {_bytes(made.download)}.")


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 10**9 else f"{max(1, round(number / 1e6))} MB"


def _about(seconds: float) -> str:
    from vitro.progress import in_words

    return in_words(seconds) if seconds >= 90 else f"{max(1, round(seconds))} s"
