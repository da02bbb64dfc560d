"""All commands, in the order of the help."""

import inspect

from vitro.cli import atlas, circuit, curve, edges, export, find, models, report, reproduce, study, successor, tasks
from vitro.cli.examples import epilog
from vitro.cli.start import app, run


def unwrapped(doc: str) -> str:
    """A docstring with each paragraph on one line, for a terminal wraps lines anew.

    >>> unwrapped("One line.\\n\\n    A paragraph of\\n    two lines.\\n    ")
    'One line.\\n\\nA paragraph of two lines.'
    """
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(doc).split("\n\n"))


for command in (
    study.study,
    find.find,
    atlas.atlas,
    edges.edges,
    curve.curve,
    export.export,
    reproduce.reproduce,
    circuit.circuit,
    successor.successor,
    report.report,
    models.models,
    tasks.tasks,
):
    app.command(help=unwrapped(command.__doc__ or ""), epilog=epilog(command.__name__))(command)

__all__ = ["app", "run"]
