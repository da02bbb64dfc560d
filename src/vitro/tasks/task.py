"""A task as measurements see it: a name, its questions, and the words for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from jaxtyping import Int

from vitro.options import TaskOptions
from vitro.tasks.questions import Questions
from vitro.tasks.tokenizer import Tokenizer

Dataset = Literal["random", "mean"]
DATASETS: tuple[Dataset, ...] = get_args(Dataset)
"""The ablations by a mean over sentences: random removes the task, mean removes what differs between prompts."""


class Task(Protocol):
    """Something to ask of a model. `Successors` and `Pairs` are tasks.

    >>> task.name, task.metric, task.ablations
    ('days', 'answer_prob', ('zero', 'random', 'mean'))
    """

    @property
    def name(self) -> str:
        """Letters, digits, `-` and `_`; a study's folder may be named after it."""

    @property
    def typed(self) -> str:
        """Its name on the command line: the inverse of `named`."""

    @property
    def named_with(self) -> TaskOptions:
        """The options that `named` needs besides that and the seed."""

    @property
    def right_called(self) -> str:
        """What this task calls the right tokens: "answer"."""

    @property
    def wrong_called(self) -> str:
        """What it calls the wrong tokens: "subject", "other name"."""

    @property
    def metric(self) -> str:
        """The metric that rankings and summaries go by, unless another is asked for (see `vitro.metrics`)."""

    @property
    def ablations(self) -> Sequence[str]:
        """The ablations that are measured unless others are asked for; summaries go by the last of them."""

    @property
    def sweep_prompts(self) -> int | None:
        """The number of prompts on which every component is ablated, unless another is asked for; None: all."""

    def questions(self, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
        """The task in a tokenizer's tokens; `n_ctx` is the longest prompt that the model takes (None: any).

        Raises `TaskError` for what does not fit this tokenizer or this length.
        """

    def sentences(
        self, questions: Questions, tokenizer: Tokenizer, samples: int, seed: int, n_tokens: int | None = None
    ) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The sentences over which a component's mean output is taken, for each mean that the task can have.

        Means are taken position by position, so all sentences are as long as the prompts; a task whose prompts differ
        in length has none. Random words are of the first `n_tokens` tokens, those that the model has (None: any).
        """

    @property
    def paraphrased(self) -> Sequence["Task"]:
        """The same task asked in other words."""

    def facts(self) -> Mapping[str, str]:
        """What a report says about the task: a value for each name."""

    def identity(self) -> Mapping[str, Any]:
        """All that decides the questions, as plain JSON: two tasks with equal identities ask the same."""


def told(task: Task) -> str:
    """A task in a few lines: its name, and what it says of itself.

    >>> told(task)
    'days\\n  Template: If today is {day}, tomorrow is\\n  Words: Monday, Tuesday, ...'
    """
    return "\n".join([task.name, *(f"  {name}: {value}" for name, value in task.facts().items())])
