"""`vitro successor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vitro.cli.parameters import Json, ModelOption, Only, takes_options
from vitro.cli.printing import print_json, print_plain, print_table, print_text
from vitro.heads import Head
from vitro.options import Machine, Options, command_line


@takes_options
def successor(
    model: ModelOption,
    options: Annotated[Options, Only(("seed",))],
    machine: Machine,
    out: Annotated[Path | None, typer.Option(help="Write the scores with their figures to this .html file.")] = None,
    top: Annotated[
        int, typer.Option(min=1, max=10**6, metavar="<n>", help="How many of the best heads to print.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Score every head at saying what comes next (days, months, numbers, ...), and ask whether the best one rotates."""
    from vitro.folder import check_file, write_file
    from vitro.models import load
    from vitro.progress import bar
    from vitro.successors import page
    from vitro.successors import successor as score_heads

    if out is not None:
        check_file(out, ".html")
    with bar(f"loading {model}"):
        loaded = load(model, **asdict(machine))
    scored = score_heads(loaded, name=model, seed=options.seed)
    best = scored.top(top)
    if out is not None:
        command = command_line("successor", [], options, machine, model=model, out=str(out), top=str(top))
        write_file(out, page(scored, command, top, machine).encode())
    if as_json:
        print_json(
            {
                "model": model,
                "best": scored.best_name,
                "heads": best.to_dicts(),
                "rotation": scored.tables["rotation"].to_dicts(),
                "modes": scored.tables["modes"].to_dicts(),
                "verdicts": scored.verdicts,
                "notes": scored.notes,
            }
        )
        return
    print_table(
        ("head", "mean score", "without norms"),
        [(str(Head(layer, head)), f"{mean:.3f}", f"{bare:.3f}") for layer, head, mean, bare, *_ in best.rows()],
    )
    print_table(
        (f"{scored.best_name} on", "right", "score", "chance"),
        [
            (row["set"], f"{row['right']} of {row['pairs']}", f"{row['score']:.3f}", f"{row['chance']:.3f}")
            for row in scored.best_scores.to_dicts()
        ],
    )
    for line in (scored.summary(), *scored.verdicts, *scored.notes):
        print_text(line)
    if out is not None:
        print_plain(f"The page: {out}")
