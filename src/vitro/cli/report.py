"""`vitro report`."""

from pathlib import Path
from typing import Annotated

import typer

from vitro.cli.parameters import Json
from vitro.cli.printing import print_json, print_plain


def report(folder: Annotated[Path, typer.Argument(help="A study's folder.")], as_json: Json = False) -> None:
    """Draw a study's figures and report.html again, from its tables, without the model."""
    from vitro.study import write_report

    drawn = write_report(folder)
    print_json({"report": str(drawn.report)}) if as_json else print_plain(f"The report: {drawn.report}")
