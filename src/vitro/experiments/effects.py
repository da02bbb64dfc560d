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
    answers, subjects, _ = setup.token_ids

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        logits, clean, part = finals.logits, finals.clean, finals.prompts
        answer, subject = answers[part], subjects[part]
        answer_change = at(logits, answer) - at(clean[None], answer)
        subject_change = at(logits, subject) - at(clean[None], subject)
        normalizer, clean_normalizer = logits.logsumexp(-1), clean.logsumexp(-1)
        clean_log_probs = clean - clean_normalizer[:, None]
        clean_probs = clean_log_probs.exp()
        entropy = -(clean_probs * clean_log_probs).sum(-1)
        cross_entropy = normalizer - torch.einsum("pv,rpv->rp", clean_probs, logits)
        return {
            "answer_logit_change": answer_change,
            "answer_prob_change": (at(logits, answer) - normalizer).exp()
            - (at(clean[None], answer) - clean_normalizer).exp(),
            "logit_diff_change": answer_change - subject_change,
            # Never below 0 but by rounding.
            "kl": (cross_entropy - entropy).clamp_min(0.0),
        }

    return read


def at(values: Float[Tensor, "row prompt d_vocab"], tokens: Float[Tensor, " prompt"]) -> Float[Tensor, "row prompt"]:
    """The value of one token for each prompt."""
    index = tokens[None, :, None].expand(len(values), -1, 1)
    return values.gather(-1, index)[..., 0]
