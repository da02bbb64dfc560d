"""V0, the prompts: the model's input, token by token, and the questions about it."""

import numpy as np
import polars as pl

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Setup
from vitro.tables import Tables, counted, said, the, varies, with_kinds
from vitro.tasks import FINAL

SHOWN = 24
"""The most prompts that the report lists; of more prompts of several kinds, the first of each kind."""


def run(setup: Setup) -> Tables:
    """Tables `task` (one row: its words and its metric), `questions` (a row per prompt), `prompts` (per token).

    Their columns are in `vitro.tables.schemas.asked`.
    """
    questions, task, metric = setup.questions, setup.task, setup.metric
    lengths = np.array(questions.lengths)
    tokens = np.concatenate([np.array(prompt, dtype=np.int64) for prompt in questions.tokens])
    n_prompts = len(questions)
    spoken = {
        "name": task.name,
        "right": task.right_called,
        "wrong": task.wrong_called,
        "metric": metric.name,
        "unit": metric.quantity.unit,
        "words": metric.quantity.words,
        "ablation": setup.ablation,
        "n_prompts": n_prompts,
        "n_swept": len(setup.swept.questions),
        "n_groups": len(set(questions.groups)) or 1,
        "n_answers": len(questions.among),
        "one_length": questions.one_length,
    }
    roles, marks = zip(*(_roles(setup, row) for row in range(n_prompts)), strict=True)
    return {
        "task": pl.DataFrame([spoken]),
        "questions": pl.DataFrame(
            {
                "prompt": range(n_prompts),
                "label": questions.labels,
                "group": questions.groups or [None] * n_prompts,
                "answer": questions.answers,
                "wrong": questions.others,
                "n_tokens": lengths,
            },
            schema_overrides={"group": pl.String},
        ),
        "prompts": pl.DataFrame(
            {
                "prompt": np.repeat(np.arange(n_prompts), lengths),
                "position": np.concatenate([np.arange(length) for length in lengths]),
                "token_id": tokens,
                "token": setup.token_text(tokens.tolist()),
                "role": [role for row in roles for role in row],
                "mark": pl.Series([mark for row in marks for mark in row], dtype=pl.String),
            }
        ),
    }


def _roles(setup: Setup, row: int) -> tuple[list[str], list[str | None]]:
    """The role of each position of a prompt, and the first mark that names it."""
    questions = setup.questions
    prompt = questions.tokens[row]
    roles = ["template"] * len(prompt)
    for position in questions.content:
        roles[position] = "content"
    names: list[str | None] = [None] * len(prompt)
    for name, at in reversed(list(questions.marks.items())):
        names[at[row]] = name
        roles[at[row]] = "subject" if name == "subject" and setup.varying else "mark"
    roles[-1] = FINAL
    if prompt[0] == setup.model.tokenizer.bos_token_id:
        roles[0] = "bos"
    return roles, names


def numbers(tables: Tables) -> pl.DataFrame:
    """The first prompt, token by token; where prompts differ elsewhere than in a subject, the first prompts."""
    prompts, questions = tables["prompts"], tables["questions"]
    if varies(tables):
        return prompts.filter(pl.col("prompt") == 0).select("position", "token_id", "token", "role")
    written = questions.join(_written(prompts), on="prompt")
    if len(questions) <= SHOWN or said(tables).n_groups == 1:
        return written.head(SHOWN).select("label", "written", "answer", "wrong").rename({"written": "prompt"})
    return (
        with_kinds(written, questions)
        .group_by("kind")
        .agg(pl.len().alias("prompts"), pl.col("written", "answer", "wrong").first())
        .sort("kind")
        .select(pl.col("kind").cast(pl.String).alias("kind of prompt"), "prompts", "written", "answer", "wrong")
        .rename({"written": "the first of them"})
    )


def _written(prompts: pl.DataFrame) -> pl.DataFrame:
    """Every prompt as text, without BOS."""
    tokens = prompts.filter(pl.col("role") != "bos").sort("prompt", "position")
    return tokens.group_by("prompt", maintain_order=True).agg(pl.col("token").str.join("").alias("written"))


def asked(tables: Tables) -> str:
    """The task in a sentence, and the metric that ranks components: the first words of a report."""
    spoken, first = said(tables), tables["questions"].sort("prompt").row(0, named=True)
    swept = f", on {spoken.n_swept} of these prompts" if spoken.n_swept < spoken.n_prompts else ""
    by = f"Components are ranked by the {spoken.quantity.short} under {spoken.ablation} ablation{swept}."
    if varies(tables):
        gap = pl.when(role="subject").then(pl.col("token").str.replace(r"\S+", "{subject}")).otherwise("token")
        text = _written(tables["prompts"].with_columns(gap.alias("token")))["written"][0].strip()
        prompts = f"{counted(spoken.n_prompts)} that differ in the subject alone, \u201c{text}\u201d"
        return f"{prompts}: right is {first['answer']} where it is {first['label']}. {by}"
    kinds = f" of {spoken.n_groups} kinds" if 1 < spoken.n_groups < spoken.n_prompts else ""
    text = _written(tables["prompts"].filter(prompt=first["prompt"]))["written"].item().strip()
    right = f"right is {first['answer']}{_called(spoken.right, 'right')}"
    wrong = f", wrong {first['wrong']}{_called(spoken.wrong, 'wrong')}" if first["wrong"] else ""
    return f"{counted(spoken.n_prompts)}{kinds}, such as \u201c{text}\u201d: {right}{wrong}. {by}"


def _called(name: str, side: str) -> str:
    """What answers are to the task, where that is more than which side they are on."""
    return "" if name == f"{side} answer" else f" ({the(name)})"


PROMPTS = Experiment(
    name="prompts",
    title="The prompts",
    reading="What the model is given: where prompts differ in their subject alone, the first of them token by token, "
    "else the first prompts, or the first of each kind; the answer is read at the final position.",
    python='vitro.EXPERIMENTS["prompts"].measure(model, task, options)',
    tables=("prompts", "task", "questions"),
    run=run,
    figures=lambda tables: {},
    numbers=numbers,
)
