"""How a tokenizer cuts a task's words, and whether each is a single token, after at most one that all share."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from vitro.tasks.cloze import Cloze
from vitro.tasks.errors import TaskError
from vitro.tasks.tokenizer import Encoding, Tokenizer, encode, readable

_MOST_LISTED = 12


@dataclass(frozen=True)
class Cuts:
    """The tokens of each word in the same context, where `whole` words are a single token after `lead`.

    `lead` is the token that every whole word begins with, such as the space of " 5" where digits are tokens of their
    own; None where words include their space.
    """

    tokens: Mapping[str, tuple[int, ...]]
    lead: int | None
    whole: frozenset[str]


def cut(tokens: Mapping[str, tuple[int, ...]]) -> Cuts:
    """The lead and the whole words, read off the words' tokens."""
    single = frozenset(word for word, ids in tokens.items() if len(ids) == 1)
    leads = Counter(ids[0] for ids in tokens.values() if len(ids) == 2)
    # a first token that only a single word of several has is a part of that word
    shared = [token for token, count in leads.most_common(1) if count > 1 or len(tokens) == 1]
    if single or not shared:
        return Cuts(tokens, None, single)
    (lead,) = shared
    whole = frozenset(word for word, ids in tokens.items() if len(ids) == 2 and ids[0] == lead)
    return Cuts(tokens, lead, whole)


def subject_indices(task: Cloze, word: str, prompt: Encoding) -> tuple[int, ...]:
    """The indices of the prompt's tokens that overlap the subject, or are only the space before it.

    That space is the template's text, but most tokenizers join it to the word. Otherwise it is the lead.
    """
    start, end = task.subject_span(word)
    text = task.fill(word)
    inside = [i for i, (first, last) in enumerate(prompt.spans) if first < end and last > start]
    previous = inside[0] - 1 if inside else -1
    if previous >= 0:
        first, last = prompt.spans[previous]
        # a tokenizer that trims its offsets gives a lone space an empty span
        if last == start and text[first:last] in (" ", ""):
            inside.insert(0, previous)
    return tuple(inside)


def continuation_cuts(task: Cloze, tokenizer: Tokenizer, prompts: Mapping[str, Encoding]) -> Cuts:
    """The words as they continue a prompt: subject and answer their own prompt, every answer the first prompt.

    `prompts` are the encoded prompts by subject. Raises `TaskError` if a word changes the tokens before it,
    or is cut differently in two prompts.
    """
    pairs = [
        (subject, word)
        for subject, answer in zip(task.subjects, task.answers, strict=True)
        for word in (subject, answer)
    ]
    pairs += [(task.subjects[0], word) for word in task.answer_list]
    texts = [f"{task.fill(subject)} {word}" for subject, word in pairs]
    tokens: dict[str, tuple[int, ...]] = {}
    for (subject, word), encoding in zip(pairs, encode(tokenizer, texts), strict=True):
        prompt = prompts[subject].ids
        if encoding.ids[: len(prompt)] != prompt:
            raise TaskError(
                f"task {task.name!r}: {word!r} changes the tokens of {task.fill(subject)!r} before it; "
                "end the template at a whole word"
            )
        ids = encoding.ids[len(prompt) :]
        if tokens.setdefault(word, ids) != ids:
            raise TaskError(
                f"task {task.name!r}: {word!r} is {_quoted(tokenizer, tokens[word])} after one prompt and "
                f"{_quoted(tokenizer, ids)} after {task.fill(subject)!r}; end the template at a whole word"
            )
    return cut(tokens)


def check_whole(task: Cloze, tokenizer: Tokenizer, subjects: Cuts, continuations: Cuts) -> None:
    """Raises `TaskError` for the first word that is not whole, and says which words or numbers fit."""
    fit = {
        word
        for word in continuations.tokens
        if word in continuations.whole and (word not in subjects.tokens or word in subjects.whole)
    }
    for word in continuations.tokens:
        if word in fit:
            continue
        cuts = continuations if word not in continuations.whole else subjects
        ids = cuts.tokens[word]
        raise TaskError(
            f"task {task.name!r}: {word!r} is {len(ids)} tokens here ({_quoted(tokenizer, ids)}) "
            f"and must be one; {_what_works(task, fit)}"
        )


def _what_works(task: Cloze, fit: set[str]) -> str:
    begin = next(i for i, word in enumerate(task.words) if word not in fit)
    if re.fullmatch(r"numbers-\d+", task.name) and begin >= 2:
        return f"numbers:{begin - 1} fits; for more, use a model with a token for each number (gpt2 to 361)"
    words = [repr(word) for word in task.words if word in fit]
    beside = "rows of your own with --first-token (see vitro tasks), or another model"
    if not words:
        return f"none of its words fits; what works: other words, {beside}"
    more = f" and {len(words) - _MOST_LISTED} more" if len(words) > _MOST_LISTED else ""
    # Of a cycle every word is in use, however few are asked about.
    first = f"; n = {begin - 1} keeps to the first of them" if begin >= 2 and not task.cyclic else ""
    return f"these fit: {', '.join(words[:_MOST_LISTED])}{more}{first}; what also works: {beside}"


def _quoted(tokenizer: Tokenizer, ids: tuple[int, ...]) -> str:
    return ", ".join(repr(readable(tokenizer, token)) for token in ids)
