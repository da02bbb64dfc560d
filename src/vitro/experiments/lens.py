"""The logit lens: any vector of the stream, read as if the model ended there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.engine import read_out
from vitro.experiments.setup import Setup

TOP = 10
_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Lens:
    """What the lens shows of some vectors, each of which belongs to a prompt. `logit_lens` returns it on the CPU."""

    answer_prob: Float[Tensor, " vector"]
    subject_prob: Float[Tensor, " vector"]
    answer_rank_among_answers: Int[Tensor, " vector"]
    """0: the correct answer is above all others of the task's answers. A tie is not above, and NaN is last."""
    subject_rank_among_words: Int[Tensor, " vector"]
    """0: the subject is above all other words of the task (its subjects and answers). A tie is not above."""
    subject_last_among_words: Bool[Tensor, " vector"]
    """The subject is below all other words of the task. A tie is not below."""
    answer_logits: Float[Tensor, "vector answer"]
    top: Int[Tensor, "vector rank"]
    """The most probable tokens."""
    top_prob: Float[Tensor, "vector rank"]

    def answer_columns(self) -> dict[str, np.ndarray]:
        """answer_prob, subject_prob and answer_rank_among_answers, as the columns of a table."""
        names = ("answer_prob", "subject_prob", "answer_rank_among_answers")
        return {name: getattr(self, name).numpy() for name in names}

    def subject_columns(self) -> dict[str, np.ndarray]:
        """Where the subject stands among the task's words, as the columns of a table."""
        names = ("subject_rank_among_words", "subject_last_among_words")
        return {name: getattr(self, name).numpy() for name in names}

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
    """Final norm, unembedding, softmax. prompt: whose answer is looked for in each vector.

    Source: the post, "Logit lens"; a head's own output is read the same way as the whole stream.
    """
    answers, subjects, answer_list = setup.token_ids
    every = np.union1d(setup.prompts.subject_ids, setup.prompts.answer_list_ids)
    words = torch.from_numpy(every).to(setup.model.device)
    parts = []
    prompts = prompt.to(setup.model.device)
    for some, whose in zip(vectors.split(_AT_ONCE), prompts.split(_AT_ONCE), strict=True):
        logits = read_out(setup.model, some)
        probs = logits.softmax(-1)
        among = logits[:, answer_list]
        answer = answers[whose][:, None]
        subject = logits.gather(-1, subjects[whose][:, None])
        top_prob, top = probs.topk(min(TOP, probs.shape[-1]))
        parts.append(
            Lens(
                answer_prob=probs.gather(-1, answer)[:, 0],
                subject_prob=probs.gather(-1, subjects[whose][:, None])[:, 0],
                answer_rank_among_answers=_rank(among, logits.gather(-1, answer)),
                subject_rank_among_words=_rank(logits[:, words], subject),
                subject_last_among_words=(logits[:, words] > subject).sum(-1) == len(words) - 1,
                answer_logits=among,
                top=top,
                top_prob=top_prob,
            )
        )
    return Lens(*(torch.cat([getattr(part, name) for part in parts]).cpu() for name in Lens.__dataclass_fields__))


def _rank(among: Float[Tensor, "vector word"], mine: Float[Tensor, "vector 1"]) -> Int[Tensor, " vector"]:
    """How many others a word of them is not above: ties count against it, and so does NaN on either side."""
    return (~(among < mine)).sum(-1) - 1
