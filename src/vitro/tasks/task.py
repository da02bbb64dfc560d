"""What a task is to all that measures: a name, its questions, and how it is spoken of."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from jaxtyping import Int

from vitro.options import TaskOptions
from vitro.tasks.questions import Questions
from vitro.tasks.tokenizer import Tokenizer

Dataset = Literal["random", "mean"]
DATASETS: tuple[Dataset, ...] = get_args(Dataset)
"""The ablations by a mean over sentences: without the task, and without what tells its prompts apart."""


class Task(Protocol):
    """Something to ask of a model. `Successors` and `Pairs` are tasks."""

    @property
    def name(self) -> str:
        """Letters, digits, `-` and `_`; a study's folder may carry it."""

    @property
    def typed(self) -> str:
        """What names it on the command line: the inverse of `named`."""

    @property
    def named_with(self) -> TaskOptions:
        """What `named` is given beside that and the seed."""

    @property
    def right_called(self) -> str:
        """What the right tokens are to this task: "answer"."""

    @property
    def wrong_called(self) -> str:
        """What the wrong ones are: "subject", "other name"."""

    @property
    def metric(self) -> str:
        """The metric that rankings and summaries go by, unless another is asked for (see `vitro.metrics`)."""

    @property
    def ablations(self) -> Sequence[str]:
        """The ablations that are measured unless others are asked for; summaries go by the last of them."""

    @property
    def sweep_prompts(self) -> int | None:
        """On how many of the prompts every component is ablated in turn, unless told otherwise; None: on all."""

    def questions(self, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
        """The task in a tokenizer's tokens; `n_ctx` is the longest prompt that the model takes (None: any).

        Raises `TaskError` for what does not fit this tokenizer or this length.
        """

    def sentences(
        self, questions: Questions, tokenizer: Tokenizer, samples: int, seed: int
    ) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The sentences over which a component's mean output is taken, for each mean that the task can have.

        Means are taken position by position, so all sentences are as long as the prompts, which are of one length; a
        task whose prompts are not has none.
        """

    @property
    def paraphrased(self) -> Sequence["Task"]:
        """The same task asked in other words."""

    def facts(self) -> Mapping[str, str]:
        """What a report says of the task: a value for each name."""

    def identity(self) -> Mapping[str, Any]:
        """What the questions follow from, as plain JSON: two tasks with equal identities ask the same."""
