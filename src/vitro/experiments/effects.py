"""How a variant's answers differ from the clean run's: the columns that all ablations share."""

import torch
from jaxtyping import Float
from torch import Tensor

from vitro.engine import Finals, Read
from vitro.experiments.setup import Setup


def effects(setup: Setup) -> Read:
    """A reading of final logits as changes, variant minus clean: positive means that the answer gained.

    answer_logit_change, logit_diff_change (answer minus subject): logits. answer_prob_change: probability.
    kl: KL(clean || variant) over the vocabulary, in nats. Each [variant, prompt].
    """
    changes = answer_changes(setup)

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        logits, clean = finals.logits, finals.clean
        clean_log_probs = clean.log_softmax(-1)
        clean_probs = clean_log_probs.exp()
        entropy = -(clean_probs * clean_log_probs).sum(-1)
        cross_entropy = logits.logsumexp(-1) - torch.einsum("pv,rpv->rp", clean_probs, logits)
        # Never below 0 but by rounding.
        return {**changes(finals), "kl": (cross_entropy - entropy).clamp_min(0.0)}

    return read


def answer_changes(setup: Setup) -> Read:
    """The same without kl, which costs as much again: for sweeps of very many variants."""
    answers, subjects, _ = setup.token_ids

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        logits, clean, part = finals.logits, finals.clean[None], finals.prompts
        answer, subject = answers[part], subjects[part]
        now, before = at(logits, answer), at(clean, answer)
        return {
            "answer_logit_change": now - before,
            "answer_prob_change": (now - logits.logsumexp(-1)).exp() - (before - clean.logsumexp(-1)).exp(),
            "logit_diff_change": (now - before) - (at(logits, subject) - at(clean, subject)),
        }

    return read


def at(values: Float[Tensor, "row prompt d_vocab"], tokens: Float[Tensor, " prompt"]) -> Float[Tensor, "row prompt"]:
    """The value of one token for each prompt."""
    index = tokens[None, :, None].expand(len(values), -1, 1)
    return values.gather(-1, index)[..., 0]
