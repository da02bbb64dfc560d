"""Readings of final streams: what they answer, and how that differs from the clean run."""

from jaxtyping import Float
from torch import Tensor

from vitro.engine import Finals, Read
from vitro.experiments.setup import Setup
from vitro.metrics import METRICS, Whole, fitting

CHANGES = tuple(f"{name}_change" for name in METRICS if name != "kl")
"""The columns of changes, for tables that have every metric; null where the task lacks what a metric needs."""

LEVELS = tuple(METRICS)
"""The columns of the metrics themselves, including kl."""


def levels(setup: Setup) -> Read:
    """A reading of every metric that the task can have, each [variant, prompt]; kl is KL(clean || variant)."""
    metrics = fitting(setup.questions)

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        answers = setup.asked[finals.prompts].of_logits(finals)
        return {metric.name: metric.of(answers) for metric in metrics}

    return read


def beside_model(setup: Setup) -> Read:
    """The same, with model_...: every metric but kl of the clean run, in each row."""
    metrics, of_rows = fitting(setup.questions), levels(setup)

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        clean = setup.asked[finals.prompts].of_logits(finals.clean)
        model = {m.name: m.of(clean).expand(finals.n_rows, -1) for m in metrics if m.name != "kl"}
        return {**of_rows(finals), **{f"model_{name}": value for name, value in model.items()}}

    return read


def effects(setup: Setup) -> Read:
    """A reading of final logits as changes of every metric, variant minus clean: positive means that the answer gained.

    And kl: KL(clean || variant) over the vocabulary, in nats. Each [variant, prompt].
    """
    metrics = fitting(setup.questions)

    def read(finals: Finals) -> dict[str, Float[Tensor, "row prompt"]]:
        asked = setup.asked[finals.prompts]
        variant, clean = asked.of_logits(finals), asked.of_logits(finals.clean)
        changes = {f"{m.name}_change": m.of(variant) - m.of(clean) for m in metrics if m.name != "kl"}
        return {**changes, "kl": finals.kl}

    return read


def answered(setup: Setup) -> Read:
    """A reading of the answers, each [variant, prompt].

    Every metric but kl; answer_rank: how many tokens beside the right ones the best of those is not above (0 = top);
    wrong_prob: the probability of the wrong tokens; top: the most probable token, and its top_prob.
    """
    metrics = [metric for metric in fitting(setup.questions) if metric.name != "kl"]

    def read(finals: Finals) -> dict[str, Tensor]:
        asked = setup.asked[finals.prompts]
        answers = asked.of_logits(finals)
        top, top_prob = finals.top()
        return {
            **{metric.name: metric.of(answers) for metric in metrics},
            "answer_rank": asked.of_logits(Whole(finals.logits)).rank(finals.logits),
            "wrong_prob": answers.wrong_prob(),
            "top": top,
            "top_prob": top_prob,
        }

    return read
