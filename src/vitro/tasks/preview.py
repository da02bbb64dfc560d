"""A task's first prompts as a model reads them, before anything is run."""

from collections.abc import Mapping
from dataclasses import dataclass

from vitro.tasks.task import Task
from vitro.tasks.tokenizer import Tokenizer, readable


@dataclass(frozen=True)
class PreviewRow:
    """A prompt: its tokens as texts, BOS included, and the positions of its marks.

    `prompt` and `counterfactual` are texts without BOS; `right` and `wrong` are all tokens that count, and `answer` and
    `other` the same in words ("33 to 99").
    """

    label: str
    group: str
    prompt: str
    tokens: tuple[str, ...]
    marks: Mapping[str, int]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    answer: str
    other: str
    counterfactual: str | None


@dataclass(frozen=True)
class Preview:
    """The first prompts, how many there are in all, and sentences on what was absorbed or left out."""

    rows: tuple[PreviewRow, ...]
    total: int
    notes: tuple[str, ...]


def preview(task: Task, tokenizer: Tokenizer, n_ctx: int | None, first: int = 5) -> Preview:
    """The first prompts of a task in a tokenizer's tokens; `n_ctx` is the longest that the model takes (None: any).

    >>> row = vitro.tasks.preview(task, model.tokenizer, None, first=1).rows[0]
    >>> row.prompt, row.right, row.wrong, row.tokens[row.marks["subject"]]
    ('If today is Monday, tomorrow is', (' Tuesday',), (' Monday',), ' Monday')

    Raises `TaskError` as `Task.questions` does.
    """
    questions = task.questions(tokenizer, n_ctx)

    def texts(ids: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(readable(tokenizer, token) for token in ids)

    def prompt(ids: tuple[int, ...]) -> str:
        return tokenizer.decode(list(ids[ids[0] == tokenizer.bos_token_id :]))

    rows = tuple(
        PreviewRow(
            label=questions.labels[i],
            group=questions.groups[i] if questions.groups else "",
            prompt=prompt(questions.tokens[i]),
            tokens=texts(questions.tokens[i]),
            marks={name: positions[i] for name, positions in questions.marks.items()},
            right=texts(questions.right[i]),
            wrong=texts(questions.wrong[i]),
            answer=questions.answers[i],
            other=questions.others[i],
            counterfactual=None if questions.partner is None else prompt(questions.partner[i]),
        )
        for i in range(min(first, len(questions)))
    )
    return Preview(rows, len(questions), questions.notes)
