"""Every measurement of a model, with few choices where all would be varied."""

from collections.abc import Iterator
from dataclasses import replace

from vitro.experiments import EXPERIMENTS, Experiment, Options, Setup
from vitro.models import Model
from vitro.tasks import Task


def every(model: Model, task: Task, options: Options) -> Iterator[tuple[Experiment, Setup]]:
    """Each measurement and where to make it.

    Choices of ablation and metric are varied for the cheapest score and two ablations: else they take four fifths of
    the time of all measurements together, and do the same again.
    """
    setup = Setup(model, task, options)
    few = Setup(model, task, replace(options, ablations=("zero",)))
    for name, experiment in EXPERIMENTS.items():
        if name == "curve_choices":
            few.tables(EXPERIMENTS["edges_eap"])
        yield experiment, few if name == "curve_choices" else setup
