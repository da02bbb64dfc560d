"""A successor task as one tokenizer writes it."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from vitro.tasks.cloze import Cloze, Partners
from vitro.tasks.cuts import check_whole, continuation_cuts, cut, subject_indices
from vitro.tasks.errors import TaskError
from vitro.tasks.questions import Questions
from vitro.tasks.tokenizer import Encoding, Tokenizer, encode, readable


def tokenize(task: Cloze, tokenizer: Tokenizer, n_ctx: int | None) -> Questions:
    """The task in a tokenizer's tokens, checked to be comparable position by position.

    The subject must be one token in every prompt, and each word one token after the prompt, in the context
    where it is read. One difference is absorbed and recorded: a first token that all words share (SmolLM2
    cuts " 5" into a space and "5") belongs to the template before the subject, and ends the prompt before the
    answers.

    `n_ctx` is the longest prompt that the model takes (None: any). Raises `TaskError` for words of several
    tokens, words that the tokenizer does not know or cannot tell apart, prompts that differ beside the
    subject or are longer than `n_ctx`, and a tokenizer without offsets.
    """
    prompts = dict(zip(task.subjects, encode(tokenizer, task.prompts), strict=True))
    places = {word: subject_indices(task, word, prompt) for word, prompt in prompts.items()}
    subjects = cut({word: tuple(prompts[word].ids[i] for i in where) for word, where in places.items()})
    continuations = continuation_cuts(task, tokenizer, prompts)
    check_whole(task, tokenizer, subjects, continuations)

    subject = _subject_index(task, tokenizer, prompts, [where[-1] for where in places.values()])
    _check_distinct(task, tokenizer, {word: ids[-1] for word, ids in subjects.tokens.items()})
    after = {word: ids[-1] for word, ids in continuations.tokens.items()}
    _check_distinct(task, tokenizer, after)

    absorbed = []
    if subjects.lead is not None:
        lead = f"{readable(tokenizer, subjects.lead)!r} ({subjects.lead})"
        absorbed.append(f"every subject begins with the token {lead}, counted as the template's")
    if continuations.lead is not None:
        lead = f"{readable(tokenizer, continuations.lead)!r} ({continuations.lead})"
        absorbed.append(f"every answer begins with the token {lead}, which ends the prompt")

    bos = () if tokenizer.bos_token_id is None else (tokenizer.bos_token_id,)
    end = () if continuations.lead is None else (continuations.lead,)
    tokens = tuple(bos + prompt.ids + end for prompt in prompts.values())
    length = len(tokens[0])
    if n_ctx is not None and length > n_ctx:
        raise TaskError(
            f"task {task.name!r}: its prompts are {length} tokens and the model takes {n_ctx}; shorten the template"
        )
    at = len(bos) + subject
    rows = _with_partners(len(tokens), task.partners, task.seed)
    asked, others = ([pair[i] for pair in rows] for i in (0, 1)) if rows else (list(range(len(tokens))), [])
    return Questions(
        tokens=tuple(tokens[row] for row in asked),
        labels=tuple(task.subjects[row] for row in asked),
        right=tuple((after[task.answers[row]],) for row in asked),
        wrong=tuple((after[task.subjects[row]],) for row in asked),
        answers=tuple(task.answers[row] for row in asked),
        others=tuple(task.subjects[row] for row in asked),
        marks={"subject": (at,) * len(asked)},
        among=tuple(after[word] for word in task.answer_list),
        among_words=task.answer_list,
        partner=tuple(tokens[row] for row in others) if others else None,
        content=tuple(len(bos) + i for i in _content_indices(task, prompts[task.subjects[0]]) if i != subject),
        notes=tuple(absorbed),
    )


def _with_partners(n: int, partners: Partners, seed: int) -> list[tuple[int, int]]:
    """Prompts by number, each with another one: all pairs, or each once, by a cycle that the seed draws.

    Empty where a prompt has no other.
    """
    if partners == "all" or n == 1:
        return list(permutations(range(n), 2))
    order = np.random.default_rng(seed).permutation(n).tolist()
    return sorted(zip(order, order[1:] + order[:1], strict=True))


def _subject_index(task: Cloze, tokenizer: Tokenizer, prompts: dict[str, Encoding], places: Sequence[int]) -> int:
    """The one place of the subject among the prompts' tokens, once all else is known to be the same."""
    (first, reference), *others = prompts.items()
    for (word, prompt), place in zip(others, places[1:], strict=True):
        pair = f"{task.fill(first)!r} and {task.fill(word)!r}"
        if len(prompt.ids) != len(reference.ids):
            raise TaskError(
                f"task {task.name!r}: {pair} are {len(reference.ids)} and {len(prompt.ids)} tokens; "
                "every prompt must have the same length"
            )
        pieces = list(zip(reference.ids, prompt.ids, strict=True))
        beside = [i for i, (ours, theirs) in enumerate(pieces) if ours != theirs and i != place]
        if beside or place != places[0]:
            found = " and ".join(repr(readable(tokenizer, token)) for token in pieces[[*beside, place][0]])
            raise TaskError(
                f"task {task.name!r}: {pair} differ beside the subject, in {found}; set the slot apart by spaces"
            )
    return places[0]


def _check_distinct(task: Cloze, tokenizer: Tokenizer, ids: dict[str, int]) -> None:
    seen: dict[int, str] = {}
    for word, token in ids.items():
        if token == tokenizer.unk_token_id:
            raise TaskError(
                f"task {task.name!r}: this tokenizer does not know {word!r}; try other words or another model"
            )
        if token in seen:
            raise TaskError(
                f"task {task.name!r}: {seen[token]!r} and {word!r} are the same token here, "
                f"{readable(tokenizer, token)!r} ({token}); keep one of them"
            )
        seen[token] = word


def _content_indices(task: Cloze, prompt: Encoding) -> list[int]:
    spans = task.content_spans(task.subjects[0])
    return [
        i for i, (start, end) in enumerate(prompt.spans) if any(start < last and end > first for first, last in spans)
    ]
