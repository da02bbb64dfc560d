"""What an answer is worth: every metric once, for tables, figures, sentences, scores of edges and circuits alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitro.tables.quantities import QUANTITIES, Quantity
from vitro.tasks import Questions


class Logits(Protocol):
    """What metrics ask of the logits of some final streams: `Whole` has it, `engine.Finals` and `engine.Unembedded`."""

    def among(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "*row prompt token"]:
        """The logits of some tokens, the same for all prompts."""

    @property
    def log_normaliser(self) -> Float[Tensor, "*row prompt"]:
        """log sum exp of all logits, in nats."""


@dataclass(frozen=True, eq=False)
class Whole:
    """Logits over the whole vocabulary, written down: what a gradient is taken of, and what a lens reads."""

    logits: Float[Tensor, "*row prompt d_vocab"]

    def among(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "*row prompt token"]:
        """The logits of some tokens."""
        return self.logits[..., tokens]

    @cached_property
    def log_normaliser(self) -> Float[Tensor, "*row prompt"]:
        """log sum exp of all logits, in nats."""
        return self.logits.logsumexp(-1)


@dataclass(frozen=True, eq=False)
class Asked:
    """What counts as right and wrong in each prompt, as tensors on a model's device.

    Tokens are numbered by their places in `tokens`, all that are asked about: so that of any logits no others are made.
    Where prompts have different numbers of right or wrong tokens, rows are filled up, and the weights there are 0.
    """

    tokens: Int[Tensor, " asked"]
    right: Int[Tensor, "prompt right"]
    wrong: Int[Tensor, "prompt wrong"]
    n_right: Int[Tensor, " prompt"]
    n_wrong: Int[Tensor, " prompt"]
    listed: Int[Tensor, " answer"]
    """The closed list of answers; empty where there is none."""

    # Not under `inference_mode`, even where the caller is: gradients of the metrics are taken through these.
    @classmethod
    @torch.inference_mode(False)
    def of(cls, questions: Questions, device: torch.device) -> "Asked":
        """What the questions ask about."""
        tokens = sorted(questions.token_ids())
        place = {token: number for number, token in enumerate(tokens)}

        def rows(answers: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
            width = max(map(len, answers))
            places = [[place[token] for token in row] + [0] * (width - len(row)) for row in answers]
            numbers = torch.tensor([len(row) for row in answers], device=device)
            return torch.tensor(places, dtype=torch.long, device=device).reshape(len(answers), width), numbers

        (right, n_right), (wrong, n_wrong) = rows(questions.right), rows(questions.wrong)
        listed = torch.tensor([place[token] for token in questions.among], dtype=torch.long, device=device)
        return cls(torch.tensor(tokens, device=device), right, wrong, n_right, n_wrong, listed)

    def __getitem__(self, part: slice | Int[Tensor, " row"]) -> "Asked":
        """The same of some of the prompts."""
        return Asked(
            self.tokens, self.right[part], self.wrong[part], self.n_right[part], self.n_wrong[part], self.listed
        )

    def of_logits(self, logits: Logits) -> "Answers":
        """What some logits say of these answers; their prompts are these prompts."""
        return Answers(self, logits.among(self.tokens), logits)


@dataclass(frozen=True, eq=False)
class Answers:
    """The logits of what is asked about, and what all metrics are made of; computed when asked for, and once."""

    asked: Asked
    among: Float[Tensor, "*row prompt asked"]
    """Of `asked.tokens`."""
    logits: Logits

    @cached_property
    def right(self) -> Float[Tensor, "*row prompt right"]:
        """The logits of the right tokens; NaN where a prompt has no more of them."""
        return self._of(self.asked.right)

    @cached_property
    def wrong(self) -> Float[Tensor, "*row prompt wrong"]:
        """The logits of the wrong tokens."""
        return self._of(self.asked.wrong)

    @cached_property
    def listed(self) -> Float[Tensor, "*row prompt answer"]:
        """The logits of the closed list of answers."""
        return self.among[..., self.asked.listed]

    @cached_property
    def right_listed(self) -> Bool[Tensor, "prompt answer"]:
        """Which answers of the list are right."""
        asked = self.asked
        same = asked.listed[None, :, None] == asked.right[:, None]
        return (same & _filled(asked.right, asked.n_right)[:, None]).any(-1)

    def mean_right(self) -> Float[Tensor, "*row prompt"]:
        """The mean logit of the right tokens."""
        return _mean(self.right, self.asked.n_right)

    def mean_wrong(self) -> Float[Tensor, "*row prompt"]:
        """The mean logit of the wrong tokens."""
        return _mean(self.wrong, self.asked.n_wrong)

    def prob(self, logits: Float[Tensor, "*row prompt token"], number: Int[Tensor, " prompt"]) -> Tensor:
        """The summed probability of some tokens, of which each prompt has a number."""
        probs = (logits - self.logits.log_normaliser[..., None]).exp()
        return probs.where(_filled(probs, number), 0.0).sum(-1)

    def wrong_prob(self) -> Float[Tensor, "*row prompt"]:
        """The summed probability of the wrong tokens: no metric, but what is shown beside the answer's."""
        return self.prob(self.wrong, self.asked.n_wrong)

    def rank(self, logits: Float[Tensor, "*row prompt d_vocab"]) -> Int[Tensor, "*row prompt"]:
        """How many tokens beside the right ones the best of these is not above: 0 is the top, and a tie is not."""
        filled = _filled(self.right, self.asked.n_right)
        best = self.right.where(filled, -torch.inf).amax(-1, keepdim=True)
        # Asked so that NaN, which is neither above nor below anything, is not the top either.
        return (~(logits < best)).sum(-1) - (~(self.right < best) & filled).sum(-1)

    def rank_listed(self) -> Int[Tensor, "*row prompt"]:
        """How many wrong answers of the list the best right one is not above: 0 is the lead, and a tie is none."""
        return _not_below(self.listed, self.right_listed)

    def rank_wrong(self) -> Int[Tensor, "*row prompt"]:
        """How many wrong tokens the best right one is not above."""
        best = self.right.where(_filled(self.right, self.asked.n_right), -torch.inf).amax(-1, keepdim=True)
        # Asked so that NaN, which is neither above nor below anything, is not above either.
        return (~(self.wrong < best) & _filled(self.wrong, self.asked.n_wrong)).sum(-1)

    def _of(self, places: Int[Tensor, "prompt token"]) -> Float[Tensor, "*row prompt token"]:
        return self.among.gather(-1, places.expand(*self.among.shape[:-1], places.shape[-1]))


