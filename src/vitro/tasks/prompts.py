"""A task's prompts as one tokenizer writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from vitro.tasks.cuts import check_whole, continuation_cuts, cut, subject_indices
from vitro.tasks.errors import TaskError
from vitro.tasks.task import Task
from vitro.tasks.tokenizer import Encoding, Tokenizer, encode, readable

Role = Literal["bos", "template", "content", "subject", "final"]


# Arrays have no single truth of equality, so neither have prompts.
@dataclass(frozen=True, eq=False)
class Prompts:
    """A task's tokens: prompts of one length that differ in one position, the subject's.

    - `tokens`: the prompts, with BOS at position 0 if the tokenizer has one.
    - `roles`: what stands at each position. The last is `final`, whatever else it may be.
    - `subject_position`: where the prompts differ.
    - `content_positions`: the positions of the content words, `final` included if it is one.
    - `subject_ids`, `answer_ids`: the subject and the correct answer as continuations of the prompt, with the
      leading space: what is read off the model's output. In the prompt the subject may be another token.
    - `answer_list_ids`: the same for the task's `answer_list`.
    - `absorbed`: a note on each token that the words brought and the template keeps (see `tokenize`).

    The arrays are read-only.
    """

    tokens: Int[np.ndarray, "prompt position"]
    roles: tuple[Role, ...]
    subject_position: int
    content_positions: tuple[int, ...]
    subject_ids: Int[np.ndarray, " prompt"]
    answer_ids: Int[np.ndarray, " prompt"]
    answer_list_ids: Int[np.ndarray, " answer"]
    absorbed: tuple[str, ...]

    @property
    def has_bos(self) -> bool:
        """Whether position 0 is the tokenizer's beginning-of-sequence token."""
        return self.roles[0] == "bos"


def tokenize(task: Task, tokenizer: Tokenizer, n_ctx: int | None) -> Prompts:
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
    tokens = _frozen([bos + prompt.ids + end for prompt in prompts.values()])
    length = tokens.shape[1]
    if n_ctx is not None and length > n_ctx:
        raise TaskError(
            f"task {task.name!r}: its prompts are {length} tokens and the model takes {n_ctx}; shorten the template"
        )
    content = tuple(len(bos) + i for i in _content_indices(task, prompts[task.subjects[0]]) if i != subject)
    roles: list[Role] = ["template"] * length
    for position in content:
        roles[position] = "content"
    roles[len(bos) + subject] = "subject"
    roles[-1] = "final"
    if bos:
        roles[0] = "bos"
    return Prompts(
        tokens=tokens,
        roles=tuple(roles),
        subject_position=len(bos) + subject,
        content_positions=content,
        subject_ids=_frozen([after[word] for word in task.subjects]),
        answer_ids=_frozen([after[word] for word in task.answers]),
        answer_list_ids=_frozen([after[word] for word in task.answer_list]),
        absorbed=tuple(absorbed),
    )


def _subject_index(task: Task, tokenizer: Tokenizer, prompts: dict[str, Encoding], places: Sequence[int]) -> int:
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


def _check_distinct(task: Task, tokenizer: Tokenizer, ids: dict[str, int]) -> None:
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


def _content_indices(task: Task, prompt: Encoding) -> list[int]:
    spans = task.content_spans(task.subjects[0])
    return [
        i for i, (start, end) in enumerate(prompt.spans) if any(start < last and end > first for first, last in spans)
    ]


def _frozen(ids: Sequence[int] | Sequence[Sequence[int]]) -> Int[np.ndarray, "..."]:
    array = np.array(ids, dtype=np.int64)
    array.setflags(write=False)
    return array
