"""V0, the prompts: what the model is given, token by token, and what is asked of it."""

import numpy as np
import polars as pl

from vitro.experiments.experiment import Experiment
from vitro.experiments.setup import Setup
from vitro.tables import Tables, varies
from vitro.tasks import FINAL

SHOWN = 12
"""Prompts that the report lists."""


def run(setup: Setup) -> Tables:
    """Tables `task` (one row: how it is spoken of and ranked), `questions` (a row per prompt), `prompts` (per token).

    task: name, right, wrong, metric, unit, words, ablation, n_prompts, n_groups, one_length. questions: prompt, label,
    group, answer, wrong, n_tokens. prompts: prompt, position, token_id, token, role (bos, template, content, subject,
    mark, final), mark.
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
        "n_groups": len(set(questions.groups)) or 1,
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
    """What stands at each position of a prompt, and the first of the marks that name it."""
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
    prompts = tables["prompts"]
    if varies(tables):
        return prompts.filter(pl.col("prompt") == 0).select("position", "token_id", "token", "role")
    text = prompts.group_by("prompt", maintain_order=True).agg(pl.col("token").str.join("").alias("tokens"))
    return tables["questions"].join(text, on="prompt").head(SHOWN).select("label", "tokens", "answer", "wrong")


PROMPTS = Experiment(
    name="prompts",
    title="The prompts",
    reading="What the model is given: where prompts differ in their subject alone, the first of them token by token, "
    "else the first prompts; the answer is read at the final position.",
    python='vitro.EXPERIMENTS["prompts"].measure(model, task)',
    tables=("prompts", "task", "questions"),
    run=run,
    figures=lambda tables: {},
    numbers=numbers,
)
