"""Checks of a task's name, template and words; each error is a single line."""

import re
from collections.abc import Sequence

from vitro.tasks.errors import TaskError

LONGEST_TEMPLATE = 10_000
"""Characters of a template: each of its words is looked for in all of it."""
MOST_TEXT = 2_000_000
"""Characters of all prompts of a template: each is cut into tokens several times, and a token takes a hundred bytes."""
MOST_WORDS, LONGEST_WORD = 10_001, 1000
"""As many as numbers:10000 has."""


def check_name(name: object) -> None:
    """Raises `TaskError` unless `name` can name a folder everywhere."""
    if not isinstance(name, str):
        raise TaskError(f"a task's name must be a text, and this one is {name!r}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise TaskError(f"task name {name!r} will not do for a folder; use letters, digits, - and _, such as 'my-task'")


def check_template(name: str, template: object) -> None:
    """Raises `TaskError` unless `template` has one `{slot}` and does not end in white space."""
    where = f"task {name!r}: the template"
    if not isinstance(template, str):
        raise TaskError(f"{where} must be a text, and it is {template!r}")
    if len(template) > LONGEST_TEMPLATE:
        raise TaskError(f"{where} has {len(template):,} characters; {LONGEST_TEMPLATE:,} are the most")
    slots = re.findall(r"\{([^{}]*)\}", template)
    rest = re.sub(r"\{[^{}]*\}", "", template)
    example = "such as 'If today is {day}, tomorrow is'"
    if "{" in rest or "}" in rest:
        raise TaskError(f"{where} {template!r} has a brace without its partner; write one {{slot}}, {example}")
    if not slots:
        raise TaskError(f"{where} {template!r} has no slot; write one {{slot}} for the subject, {example}")
    if len(slots) > 1:
        listed = " and ".join(f"{{{slot}}}" for slot in slots)
        raise TaskError(f"{where} {template!r} has {len(slots)} slots, {listed}; keep one, {example}")
    if not slots[0].isidentifier():
        raise TaskError(
            f"{where} {template!r} has {{{slots[0]}}} for a slot; a name goes between the braces, {example}"
        )
    if template != template.rstrip():
        raise TaskError(
            f"{where} {template!r} ends in white space; end it at its last word, since the answer brings its own space"
        )


def check_count(name: str, n: object, most: int) -> None:
    """Raises `TaskError` unless `n` is None or a whole number from 1 to `most`."""
    # bool is an int to Python, but `n = true` is a slip
    if n is not None and (not isinstance(n, int) or isinstance(n, bool)):
        raise TaskError(f"task {name!r}: n is {n!r}; it must be a whole number")
    if n is not None and not 1 <= n <= most:
        raise TaskError(f"task {name!r}: n is {n}; its words give 1 to {most} prompts")


def checked_words(name: str, key: str, words: object) -> tuple[str, ...]:
    """The words as a tuple. Raises `TaskError` unless they are texts without outer space and without repetition."""
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise TaskError(f"task {name!r}: {key} must be a list of texts, and it is {words!r}")
    seen: set[str] = set()
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TaskError(f'task {name!r}: {key} holds {word!r}, which is not a text; write it in quotes, "{word}"')
        if not word.strip():
            raise TaskError(f"task {name!r}: {key} holds an empty word at place {i + 1}; leave it out")
        if word != word.strip():
            raise TaskError(
                f"task {name!r}: {key} holds {word!r}; write it without the space around it, {word.strip()!r}"
            )
        if word in seen:
            raise TaskError(f"task {name!r}: {key} holds {word!r} twice; name each word once")
        seen.add(word)
    return tuple(words)


def check_size(name: str, template: str, words: Sequence[str]) -> None:
    """Raises `TaskError` where words are too many, or the prompts made of them too long."""
    if len(words) > MOST_WORDS:
        raise TaskError(f"task {name!r}: words has {len(words):,}; {MOST_WORDS:,} are the most")
    if len(longest := max(words, key=len)) > LONGEST_WORD:
        raise TaskError(f"task {name!r}: {longest!r} has {len(longest):,} characters; {LONGEST_WORD:,} are the most")
    characters = len(template) * len(words) + sum(map(len, words))
    if characters > MOST_TEXT:
        raise TaskError(
            f"task {name!r}: its prompts come to {characters:,} characters ({len(words):,} words in a template of "
            f"{len(template):,}); {MOST_TEXT:,} are the most"
        )
