"""From the stream after the last block to logits and probabilities, no more of them than are asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from vitro.engine.edit import Site
from vitro.models import Model

# Tokens whose logits are computed at once where not all are kept: few enough to stay in the caches.
PART = 4096


def read_out(model: Model, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_vocab"]:
    """Logits over the vocabulary from the stream after the last block: in float32, whatever the model's own format.

    >>> read_out(model, torch.zeros(2, 64)).shape[:-1]
    torch.Size([2])
    """
    logits: Tensor = Unembedded(model, resid.reshape(-1, resid.shape[-1])).logits
    return logits.reshape(*resid.shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class Unembedded:
    """Final streams, and the unembedding's numbers for them: in float32, computed when asked for, and once.

    >>> round(float(Unembedded(model, torch.zeros(1, 64)).logits.abs().max()), 2)
    0.0
    """

    model: Model
    resid: Float[Tensor, "stream d_model"]

    @cached_property
    def normed(self) -> Float[Tensor, "stream d_model"]:
        """The streams as the unembedding reads them."""
        return self.model.final_norm(self.resid).float()

    @cached_property
    def broken(self) -> Bool[Tensor, " stream"]:
        """Whether a stream holds NaN or infinity, so that its logits mean nothing."""
        return ~self.normed.isfinite().all(-1)

    @cached_property
    def logits(self) -> Float[Tensor, "stream d_vocab"]:
        """All logits: memory for a whole vocabulary for every stream."""
        return torch.cat(list(self.by_part())).T

    @cached_property
    def log_normaliser(self) -> Float[Tensor, " stream"]:
        """log sum exp of the logits, in nats: a token's log-probability is its logit minus this. Keeps no logits."""
        sums = []
        for logits in self.by_part():
            top = logits.amax(0)
            sums.append(logits.sub_(top).exp_().sum(0).log_().add_(top))
        return torch.stack(sums).logsumexp(0)

    @cached_property
    def mean_direction(self) -> Float[Tensor, "stream d_model"]:
        """The mean of all tokens' unembedding vectors, weighted by their probabilities in each stream."""
        assert self.model.readout.softcap is None
        total = torch.zeros_like(self.normed)
        for logits, weight in zip(self.by_part(), self.model.w_unembed.split(PART), strict=True):
            total += (logits - self.log_normaliser).exp().T @ weight.float()
        return total

    def at(self, tokens: Int[Tensor, " stream"]) -> Float[Tensor, " stream"]:
        """The logit of a token in each stream."""
        return self.model.readout.finished(
            (self.normed * self.model.w_unembed[tokens].float()).sum(-1), self._bias(tokens)
        )

    def prob(self, tokens: Int[Tensor, " stream"]) -> Float[Tensor, " stream"]:
        """The probability of a token in each stream."""
        return (self.at(tokens) - self.log_normaliser).exp()

    def among(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "stream token"]:
        """The logits of some tokens, the same in every stream."""
        return self.model.readout.finished(self.normed @ self.model.w_unembed[tokens].float().T, self._bias(tokens))

    def _bias(self, tokens: Int[Tensor, " token"] | slice) -> Float[Tensor, " token"] | None:
        bias = self.model.b_unembed
        return None if bias is None else bias[tokens].float()

    def by_part(self) -> Iterator[Float[Tensor, "part stream"]]:
        """Logits, part by part of the vocabulary.

        Written as W_U x^T: the matrix library of a CPU computes this product up to 1.7 times faster than x W_U^T, which
        has the same numbers in another order of memory (docs/performance.md).
        """
        streams = self.normed.T.contiguous()
        for start in range(0, self.model.shape.d_vocab, PART):
            part = slice(start, start + PART)
            bias = self._bias(part)
            products = self.model.w_unembed[part].float() @ streams
            yield self.model.readout.finished(products, None if bias is None else bias[:, None])


Reached = tuple[Int[Tensor, " stream"], Int[Tensor, " stream"]]
"""The row and the prompt of each of some final streams."""


