"""What a study may say that it found, sentence by sentence."""

from collections.abc import Sequence

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Tables
from vitro.experiments.statistics import RARE, luck


def does_task(tables: Tables) -> bool:
    """Whether the model does the task: all prompts right, or more than one of the answers named at random would be."""
    clean = tables["clean"]
    right = int((clean["answer_rank"] == 0).sum())
    return right == len(clean) or luck(right, len(clean), 1 / clean["answer"].n_unique()) <= RARE


def findings(done: Sequence[Experiment], tables: Tables) -> list[str]:
    """A sentence for each experiment that has one; of a task that the model does not do, that alone."""
    if "clean" in tables and not does_task(tables):
        clean = tables["clean"]
        right, prob = (clean["answer_rank"] == 0).sum(), clean["answer_prob"].to_numpy().mean()
        return [
            f"The model does not do this task: its top token is the answer in {right} of {len(clean)} prompts, no more "
            f"than chance among the answers would give (mean answer probability {prob:.2g}).",
            "So the tables and figures describe what was measured, and say nothing of how the model does the task.",
        ]
    return [sentence for experiment in done if (sentence := experiment.summary(tables))]
