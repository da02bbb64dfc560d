"""A row of a pair task, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vitro.tasks.errors import TaskError

Place = int | tuple[int, int]
"""Where a mark is: a token of the prompt, BOS not counted; or its characters: the first, and the end after the last."""


class Token(NamedTuple):
    """A token by its id, and the text that it is the first token of.

    >>> Token(5335, " Mary").text
    ' Mary'
    """

    id: int
    text: str


class Listed(NamedTuple):
    """An answer out of a list that is the same for every tokenizer: left out where it is not a single token.

    >>> Listed(" are").text
    ' are'
    """

    text: str


Answer = str | int | Token | Listed
"""A text that continues the prompt, its leading space included (" Mary"); or a token."""


@dataclass(frozen=True)
class Pair:
    """A row: a prompt, its counterfactual, and the answers that count as right and as wrong.

    >>> Pair("When Mary and John met, John spoke to", (" Mary",), (" John",)).right
    (' Mary',)

    - `clean`, `corrupt`: the prompt, and its counterfactual, which must have as many tokens.
    - `right`, `wrong`: the answers, at least one of each (see `Answer`).
    - `label`: what a person calls the row; left out, its number and first right answer.
    - `group`: what kind of prompt it is, such as its template.
    - `marks`: named places of the clean prompt (see `Place`): `{"IO": (5, 9)}`.
    - `shown`: the right and the wrong answers in words, where there are too many to list: `("33 to 99", "00 to 32")`.
    - `number`: the number of the row in its file, from 1; left out, its number in the task.
    """

    clean: str
    right: tuple[Answer, ...]
    wrong: tuple[Answer, ...]
    corrupt: str | None = None
    label: str = ""
    group: str = ""
    marks: Mapping[str, Place] = field(default_factory=dict)
    shown: tuple[str, str] = ("", "")
    number: int = 0

    def __post_init__(self) -> None:
        for name in ("clean", "corrupt"):
            text = getattr(self, name)
            if not isinstance(text, str) and (name == "clean" or text is not None):
                raise TaskError(f"{name} is {text!r}; it must be a text")
        if not isinstance(self.marks, Mapping):
            raise TaskError(f'marks is {self.marks!r}; it must be names with places, such as {{"IO": (5, 9)}}')
        for name, place in self.marks.items():
            span = isinstance(place, Sequence) and not isinstance(place, str) and len(place) == 2
            if not span and not isinstance(place, int):
                raise TaskError(f"mark {name!r} is {place!r}; it must be a token's number, or characters as (5, 9)")
        for name in ("right", "wrong"):
            answers = getattr(self, name)
            if isinstance(answers, str | int) or not isinstance(answers, Sequence):
                raise TaskError(f"{name} is {answers!r}; it must be a list of answers, such as [{answers!r}]")
            object.__setattr__(self, name, tuple(answers))
            if unfit := [answer for answer in answers if isinstance(answer, bool) or not isinstance(answer, Answer)]:
                raise TaskError(f"{name} has the answer {unfit[0]!r}; it must be a text or a token's id")
