"""What is read off final streams: what they answer, and how that differs from the clean run's."""

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


def answered(setup: Setup) -> Read:
    """A reading of what is answered, each [variant, prompt].

    answer_logit; answer_prob, subject_prob: probabilities; answer_rank (0 = top); top: the most probable token, and its
    top_prob. Subject and answer are tokens as the prompt continues with them, so with their leading space.
    """
    answers, subjects, _ = setup.token_ids

    def read(finals: Finals) -> dict[str, Tensor]:
        answer, subject = answers[finals.prompts], subjects[finals.prompts]
        top, top_prob = finals.top()
        return {
            "answer_logit": finals.at(answer),
            "answer_prob": finals.prob(answer),
            "answer_rank": finals.rank(answer),
            "subject_prob": finals.prob(subject),
            "top": top,
            "top_prob": top_prob,
        }

    return read
