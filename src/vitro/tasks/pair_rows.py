"""The rows of a pair task, and its options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from vitro.options import AnswerTokens, BadRows
from vitro.tasks.checks import check_name
from vitro.tasks.errors import TaskError
from vitro.tasks.pair import Pair


@dataclass(frozen=True)
class PairRows:
    """The fields of `Pairs`, checked without a tokenizer."""

    name: str
    rows: tuple[Pair, ...]
    typed: str = field(default="", compare=False)
    answer_tokens: AnswerTokens = "whole"
    bad_rows: BadRows = "refuse"
    counterfactual: str | None = field(default=None, compare=False)
    left_out: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    counted: int | None = None
    right_called: str = "right answer"
    wrong_called: str = "wrong answer"

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "typed", self.typed or f"{self.name}.jsonl")
        for name, choices in (("answer_tokens", get_args(AnswerTokens)), ("bad_rows", get_args(BadRows))):
            if getattr(self, name) not in choices:
                listed = " or ".join(choices)
                raise TaskError(f"task {self.name!r}: {name} is {getattr(self, name)!r}; it must be {listed}")
        if unfit := [row for row in self.rows or () if not isinstance(row, Pair)]:
            raise TaskError(f"task {self.name!r}: a row is {unfit[0]!r}; it must be a Pair")
        if not self.rows:
            raise TaskError(f"task {self.name!r} has no rows{_why(self.left_out)}")


def _why(left_out: Sequence[str]) -> str:
    return f": {len(left_out)} do not fit, the first because {left_out[0]}" if left_out else ""
