"""How a variant's answers differ from the clean run's: the columns that all ablations share."""

from jaxtyping import Float
from torch import Tensor

from vitro.engine import Finals, Read
from vitro.experiments.setup import Setup

CHANGES = ("answer_logit_change", "answer_prob_change", "logit_diff_change")


def effects(setup: Setup) -> Read:
    """A reading of final logits as changes, variant minus clean: positive means that the answer gained.

    answer_logit_change, logit_diff_change (answer minus subject): logits. answer_prob_change: probability.
    kl: KL(clean || variant) over the vocabulary, in nats. Each [variant, prompt].
    """
    answers, subjects, _ = setup.token_ids

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        clean, part = finals.clean, finals.prompts
        answer, subject = answers[part], subjects[part]
        logit_change = finals.at(answer) - clean.at(answer)
        return {
            "answer_logit_change": logit_change,
            "answer_prob_change": finals.prob(answer) - clean.prob(answer),
            "logit_diff_change": logit_change - (finals.at(subject) - clean.at(subject)),
            "kl": finals.kl,
        }

    return read
