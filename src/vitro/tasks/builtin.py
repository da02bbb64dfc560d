"""The three tasks of "Mechanistically interpreting time in GPT-2 small"."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vitro.tasks.errors import TaskError
from vitro.tasks.successors import Successors

# No tokenizer has single tokens for so many numbers; a larger n is a slip, and would fill the memory.
LARGEST_N = 10_000


def days() -> Successors:
    """The day after: seven prompts, `If today is Monday, tomorrow is`.

    >>> days().answers[0]
    'Tuesday'
    """
    return Successors(
        name="days",
        template="If today is {day}, tomorrow is",
        words=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        cyclic=True,
        content=("today", "tomorrow"),
        paraphrases=(
            "If today is {day}, the next day is",
            "If it is {day} today, tomorrow will be",
            "Today is {day}. Tomorrow is",
            "Yesterday was {day}, so today is",
            "The day after {day} is",
            "The day that comes after {day} is",
            "After {day} comes",
            "The day right after {day} is",
        ),
        typed="days",
    )


def months() -> Successors:
    """The month after: twelve prompts, `If this month is January, next month is`.

    >>> months().answers[0]
    'February'
    """
    return Successors(
        name="months",
        template="If this month is {month}, next month is",
        words=(
            "January", "February", "March", "April", "May", "June",
            "July", "August", "September", "October", "November", "December",
        ),
        cyclic=True,
        content=("this", "month", "next"),
        paraphrases=(
            "If it is {month} now, next month is",
            "This month is {month}. Next month is",
            "It is {month}, so the next month is",
            "Last month was {month}, so this month is",
            "The month after {month} is",
            "The month that comes after {month} is",
            "After {month} comes",
            "The month right after {month} is",
        ),
        typed="months",
    )  # fmt: skip


def numbers(n: int = 10) -> Successors:
    """The number after: n prompts, `If 1 then` to `If n then`, answered by 2 to n + 1.

    The post's own template is lost; this template fits what a replication says of it. The name includes n
    (`numbers-10`), so that two sizes are two tasks.

    >>> numbers(3).prompts
    ('If 1 then', 'If 2 then', 'If 3 then')

    Raises `TaskError` unless 1 <= n <= 10,000.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= LARGEST_N:
        raise TaskError(f"task 'numbers': n is {n!r}; it must be a whole number from 1 to {LARGEST_N}")
    return Successors(
        name=f"numbers-{n}",
        template="If {n} then",
        words=tuple(str(number) for number in range(1, n + 2)),
        content=("then",),
        paraphrases=(
            "If {n} now then next",
            "If it is {n} then next is",
            "After {n} comes",
            "The number after {n} is",
            "The number that comes after {n} is",
            "First {n} and then",
            "Count to {n} and then",
            "We had {n} and now we have",
        ),
        typed=f"numbers:{n}",
    )


BUILTIN: Mapping[str, Callable[[], Successors]] = MappingProxyType({"days": days, "months": months, "numbers": numbers})
