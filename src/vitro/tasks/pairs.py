"""A pair task: rows of a prompt, its counterfactual, and the answers that count as right and as wrong."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from vitro.options import TaskOptions
from vitro.tasks.pair_questions import pair_questions
from vitro.tasks.pair_rows import PairRows
from vitro.tasks.questions import Questions
from vitro.tasks.sentences import of_partners
from vitro.tasks.task import Dataset, Task, told
from vitro.tasks.tokenizer import Tokenizer

MOST_ROWS = 10_000
"""The most rows of a task that is made or read by its name: each row is measured many times."""


class OfRows:
    """What tasks of rows have in common, whether their rows are given or made."""

    metric = "logit_diff"
    ablations = ("zero", "mean", "counterfactual")
    # A sweep over hundreds of heads on a hundred prompts without common beginnings takes a laptop an hour.
    sweep_prompts = 32

    def sentences(
        self, questions: Questions, tokenizer: Tokenizer, samples: int, seed: int, n_tokens: int | None = None
    ) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """For a mean, the counterfactual prompts, or the prompts where there are none (see `of_partners`)."""
        return of_partners(questions)

    @property
    def paraphrased(self) -> Sequence[Task]:
        """None: rows are asked in their own words."""
        return ()


@dataclass(frozen=True)
class Pairs(OfRows, PairRows):
    """A task of rows, measured by the difference of right and wrong.

    - `name`: letters, digits, `-` and `_`; a study's folder may be named after it.
    - `typed`: its name on the command line; left out, that of a file with its name.
    - `answer_tokens`, `bad_rows`: see `AnswerTokens` and `BadRows`.
    - `counterfactual`: which of a file's counterfactuals was asked for.
    - `left_out`: why rows were left out when they were read, a line each.
    - `columns`: what a file calls the parts of a `Pair`, for errors: `{"right": "correct_idx"}`.
    - `counted`: how many tokens a prompt has where marks given as tokens were counted; None: not known. Where a
      tokenizer gives another number, those marks are left out, with a note.
    - `right_called`, `wrong_called`: what the answers are to this task.

    >>> row = vitro.tasks.Pair("If today is Monday, tomorrow is", (" Tuesday",), (" Monday",))
    >>> Pairs("tomorrow", (row,)).questions(model.tokenizer, None).labels
    ('1: Tuesday',)

    Raises `TaskError` where a part is wrong, or there is no row.
    """

    def __repr__(self) -> str:
        return told(self)

    @property
    def named_with(self) -> TaskOptions:
        """How answers and bad rows are treated, and which counterfactual was asked for."""
        return TaskOptions(self.answer_tokens, self.bad_rows, self.counterfactual)

    def questions(self, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
        """The rows in a tokenizer's tokens (see `pair_questions`)."""
        return pair_questions(self, tokenizer, n_ctx)

    def facts(self) -> Mapping[str, str]:
        """How many rows there are, and the first of them."""
        row = self.rows[0]
        facts = {"Rows": f"{len(self.rows):,}", "First prompt": row.clean}
        return facts if row.corrupt is None else {**facts, "Its counterfactual": row.corrupt}

    def identity(self) -> Mapping[str, Any]:
        """A hash of the rows, and how answers and bad rows are treated."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(repr(row).encode() + b"\n")
        return {
            "name": self.name,
            "rows": digest.hexdigest(),
            "answer_tokens": self.answer_tokens,
            "bad_rows": self.bad_rows,
            "counted": self.counted,
        }
