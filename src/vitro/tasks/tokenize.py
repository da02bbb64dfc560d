"""A successor task in a tokenizer's tokens."""

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

    The subject must be a single token in every prompt, and each word a single token after the prompt, in the context
    where it is read. A first token that all words share (SmolLM2 cuts " 5" into a space and "5") is absorbed and noted:
    it belongs to the template before the subject, and ends the prompt before the answers.

    >>> tokenize(task, model.tokenizer, None).labels[:2]
    ('Monday', 'Tuesday')

    `n_ctx` is the longest prompt that the model takes (None: any). Raises `TaskError` for words of several
    tokens, words that the tokenizer does not know or cannot tell apart, prompts that differ outside the
    subject or are longer than `n_ctx`, and a tokenizer without offsets.
    """
    prompts = dict(zip(task.subjects, encode(tokenizer, task.prompts), strict=True))
    places = {word: subject_indices(task, word, prompt) for word, prompt in prompts.items()}
    subjects = cut({word: tuple(prompts[word].ids[i] for i in indices) for word, indices in places.items()})
    continuations = continuation_cuts(task, tokenizer, prompts)
    check_whole(task, tokenizer, subjects, continuations)

    subject = _subject_index(task, tokenizer, prompts, [indices[-1] for indices in places.values()])
    _check_distinct(task, tokenizer, {word: ids[-1] for word, ids in subjects.tokens.items()})
    token_of = {word: ids[-1] for word, ids in continuations.tokens.items()}
    _check_distinct(task, tokenizer, token_of)

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
    position = len(bos) + subject
    rows = _with_partners(len(tokens), task.partners, task.seed)
    numbers, partner_numbers = ([pair[i] for pair in rows] for i in (0, 1)) if rows else (list(range(len(tokens))), [])
    return Questions(
        tokens=tuple(tokens[row] for row in numbers),
        labels=tuple(task.subjects[row] for row in numbers),
        right=tuple((token_of[task.answers[row]],) for row in numbers),
        wrong=tuple((token_of[task.subjects[row]],) for row in numbers),
        answers=tuple(task.answers[row] for row in numbers),
        others=tuple(task.subjects[row] for row in numbers),
        marks={"subject": (position,) * len(numbers)},
        among=tuple(token_of[word] for word in task.answer_list),
        among_words=task.answer_list,
        partner=tuple(tokens[row] for row in partner_numbers) if partner_numbers else None,
        content=tuple(len(bos) + i for i in _content_indices(task, prompts[task.subjects[0]]) if i != subject),
        notes=tuple(absorbed),
    )


def _with_partners(n: int, partners: Partners, seed: int) -> list[tuple[int, int]]:
    """Pairs of prompts, by number: all pairs, or each prompt with the next in a cycle that the seed draws.

    Empty where a prompt has no other.
    """
    if partners == "all" or n == 1:
        return list(permutations(range(n), 2))
    order = np.random.default_rng(seed).permutation(n).tolist()
    return sorted(zip(order, order[1:] + order[:1], strict=True))


def _subject_index(task: Cloze, tokenizer: Tokenizer, prompts: dict[str, Encoding], places: Sequence[int]) -> int:
    """The index of the subject in all prompts' tokens; TaskError where the prompts differ elsewhere too."""
    (first, reference), *others = prompts.items()
    for (word, prompt), place in zip(others, places[1:], strict=True):
        pair = f"{task.fill(first)!r} and {task.fill(word)!r}"
        if len(prompt.ids) != len(reference.ids):
            raise TaskError(
                f"task {task.name!r}: {pair} are {len(reference.ids)} and {len(prompt.ids)} tokens; "
                "every prompt must have the same length"
            )
        pieces = list(zip(reference.ids, prompt.ids, strict=True))
        outside = [i for i, (token, other) in enumerate(pieces) if token != other and i != place]
        if outside or place != places[0]:
            tokens = " and ".join(repr(readable(tokenizer, token)) for token in pieces[[*outside, place][0]])
            raise TaskError(
                f"task {task.name!r}: {pair} differ beside the subject, in {tokens}; set the slot apart by spaces"
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