@dataclass(frozen=True, eq=False)
class Finals:
    """A batch of variants (rows) at the final stream of some of the prompts, on the model's device.

    Tokens that it is asked about must be there too. Where no edit reaches, the results are exactly the clean run's.
    """

    streams: Unembedded
    """The final streams that edits reach, those of the first row first."""
    reached: Reached
    n_rows: int
    clean: Unembedded
    """The clean run's final stream of each prompt."""
    prompts: slice
    """Which of the sweep's prompts these are."""
    attention: Mapping[Site, Float[Tensor, "row prompt position"]]
    """Attention from the final streams, of the patterns that the sweep was told to watch."""

    @classmethod
    def everywhere(
        cls,
        resid: Float[Tensor, "row prompt d_model"],
        clean: Unembedded,
        prompts: slice,
        attention: Mapping[Site, Float[Tensor, "row prompt position"]],
    ) -> "Finals":
        """Rows that take no stream from the clean run: circuits."""
        n_rows, n_prompts = resid.shape[:2]
        row, prompt = (torch.arange(n, device=resid.device) for n in (n_rows, n_prompts))
        reached = (row.repeat_interleave(n_prompts), prompt.repeat(n_rows))
        return cls(Unembedded(clean.model, resid.flatten(0, 1)), reached, n_rows, clean, prompts, attention)

    @cached_property
    def broken(self) -> Bool[Tensor, "row prompt"]:
        """Whether a final stream holds NaN or infinity, so that its logits say nothing."""
        return self._by_row(self.streams.broken, self.clean.broken)

    @cached_property
    def logits(self) -> Float[Tensor, "row prompt d_vocab"]:
        """All logits. Where a few are enough, `at`, `among`, `log_normaliser` and `kl` take less time and memory."""
        return self._by_row(self.streams.logits, self.clean.logits)

    @cached_property
    def log_normaliser(self) -> Float[Tensor, "row prompt"]:
        """log sum exp of the logits, in nats: a token's log-probability is its logit minus this."""
        return self._by_row(self.streams.log_normaliser, self.clean.log_normaliser)

    @cached_property
    def kl(self) -> Float[Tensor, "row prompt"]:
        """KL(clean || variant) over the vocabulary, in nats.

        The difference of the log-normalisers, minus that of the logits' means under the clean probabilities p. Never
        below 0 but by rounding.
        """
        streams, clean, prompt = self.streams, self.clean, self.reached[1]
        moved = self._moved_logits() if streams.model.readout.softcap is not None else self._moved_streams()
        kl = (streams.log_normaliser - clean.log_normaliser[prompt] - moved).clamp_min(0.0)
        return self._by_row(kl, torch.zeros_like(clean.log_normaliser))

    def _moved_streams(self) -> Float[Tensor, " stream"]:
        """How far the logits' clean mean moves: with logits s (W_U x + b) it is s (x - x_clean) . (p W_U)."""
        moved = (self.streams.normed - self.clean.normed[self.reached[1]]) * self.clean.mean_direction[self.reached[1]]
        return moved.sum(-1) * self.streams.model.readout.scale

    def _moved_logits(self) -> Float[Tensor, " stream"]:
        """The same of capped logits, which are not linear in the stream: logit by logit."""
        moved, prompt = torch.zeros_like(self.streams.normed[:, 0]), self.reached[1]
        for logits, clean in zip(self.streams.by_part(), self.clean.by_part(), strict=True):
            probs = (clean - self.clean.log_normaliser).exp()
            moved += (probs[:, prompt] * (logits - clean[:, prompt])).sum(0)
        return moved

    def at(self, tokens: Int[Tensor, " prompt"]) -> Float[Tensor, "row prompt"]:
        """The logit of a token for each prompt."""
        return self._by_row(self.streams.at(tokens[self.reached[1]]), self.clean.at(tokens))

    def prob(self, tokens: Int[Tensor, " prompt"]) -> Float[Tensor, "row prompt"]:
        """The probability of a token for each prompt."""
        return (self.at(tokens) - self.log_normaliser).exp()

    def rank(self, tokens: Int[Tensor, " prompt"]) -> Int[Tensor, "row prompt"]:
        """How many other tokens are at least as probable as a token for each prompt: 0 is the top, and a tie is not."""
        logits = self.logits
        asked = logits.gather(-1, tokens[None, :, None].expand(len(logits), -1, -1))
        # Written so that NaN, which is neither above nor below anything, is not the top either.
        return (~(logits < asked)).sum(-1) - 1

    def top(self) -> tuple[Int[Tensor, "row prompt"], Float[Tensor, "row prompt"]]:
        """The most probable token, and its probability."""
        logit, token = self.logits.max(-1)
        return token, (logit - self.log_normaliser).exp()

    def among(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "row prompt token"]:
        """The logits of some tokens, the same for all prompts."""
        return self._by_row(self.streams.among(tokens), self.clean.among(tokens))

    def _by_row(
        self, values: Shaped[Tensor, "stream *width"], clean: Shaped[Tensor, "prompt *width"]
    ) -> Shaped[Tensor, "row prompt *width"]:
        size = (self.n_rows, len(clean), *values.shape[1:])
        if len(values) == self.n_rows * len(clean):
            return values.reshape(size)
        everywhere = clean.expand(size).clone()
        everywhere[self.reached] = values
        return everywhere
