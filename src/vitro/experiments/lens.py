"""The logit lens: any vector of the stream, read as if the model ended there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
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
    """0: the correct answer is above all others of the task's answers. A tie is not above."""
    answer_logits: Float[Tensor, "vector answer"]
    top: Int[Tensor, "vector rank"]
    """The most probable tokens."""
    top_prob: Float[Tensor, "vector rank"]

    def answer_columns(self) -> dict[str, np.ndarray]:
        """answer_prob, subject_prob and answer_rank_among_answers, as the columns of a table."""
        names = ("answer_prob", "subject_prob", "answer_rank_among_answers")
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
    parts = []
    prompts = prompt.to(setup.model.device)
    for some, whose in zip(vectors.split(_AT_ONCE), prompts.split(_AT_ONCE), strict=True):
        logits = read_out(setup.model, some)
        probs = logits.softmax(-1)
        among = logits[:, answer_list]
        answer = answers[whose][:, None]
        top_prob, top = probs.topk(min(TOP, probs.shape[-1]))
        parts.append(
            Lens(
                answer_prob=probs.gather(-1, answer)[:, 0],
                subject_prob=probs.gather(-1, subjects[whose][:, None])[:, 0],
                answer_rank_among_answers=(among >= logits.gather(-1, answer)).sum(-1) - 1,
                answer_logits=among,
                top=top,
                top_prob=top_prob,
            )
        )
    return Lens(*(torch.cat([getattr(part, name) for part in parts]).cpu() for name in Lens.__dataclass_fields__))
