"""V1, the clean run: what the model answers when nothing is edited."""

import polars as pl

from vitro.experiments.effects import answered
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.setup import DEFAULT_OPTIONS, Options, Setup, Tables
from vitro.figures import clean_answers
from vitro.models import Model
from vitro.tasks import Task


def run(setup: Setup) -> Tables:
    """Table `clean`, a row for each prompt: its subject and answer, and what is `answered`."""
    prompts = setup.prompts
    found = {name: value[0].numpy() for name, value in setup.sweep([()], answered(setup), "clean run").items()}
    return {
        "clean": pl.DataFrame(
            {
                "prompt": range(len(prompts.tokens)),
                "subject": setup.task.subjects,
                "answer": setup.task.answers,
                "answer_logit": found["answer_logit"],
                "answer_prob": found["answer_prob"],
                "answer_rank": found["answer_rank"],
                "subject_prob": found["subject_prob"],
                "top_token": setup.token_text(found["top"].tolist()),
                "top_prob": found["top_prob"],
            }
        )
    }


def summary(tables: Tables) -> str:
    """How many prompts are answered right, and how surely."""
    clean = tables["clean"]
    right = (clean["answer_rank"] == 0).sum()
    mean = clean.select(pl.col("answer_prob").mean()).item()
    return f"The model answers {right} of {len(clean)} prompts right, with a mean answer probability of {mean:.3g}."


CLEAN = Experiment(
    name="clean",
    title="Clean answers",
    reading="Each bar is the probability of the right answer as the next token; a red bar is a prompt where another "
    "token, named on the right, is more probable.",
    python="vitro.clean_run(model, task)",
    tables=("clean",),
    run=run,
    figures=lambda tables: {"clean": clean_answers(tables["clean"])},
    numbers=lambda tables: tables["clean"].drop("prompt"),
    summary=summary,
)


def clean_run(model: Model, task: Task, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """How a model answers a task when nothing is edited (method.md V1; the post, "The Task")."""
    return CLEAN.measure(model, task, options)
