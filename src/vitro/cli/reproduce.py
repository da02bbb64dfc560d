"""`vitro reproduce`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitro.cli.parameters import Json, Only, takes_options
from vitro.cli.printing import print_json, print_plain, print_table, print_text
from vitro.cli.start import resumable
from vitro.errors import VitroError
from vitro.options import Machine, Options, command_line

if TYPE_CHECKING:
    from vitro.models import Model


@takes_options
def reproduce(
    options: Annotated[
        Options,
        Only(("seed", "samples", "value_bias", "unembed_direction", "steer_positions", "output_bias", "memory")),
    ],
    machine: Machine,
    model: Annotated[
        str, typer.Option(help="A checkpoint of GPT-2 small's shape: gpt2, or a folder (see vitro models).")
    ] = "gpt2",
    out: Annotated[Path | None, typer.Option(help="Write the claims with their figures to this .html file.")] = None,
    conventions: Annotated[
        str, typer.Option(help="all: try every combination of what the post leaves open. given: the options below.")
    ] = "given",
    as_json: Json = False,
) -> None:
    """Check the claims of "Mechanistically interpreting time in GPT-2 small". Exit code 1 when some differ."""
    if conventions not in ("given", "all"):
        raise VitroError(f"conventions must be given or all, not {conventions!r}")
    if conventions == "all" and out is not None:
        raise VitroError("--out writes the claims under one convention; leave out --conventions all")

    from vitro.folder import check_file, write_file
    from vitro.identity import identity
    from vitro.models import find, load_checkpoint
    from vitro.parts import kept_beside
    from vitro.progress import bar
    from vitro.reproduction import check_shape, page, posts_own
    from vitro.reproduction import reproduce as check_claims

    if out is not None:
        check_file(out, ".html")
    checkpoint = find(model)
    with bar(f"loading {model}"):
        loaded = load_checkpoint(checkpoint, **asdict(machine))
    check_shape(loaded)
    if conventions == "all":
        _compare(loaded, options, as_json)
        return
    if out is None:
        claims = check_claims(loaded, model, options)
    else:
        command = command_line("reproduce", [], options, machine, model=model, out=str(out))
        settings = identity(checkpoint, posts_own(options), machine.device, machine.dtype)
        with resumable(), kept_beside(out, settings) as part:
            claims = check_claims(loaded, model, options, part)
            write_file(out, page(claims, command, machine).encode())
    if as_json:
        print_json({"model": model, "claims": claims.table.to_dicts(), "differ": claims.differing})
    else:
        columns = ("id", "verdict", "claim", "post", "here", "by_chance")
        print_table((*columns[:-1], "by chance"), [tuple(map(str, row)) for row in claims.table.select(columns).rows()])
        print_text(claims.summary())
        if out is not None:
            print_plain(f"The page: {out}")
    raise typer.Exit(1 if claims.differing else 0)


def _compare(model: "Model", options: Options, as_json: bool) -> None:
    """Print what each combination of conventions reproduces."""
    from vitro.reproduction import compare_conventions, reproduce_most

    compared = compare_conventions(model, options)
    most = reproduce_most(compared)
    if as_json:
        print_json({"combinations": compared.to_dicts(), "reproduce_most": most})
        return
    print_table(
        ("value bias", "unembed", "steered at", "hold", "claims that hold", "distance"),
        [(*map(str, row[:5]), f"{row[5]:.4f}") for row in compared.rows()],
    )
    print_text("hold: of claims 15-19, 26, 27; distance: mean absolute difference from the post's numbers")
    if not most:
        print_text("No combination reproduces any of these claims.")
    elif len(most) == 1:
        print_text(f"Reproduces most: {most[0]}")
    else:
        print_text(f"{len(most)} combinations reproduce as much; the closest of them: {most[0]}")
