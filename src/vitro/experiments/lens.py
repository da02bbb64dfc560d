"""The logit lens: any vector of the stream, read as if the model ended there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.engine import read_out
from vitro.experiments.setup import Setup
from vitro.metrics import METRICS, Whole

TOP = 10
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Lens:
    """What the lens reads off vectors, each of which belongs to a prompt. `logit_lens` returns it on the CPU."""

    answer_prob: Float[Tensor, " vector"]
    wrong_prob: Float[Tensor, " vector"]
    answer_rank: Int[Tensor, " vector"]
    """Of the best right token among all tokens, as in the clean run."""
    wrong_rank: Int[Tensor, " vector"]
    """The same of the best wrong token."""
    answer_rank_among_answers: Int[Tensor, " vector"]
    """0: the right answer is above all others of the closed list or, where there is none, above all wrong tokens of the
    prompt. A tie is not above, and NaN is last."""
    subject_rank_among_words: Int[Tensor, " vector"] | None
    """0: the subject is above all other words of the task (its subjects and answers). A tie is not above."""
    subject_last_among_words: Bool[Tensor, " vector"] | None
    """The subject is below all other words of the task. A tie is not below. None where there is no subject."""
    answer_logits: Float[Tensor, "vector answer"]
    top: Int[Tensor, "vector rank"]
    """The most probable tokens."""
    top_prob: Float[Tensor, "vector rank"]

    def answer_columns(self) -> dict[str, np.ndarray]:
        """answer_prob, wrong_prob and answer_rank_among_answers, as the columns of a table."""
        names = ("answer_prob", "wrong_prob", "answer_rank_among_answers")
        return {name: getattr(self, name).numpy() for name in names}

    def rank_columns(self, setup: Setup, prompt: np.ndarray) -> dict[str, pl.Series]:
        """answer_rank and wrong_rank, as columns of a table; null where a prompt has no wrong token."""
        has_wrong = pl.Series([bool(setup.questions.wrong[row]) for row in prompt])
        wrong = pl.Series(self.wrong_rank.numpy())
        none = pl.Series([None], dtype=wrong.dtype)
        return {"answer_rank": pl.Series(self.answer_rank.numpy()), "wrong_rank": wrong.zip_with(has_wrong, none)}

    def subject_columns(self) -> dict[str, pl.Series]:
        """The subject's rank among the task's words, as columns of a table; null where there is no subject."""
        empty = [None] * len(self.answer_prob)
        rank, last = self.subject_rank_among_words, self.subject_last_among_words
        return {
            "subject_rank_among_words": pl.Series(empty if rank is None else rank.numpy(), dtype=pl.Int64),
            "subject_last_among_words": pl.Series(empty if last is None else last.numpy(), dtype=pl.Boolean),
        }

    def top_table(self, setup: Setup, where: Mapping[str, np.ndarray]) -> pl.DataFrame:
        """A row for each vector and rank: where the vector is, rank, token and prob."""
        n_ranks = self.top.shape[1]
        return pl.DataFrame(
            {
                **{name: np.repeat(column, n_ranks) for name, column in where.items()},
                "rank": np.tile(np.arange(n_ranks), len(self.top)),
                "token": setup.token_text(self.top.flatten().tolist()),
                "prob": self.top_prob.flatten().numpy(),
            }
        )


@torch.inference_mode()
def logit_lens(setup: Setup, vectors: Float[Tensor, "vector d_model"], prompt: Int[Tensor, " vector"]) -> Lens:
    """Final norm, unembedding, softmax. prompt: which prompt's answer is read off each vector.

    Source: the post, "Logit lens"; a head's own output is read the same way as the whole stream.
    """
    parts = []
    prompts = prompt.to(setup.model.device)
    for rows, whose in zip(vectors.split(_AT_ONCE), prompts.split(_AT_ONCE), strict=True):
        logits = read_out(setup.model, rows)
        answers = setup.asked[whose].of_logits(Whole(logits))
        probs = logits.softmax(-1)
        top_prob, top = probs.topk(min(TOP, probs.shape[-1]))
        parts.append(
            Lens(
                answer_prob=METRICS["answer_prob"].of(answers),
                wrong_prob=answers.wrong_prob(),
                answer_rank=answers.rank(logits),
                wrong_rank=answers.rank_of_wrong(logits),
                answer_rank_among_answers=answers.rank_listed() if setup.questions.among else answers.rank_wrong(),
                # The subject is ranked among all tokens of the questions: the subjects and the answers.
                subject_rank_among_words=_rank(answers.among, answers.wrong) if setup.varying else None,
                subject_last_among_words=_last(answers.among, answers.wrong) if setup.varying else None,
                answer_logits=answers.listed,
                top=top,
                top_prob=top_prob,
            )
        )
    return Lens(*(_joined([getattr(part, name) for part in parts]) for name in Lens.__dataclass_fields__))


def _joined(parts: Sequence[Tensor | None]) -> Any:
    """The parts concatenated, on the CPU; None where the task lacks the value."""
    present = [part for part in parts if part is not None]
    return torch.cat(present).cpu() if present else None


def _rank(among: Float[Tensor, "vector word"], word: Float[Tensor, "vector 1"]) -> Int[Tensor, " vector"]:
    """How many other words the word is not above: ties count against it, and so does NaN on either side."""
    return (~(among < word)).sum(-1) - 1


def _last(among: Float[Tensor, "vector word"], word: Float[Tensor, "vector 1"]) -> Bool[Tensor, " vector"]:
    """Whether all other words are above the word."""
    return (among > word).sum(-1) == among.shape[-1] - 1
