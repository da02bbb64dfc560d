"""Metrics of an answer, each defined once for tables, figures, sentences, edge scores and circuits alike."""

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
    """What metrics need of final streams' logits: `Whole`, `engine.Finals` and `engine.Unembedded` provide it."""

    def at(self, tokens: Int[Tensor, " prompt"]) -> Float[Tensor, "*row prompt"]:
        """The logit of one token for each prompt."""

    def among(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "*row prompt token"]:
        """The logits of some tokens, the same for all prompts."""

    @property
    def log_normaliser(self) -> Float[Tensor, "*row prompt"]:
        """log sum exp of all logits, in nats."""


@dataclass(frozen=True, eq=False)
class Whole:
    """Logits over the whole vocabulary, held in memory: gradients are taken of them, and lenses read them."""

    logits: Float[Tensor, "*row prompt d_vocab"]

    def at(self, tokens: Int[Tensor, " prompt"]) -> Float[Tensor, "*row prompt"]:
        """The logit of one token for each prompt."""
        return self.logits.gather(-1, tokens[:, None].expand(*self.logits.shape[:-1], 1))[..., 0]

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

    Tokens are given by their places in `tokens`, which lists all tokens asked about, so that no other logits need be
    computed. Where prompts have different numbers of right or wrong tokens, rows are padded; padding is ignored.
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
        """The right and wrong tokens of the questions."""
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
        """The same for some of the prompts."""
        return Asked(
            self.tokens, self.right[part], self.wrong[part], self.n_right[part], self.n_wrong[part], self.listed
        )

    def of_logits(self, logits: Logits) -> "Answers":
        """The answers read off logits; their prompts are these prompts."""
        return Answers(self, logits)


@dataclass(frozen=True, eq=False)
class Answers:
    """The logits of the tokens asked about, from which all metrics are made; each is computed once, on first use."""

    asked: Asked
    logits: Logits

    @cached_property
    def among(self) -> Float[Tensor, "*row prompt asked"]:
        """The logits of `asked.tokens`."""
        return self.logits.among(self.asked.tokens)

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
        """The summed probability of each prompt's first `number` tokens."""
        probs = (logits - self.logits.log_normaliser[..., None]).exp()
        return probs.where(_filled(probs, number), 0.0).sum(-1)

    def wrong_prob(self) -> Float[Tensor, "*row prompt"]:
        """The summed probability of the wrong tokens: not a metric, but shown beside the answer's."""
        return self.prob(self.wrong, self.asked.n_wrong)

    def rank(self, logits: Float[Tensor, "*row prompt d_vocab"]) -> Int[Tensor, "*row prompt"]:
        """How many other tokens the best right token is not above: 0 is the top; a tie is not the top."""
        return _rank(logits, self.right, self.asked.n_right)

    def rank_of_wrong(self, logits: Float[Tensor, "*row prompt d_vocab"]) -> Int[Tensor, "*row prompt"]:
        """The same of the best wrong token; the number of all tokens where a prompt has none."""
        return _rank(logits, self.wrong, self.asked.n_wrong)

    def rank_listed(self) -> Int[Tensor, "*row prompt"]:
        """How many wrong answers of the list the best right answer is not above: 0 is the lead; a tie is no lead."""
        return _not_below(self.listed, self.right_listed)

    def rank_wrong(self) -> Int[Tensor, "*row prompt"]:
        """How many wrong tokens the best right token is not above."""
        best = self.right.where(_filled(self.right, self.asked.n_right), -torch.inf).amax(-1, keepdim=True)
        # Phrased so that NaN, which compares false with everything, is not above.
        return (~(self.wrong < best) & _filled(self.wrong, self.asked.n_wrong)).sum(-1)

    def rank_asked(self) -> Int[Tensor, "*row prompt"]:
        """The rank among the closed list or, where there is none, beside the wrong tokens: 0 is answered right."""
        return self.rank_listed() if len(self.asked.listed) else self.rank_wrong()

    def _of(self, places: Int[Tensor, "prompt token"]) -> Float[Tensor, "*row prompt token"]:
        # Where every prompt has one right token and one wrong one, two dot products take the place of a matrix product.
        if max(self.asked.right.shape[-1], self.asked.wrong.shape[-1]) == 1 == places.shape[-1]:
            return self.logits.at(self.asked.tokens[places[:, 0]])[..., None]
        return self.among.gather(-1, places.expand(*self.among.shape[:-1], places.shape[-1]))


def _filled(values: Tensor, number: Int[Tensor, " prompt"]) -> Bool[Tensor, "prompt token"]:
    """Which places of a prompt's row hold a token rather than padding."""
    return torch.arange(values.shape[-1], device=values.device) < number[:, None]


def _mean(values: Float[Tensor, "*row prompt token"], number: Int[Tensor, " prompt"]) -> Float[Tensor, "*row prompt"]:
    return values.where(_filled(values, number), 0.0).sum(-1) / number


def _rank(
    logits: Float[Tensor, "*row prompt d_vocab"],
    own: Float[Tensor, "*row prompt token"],
    number: Int[Tensor, " prompt"],
) -> Int[Tensor, "*row prompt"]:
    filled = _filled(own, number)
    # A task may have no wrong tokens at all, and an empty row has no largest.
    best = torch.nn.functional.pad(own.where(filled, -torch.inf), (0, 1), value=-torch.inf).amax(-1, keepdim=True)
    # Phrased so that NaN, which compares false with everything, is not the top.
    return (~(logits < best)).sum(-1) - (~(own < best) & filled).sum(-1)


def _not_below(
    logits: Float[Tensor, "*row prompt answer"], right: Bool[Tensor, "prompt answer"]
) -> Int[Tensor, "*row prompt"]:
    best = logits.where(right, -torch.inf).amax(-1, keepdim=True)
    return (~(logits < best) & ~right).sum(-1)


@dataclass(frozen=True)
class Metric:
    """A number for each prompt (docs/method.md, section 3). of: the definition. needs: what it requires."""

    quantity: Quantity
    of: Callable[[Answers], Float[Tensor, "*row prompt"]]
    needs: str = ""
    """ "wrong" (a wrong token in every prompt), "among" (the closed list), or nothing."""

    @property
    def name(self) -> str:
        """Its name in options and tables."""
        return self.quantity.name

    def fits(self, questions: Questions) -> bool:
        """Whether these questions have what it needs."""
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
    return (answers.rank_wrong() == 0).to(answers.right.dtype)


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
"""The metrics that have a useful gradient at the clean run; that of `kl` is 0 there."""


def fitting(questions: Questions) -> tuple[Metric, ...]:
    """The metrics that these questions allow."""
    return tuple(metric for metric in METRICS.values() if metric.fits(questions))
