"""The one error a user is meant to see: one line that says what was wrong and what would work."""

import re

LONGEST = 1600
"""Characters of an error: a screenful. Of a longer one the middle is left out."""
# Control characters but for tabs and line breaks, which move the cursor no further; separators of lines and what turns
# the direction of writing, which show a name as another; halves of characters, which cannot be written at all.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class VitroError(Exception):
    """A user's mistake or a machine's limit, told in one line; the command line prints it and exits with code 2.

    Every room raises this class (or one of its children) and nothing else for what a user can mend, so `str(error)`
    is always fit to be shown as it is (see `one_line`).

    >>> try:
    ...     vitro.tasks.named("dais")
    ... except vitro.VitroError as error:
    ...     print(error)
    there is no task ...
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NoValueError(VitroError):
    """What is asked has no value for this model and task. A study leaves it out, says so, and goes on with the rest."""


def a_kind(value: object) -> str:
    """What kind of thing a value is, with its article, for an error that says what else would work.

    >>> a_kind(5), a_kind({}), a_kind(None)
    ('an int', 'a dict', 'None')
    """
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_failure(error: BaseException) -> bool:
    """Whether something of a library failed, and nobody asked for an end: a panic in Rust is not even an `Exception`.

    >>> is_failure(KeyboardInterrupt()), is_failure(TypeError())
    (False, True)
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def one_line(message: str) -> str:
    """A message on one line of bearable length that a terminal shows as it stands, whatever was quoted in it.

    >>> one_line("no file 'a\\x1b[31m.csv'"), len(one_line("x" * 10**7)) < 2000
    ("no file 'a\\\\u001b[31m.csv'", True)
    """
    # Cut before it is made longer by what is written out in it, and again after that.
    return _cut(visible(_cut(" ".join(message.split()))))


def visible(text: str) -> str:
    """A text with what a terminal would not show but obey, and what it cannot show, written out: `\\u001b`.

    Tabs and line breaks stay. What is written out can stand in JSON too.

    >>> print(visible("red: \\x1b[31m"))
    red: \\u001b[31m
    """
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