def _filled(values: Tensor, number: Int[Tensor, " prompt"]) -> Bool[Tensor, "prompt token"]:
    """Which places of a prompt's row hold a token."""
    return torch.arange(values.shape[-1], device=values.device) < number[:, None]


def _mean(values: Float[Tensor, "*row prompt token"], number: Int[Tensor, " prompt"]) -> Float[Tensor, "*row prompt"]:
    return values.where(_filled(values, number), 0.0).sum(-1) / number


def _not_below(
    logits: Float[Tensor, "*row prompt answer"], right: Bool[Tensor, "prompt answer"]
) -> Int[Tensor, "*row prompt"]:
    best = logits.where(right, -torch.inf).amax(-1, keepdim=True)
    return (~(logits < best) & ~right).sum(-1)


@dataclass(frozen=True)
class Metric:
    """A number of each prompt (docs/method.md, section 3). of: the definition. needs: what it cannot be had without."""

    quantity: Quantity
    of: Callable[[Answers], Float[Tensor, "*row prompt"]]
    needs: str = ""
    """ "wrong" (a wrong token in every prompt), "among" (the closed list), or nothing."""

    @property
    def name(self) -> str:
        """What it is called in options and tables."""
        return self.quantity.name

    def fits(self, questions: Questions) -> bool:
        """Whether it can be had of these questions."""
        return (
            not self.needs
            or (self.needs == "among" and bool(questions.among))
            or (self.needs == "wrong" and all(questions.wrong))
        )


def _logit_diff(answers: Answers) -> Tensor:
    return answers.mean_right() - answers.mean_wrong()


def _margin(answers: Answers) -> Tensor:
    others = ~answers.right_listed
    rest = answers.listed.where(others, 0.0).sum(-1) / others.sum(-1)
    return answers.mean_right() - rest


def _answer_prob(answers: Answers) -> Tensor:
    return answers.prob(answers.right, answers.asked.n_right)


def _prob_diff(answers: Answers) -> Tensor:
    return _answer_prob(answers) - answers.wrong_prob()


def _among_answers(answers: Answers) -> Tensor:
    return answers.listed.softmax(-1).where(answers.right_listed, 0.0).sum(-1)


def _right_first(answers: Answers) -> Tensor:
    return (answers.rank_wrong() == 0).to(answers.among.dtype)


def _kl(answers: Answers) -> Tensor:
    kl: Tensor = getattr(answers.logits, "kl")  # noqa: B009 (only runs beside a clean one have it)
    return kl


METRICS: Mapping[str, Metric] = {
    name: Metric(QUANTITIES[name], of, needs)
    for name, of, needs in (
        ("answer_prob", _answer_prob, ""),
        ("answer_logit", Answers.mean_right, ""),
        ("logit_diff", _logit_diff, "wrong"),
        ("margin", _margin, "among"),
        ("prob_diff", _prob_diff, "wrong"),
        ("among_answers", _among_answers, "among"),
        ("right_first", _right_first, "wrong"),
        ("kl", _kl, ""),
    )
}
"""Every metric by its name. `kl` is of a run against the clean one; the others are of any logits."""

DIFFERENTIABLE = ("answer_prob", "answer_logit", "logit_diff", "margin", "prob_diff", "among_answers")
"""Those of which a gradient can be taken at the clean run: where `kl` is 0 so is its gradient."""


def fitting(questions: Questions) -> tuple[Metric, ...]:
    """The metrics that can be had of some questions."""
    return tuple(metric for metric in METRICS.values() if metric.fits(questions))
