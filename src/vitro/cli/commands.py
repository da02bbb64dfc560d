"""All commands, in the order of the help."""

from vitro.cli import circuit, curve, edges, export, find, models, report, reproduce, study, successor, tasks
from vitro.cli.examples import epilog
from vitro.cli.start import app, run

for command in (
    study.study,
    find.find,
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
    app.command(epilog=epilog(command.__name__))(command)

__all__ = ["app", "run"]
