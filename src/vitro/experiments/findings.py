"""The findings that a study may state, sentence by sentence."""

from collections.abc import Sequence

from vitro.experiments.experiment import Experiment
from vitro.report import Sentence
from vitro.tables import RARE, Tables, counted, luck, varies


def does_task(tables: Tables) -> bool:
    """Whether the model does the task: all prompts right, or more than chance would get right (binomial, 5 %).

    Right is the answer as top token, and by chance one of the answers is named; where a task has no list of answers,
    right is above wrong, which by chance it is half of the time.
    """
    clean = tables["clean"]
    tops, firsts = int((clean["answer_rank"] == 0).sum()), int((clean["right_first"] == 1).sum())
    if varies(tables):
        right, by_chance = tops, 1 / clean["answer"].n_unique()
    else:
        right, by_chance = firsts, 0.5
    return len(clean) in (right, tops) or luck(right, len(clean), by_chance) <= RARE


def findings(done: Sequence[Experiment], tables: Tables) -> list[Sentence]:
    """A sentence for each experiment that has one, with its section; if the model does not do the task, only that."""
    if "clean" in tables and not does_task(tables):
        clean = tables["clean"]
        right, prob = (clean["answer_rank"] == 0).sum(), clean["answer_prob"].to_numpy().mean()
        first = (clean["right_first"] == 1).sum()
        above, chance = (
            ("", "chance among the answers") if varies(tables) else (f" and right is above wrong in {first}", "chance")
        )
        return [
            Sentence(
                f"The model does not do this task: its top token is the answer in {right} of {counted(len(clean))}"
                f"{above}, no more than {chance} would give (mean answer probability {prob:.2g}).",
                "clean",
            ),
            Sentence(
                "So the tables and figures describe what was measured, and say nothing of how the model does the task."
            ),
        ]
    return [Sentence(sentence, experiment.name) for experiment in done if (sentence := experiment.summary(tables))]
