"""`vitro find`: takes all that `vitro study` takes, since a folder holds one study."""

import math
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from vitro.cli.parameters import FolderOption, Json, ModelOption, TaskArgument, default_folder, takes_options, task_of
from vitro.cli.printing import print_circuit, print_json, print_plain, print_table, print_text
from vitro.cli.start import resumable
from vitro.options import ABLATIONS, Ablation, Choice, Machine, OptionError, Options, TaskOptions


@takes_options
@resumable()
def find(
    task: TaskArgument,
    model: ModelOption,
    task_options: TaskOptions,
    options: Options,
    machine: Machine,
    ablation: Annotated[
        str | None,
        typer.Option(
            metavar="<name>",
            help=f"What is not in the circuit is ablated so: {', '.join(ABLATIONS)}.",
            show_default="the task's own",
        ),
    ] = None,
    out: FolderOption = None,
    as_json: Json = False,
) -> None:
    """Find the smallest circuit that does a task, and how sure that is. Stopped, it goes on where it was.

    Nodes are searched first, then edges: every removal is measured on the circuit as it stands, until none can go. The
    verdict is reached on prompts that the search has not seen. The folder may be a study's own.
    """
    options = with_ablation(options, ablation)
    chosen = task_of(task, options, task_options)
    folder = out or default_folder(chosen.name, model, options)

    from vitro.experiments import FIND
    from vitro.study import run_study
    from vitro.tables import marks

    # By itself it takes the time that it needs.
    options = options if options.budget is not None else replace(options, budget=math.inf)
    study = run_study(model, chosen, folder, options, experiments=[FIND.name], **asdict(machine))
    tables = study.tables(FIND)
    search, seconds = tables["find"].row(0, named=True), study.record.experiments[FIND.name].seconds
    if as_json:
        print_json({**record(tables), "seconds": seconds, "folder": str(folder), "report": str(study.report)})
        return
    print_circuit(search["circuit"])
    verdict = tables["verdict"]
    print_table(
        ["condition", "verdict", ""],
        list(zip(verdict["condition"], marks(verdict), verdict["reading"], strict=True)),
    )
    if (kept := tables["ladder"].filter("kept")).height:
        last = kept.row(-1, named=True)
        print_text(f"The ladder: {kept.height} of {tables['ladder'].height} rungs hold, down to {last['name']}:")
        print_plain("")
        print_circuit(last["circuit"])
    print_text(FIND.summary(tables))
    print_text(f"All of it took {seconds:.0f} s; the search ran {search['measured']:,} circuits.")
    if not search["finished"]:
        print_plain("The time was up: the same command goes on from there.")
    print_plain(f"The report: {study.report}")


def with_ablation(options: Options, ablation: str | None) -> Options:
    """Options with the ablation of what is not in a circuit. OptionError for a word that is none, or two of them."""
    if ablation is None:
        return options
    if wanted := Choice(ABLATIONS).wanted(ablation):
        raise OptionError(f"--ablation must be {wanted}, not {ablation!r}")
    if options.edge_ablation not in (None, ablation):
        raise OptionError(f"--ablation {ablation} and --edge-ablation {options.edge_ablation} say the same: give one")
    kind: Ablation = ablation  # type: ignore[assignment]
    return replace(options, edge_ablation=kind)


def record(tables: Any) -> dict[str, Any]:
    """What was found, as JSON values."""
    search = tables["find"].row(0, named=True)
    of = {row["condition"]: row for row in tables["verdict"].to_dicts()}
    held, chance = of.get("held_out", {}), of.get("random", {})
    edges = tables["find_edges"].to_dicts()
    return {
        "found": search["found"],
        "why": search["why"],
        "nodes": tables["find_nodes"]["node"].to_list(),
        "edges": [f"{edge['source']}->{edge['reader']}{_input(edge['input'])}" for edge in edges],
        "circuit": search["circuit"],
        "minimal": search["minimal"],
        "metric": search["metric"],
        "ablation": search["method"],
        "faithfulness": {
            "searched": search["faithfulness"],
            "held_out": held.get("value"),
            "interval": [held.get("low"), held.get("high")] if held else None,
        },
        "right": {"model": search["right_model"], "circuit": search["right_circuit"], "prompts": search["searched"]},
        "p_random": chance.get("value"),
        "verdict": list(of.values()),
        "ladder": tables["ladder"].to_dicts(),
        "measured": search["measured"],
        "finished": search["finished"],
    }


def _input(name: str | None) -> str:
    return f"<{name}>" if name else ""
