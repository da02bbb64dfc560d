"""V1, the clean run: what the model answers when nothing is edited."""

import polars as pl

from vitro.experiments.ablation import metric_columns
from vitro.experiments.effects import answered
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Setup
from vitro.figures import clean_answers
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tables import Tables, counted, said, the, with_kinds
from vitro.tasks import Task

FEW = 24
"""The most prompts of several kinds that are listed one by one."""
LISTED = 100
"""The most prompts that are listed one by one."""


def run(setup: Setup) -> Tables:
    """Table `clean`, a row for each prompt: label, answer and wrong in words, and what is `answered`."""
    questions = setup.questions
    read = {name: value[0] for name, value in setup.sweep([()], answered(setup), "clean run").items()}
    columns = metric_columns(read, [name for name in METRICS if name != "kl"], len(questions))
    return {
        "clean": pl.DataFrame(
            {
                "prompt": range(len(questions)),
                "label": questions.labels,
                "answer": questions.answers,
                "wrong": questions.others,
                **columns,
                "answer_rank": read["answer_rank"].numpy(),
                "wrong_prob": read["wrong_prob"].numpy(),
                "top_token": setup.token_text(read["top"].tolist()),
                "top_prob": read["top_prob"].numpy(),
            }
        )
    }


def numbers(tables: Tables) -> pl.DataFrame:
    """The prompts one by one, or, where they are many and of several kinds, means by the kind of prompt."""
    clean, wrong = tables["clean"], said(tables).wrong
    names = {"answer_prob": "answer prob", "logit_diff": "logit difference", "wrong_prob": f"prob of {the(wrong)}"}
    shown = {name: words for name, words in names.items() if clean[name].null_count() == 0}
    if len(clean) <= FEW or said(tables).n_groups == 1:
        columns = (pl.col(name).alias(words) for name, words in shown.items())
        ends = [pl.col(name).alias(name.replace("_", " ")) for name in ("answer_rank", "top_token", "top_prob")]
        return clean.head(LISTED).select("label", "answer", "wrong", *columns, *ends)
    return (
        with_kinds(clean, tables["questions"])
        .group_by("kind")
        .agg(
            pl.len().alias("prompts"),
            (pl.col("answer_rank") == 0).sum().alias("right on top in"),
            (pl.col("right_first") == 1).sum().alias("right above wrong in"),
            *(pl.col(name).mean().alias(f"mean {words}") for name, words in shown.items()),
        )
        .sort("kind")
        .with_columns(pl.col("kind").cast(pl.String))
        .rename({"kind": "kind of prompt"})
    )


def summary(tables: Tables) -> str:
    """How many prompts are answered right, how surely, and how many have right above wrong."""
    clean, spoken = tables["clean"], said(tables)
    right = (clean["answer_rank"] == 0).sum()
    mean = clean["answer_prob"].to_numpy().mean()
    sentence = f"The model answers {right} of {counted(len(clean))} right, with a mean answer probability of {mean:.3g}"
    if spoken.metric == "answer_prob":
        return f"{sentence}."
    value = spoken.quantity.amount(clean[spoken.metric].to_numpy().mean())
    first = int((clean["right_first"] == 1).sum())
    return f"{sentence}; right is above wrong in {first}, and the {spoken.quantity.short} is {value} on average."


CLEAN = Experiment(
    name="clean",
    title="Clean answers",
    reading="Each bar is the probability of the right answer as the next token; it is red where another token, whose "
    "bar is pale, is more probable. Of many prompts of several kinds each line is a kind, with means.",
    python="m.clean_run()",
    tables=("clean",),
    run=run,
    figures=lambda tables: {"clean": clean_answers(tables["clean"], tables["questions"], said(tables))},
    numbers=numbers,
    summary=summary,
    needs=(PROMPTS,),
)


def clean_run(model: Model, task: Task | str, options: Options = DEFAULT_OPTIONS) -> Measurement:
    """How a model answers a task when nothing is edited (docs/method.md, V1; the post, "The Task").

    Table `clean` has a row per prompt: its label, right and wrong answer, every metric but kl, the answer's rank among
    all tokens (0 is the top), and the most probable token. Probabilities are shares of 1, logits are in nats.

    Raises `OptionError` where an option does not fit the task or the model, and `TaskError` where the task does not fit
    the tokenizer.

    >>> vitro.clean_run(model, task).table["label", "answer", "answer_rank", "top_token"].row(0)
    ('Monday', 'Tuesday', 0, ' Tuesday')
    """
    return CLEAN.measure(model, task, options)
