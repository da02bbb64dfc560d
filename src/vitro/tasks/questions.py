"""Questions: what is asked of a model, in a tokenizer's tokens. Every measurement reads these and nothing else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from vitro.tasks.errors import TaskError

FINAL = "final"
"""The mark of every prompt's last position, where the answer is read."""
# As a circuit's pin can name it; the words left out are other things beside marks, in circuits and on axes.
_MARK = re.compile(r"(?!(all|clean|elsewhere)$)[A-Za-z_][\w+.-]*")


# Comparing long lists of numbers is of no use.
@dataclass(frozen=True, eq=False)
class Questions:
    """A task's prompts and what counts as right, prompt by prompt (docs/method.md, section 2.1).

    - `tokens`: each prompt's ids, BOS first where the model has one; lengths may differ.
    - `labels`: what a person calls the prompt ("Monday", "Mary and John"): short, for axes and tables.
    - `right`, `wrong`: the tokens that count as right and those that they are compared with; one or many each, and
      `wrong` may have none.
    - `answers`, `others`: the same in words, for tables and figures ("Tuesday"; "33 to 99").
    - `marks`: named positions, each in every prompt: `subject`, `IO`, `S1`, `year`. `final` is always there.
    - `among`, `among_words`: the closed, ordered list of answers, in tokens and in words; empty where there is none.
    - `partner`: the counterfactual of each prompt, exactly as long, so that positions correspond; None: there is none.
    - `groups`: what kind of prompt each is, such as its template; empty where all are of one kind.
    - `content`: positions of the words that carry the task apart from the marks, the same in all prompts.
    - `notes`: sentences on what was absorbed or left out in these tokens.

    >>> questions = task.questions(model.tokenizer, None)
    >>> questions.labels[0], questions.answers[0], questions.marks["subject"][0]
    ('Monday', 'Tuesday', 4)

    Raises `TaskError`, which names the prompt, where these do not fit each other.
    """

    tokens: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    right: tuple[tuple[int, ...], ...]
    wrong: tuple[tuple[int, ...], ...]
    answers: tuple[str, ...]
    others: tuple[str, ...]
    marks: Mapping[str, tuple[int, ...]]
    among: tuple[int, ...] = ()
    among_words: tuple[str, ...] = ()
    partner: tuple[tuple[int, ...], ...] | None = None
    groups: tuple[str, ...] = ()
    content: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.tokens)
        if not n:
            raise TaskError("there are no prompts")
        columns: Mapping[str, Sequence[object]] = {
            "labels": self.labels,
            "right": self.right,
            "wrong": self.wrong,
            "answers": self.answers,
            "others": self.others,
            **{f"mark {name!r}": positions for name, positions in self.marks.items()},
            **({"partner": self.partner} if self.partner is not None else {}),
            **({"groups": self.groups} if self.groups else {}),
        }
        for name, column in columns.items():
            if len(column) != n:
                raise TaskError(f"there are {n} prompts, and {name} is of {len(column)}")
        for row, (prompt, right, wrong) in enumerate(zip(self.tokens, self.right, self.wrong, strict=True)):
            where = f"prompt {row} ({self.labels[row]})"
            if not prompt:
                raise TaskError(f"{where} is empty")
            if not right:
                raise TaskError(f"{where} has no right answer")
            if common := set(right) & set(wrong):
                raise TaskError(f"{where}: token {min(common)} is right and wrong at once")
            if self.partner is not None and len(self.partner[row]) != len(prompt):
                raise TaskError(
                    f"{where} is {len(prompt)} tokens and its counterfactual {len(self.partner[row])}; "
                    "they must be of one length, so that positions correspond"
                )
            for name, positions in self.marks.items():
                if not 0 <= positions[row] < len(prompt):
                    raise TaskError(
                        f"{where}: mark {name!r} is position {positions[row]}, of a prompt of {len(prompt)} tokens"
                    )
        if unfit := [name for name in self.marks if not _MARK.fullmatch(name)]:
            raise TaskError(
                f"the mark {unfit[0]!r} is no name that will do; what works: a word such as IO or S1+1, and not "
                "all, clean or elsewhere"
            )
        ends = tuple(len(prompt) - 1 for prompt in self.tokens)
        if self.marks.get(FINAL, ends) != ends:
            raise TaskError(f"the mark {FINAL!r} is the last position of each prompt and can be no other")
        object.__setattr__(self, "marks", {**self.marks, FINAL: ends})

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens each prompt has."""
        return tuple(map(len, self.tokens))

    @property
    def one_length(self) -> bool:
        """Whether all prompts are equally long, so that a mean can be taken position by position."""
        return len(set(self.lengths)) == 1

    @property
    def marked(self) -> Mapping[tuple[int, ...], str]:
        """Each place that is marked, a position of each prompt, by the first of the marks that stand there."""
        names: dict[tuple[int, ...], str] = {}
        for name, at in self.marks.items():
            names.setdefault(at, name)
        return names

    def take(self, rows: Sequence[int]) -> "Questions":
        """The questions of some of the prompts, by their numbers."""
        return replace(
            self,
            tokens=_of(self.tokens, rows),
            labels=_of(self.labels, rows),
            right=_of(self.right, rows),
            wrong=_of(self.wrong, rows),
            answers=_of(self.answers, rows),
            others=_of(self.others, rows),
            marks={name: _of(positions, rows) for name, positions in self.marks.items()},
            partner=None if self.partner is None else _of(self.partner, rows),
            groups=_of(self.groups, rows) if self.groups else (),
        )

    def spread(self, n: int) -> tuple[int, ...]:
        """The numbers of n prompts (or of all), as evenly as possible of all kinds: the first of each kind, in turn."""
        of_kind: dict[str, list[int]] = {}
        for row in range(len(self)):
            of_kind.setdefault(self.groups[row] if self.groups else "", []).append(row)
        turns = sorted((turn, row) for rows in of_kind.values() for turn, row in enumerate(rows))
        return tuple(sorted(row for _, row in turns[:n]))

    def token_ids(self) -> frozenset[int]:
        """Every token of the questions: right, wrong, and of the list."""
        return frozenset(chain(self.among, *self.right, *self.wrong))


T = TypeVar("T")


def _of(values: Sequence[T], rows: Sequence[int]) -> tuple[T, ...]:
    return tuple(values[row] for row in rows)
